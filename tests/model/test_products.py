"""Products and layers on blocks of rows against torch's own: values, gradients, precisions."""

import time

import pytest
import torch
from torch import nn

from hmgdm_plugin.model import layers, passes, products
from hmgdm_plugin.model.layers import Linear, Mlp, linears
from hmgdm_plugin.model.norms import normed
from hmgdm_plugin.model.products import blocks, filled, product
from hmgdm_plugin.model.rows import Mixture

needs_onednn = pytest.mark.skipif(not products._onednn_is_faster(), reason="MKL is as fast, or torch without oneDNN")


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(products, "LEAST", 1)
    monkeypatch.setattr(layers, "FEWEST", 1)


@pytest.fixture(params=["one block", "many blocks"])
def cut(request, always, monkeypatch):
    if request.param == "many blocks":
        monkeypatch.setattr(products, "HIGHEST", 70)
        monkeypatch.setattr(passes, "HIGHEST", 70)


def compare(got, wanted, leaves, upstream, atol):
    grads = [torch.autograd.grad(each, leaves, upstream) for each in (got, wanted)]
    for one, two in [*zip(got, wanted, strict=True), *zip(*grads, strict=True)]:
        assert one.dtype == two.dtype
        torch.testing.assert_close(one, two, atol=atol, rtol=atol)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("norm", [None, nn.LayerNorm(24)])
@pytest.mark.parametrize("active", [False, True])
def test_norm_gelu_and_layers_answer_and_learn_like_torchs_own(norm, active):
    heads = [Linear(24, 40), Linear(24, 16, bias=False), Linear(24, 1)]
    x = torch.randn(170, 24, requires_grad=True)
    rows = x if norm is None else norm(x)
    rows = nn.functional.gelu(rows) if active else rows
    wanted = [nn.functional.linear(rows, head.weight, head.bias) for head in heads]
    got = linears(x, heads, norm, active=active)
    assert "LinearsBackward" in got[0].grad_fn.name()
    leaves = [x, *(p for m in (norm, *heads) if m is not None for p in m.parameters())]
    compare(got, wanted, leaves, [torch.randn_like(each) for each in wanted], 1e-4)


def test_a_norm_is_that_of_torch_with_gaps_between_rows_and_what_is_no_number():
    rows, scale, shift = 100 + torch.randn(50, 26)[:, :23], torch.randn(23), torch.randn(23)
    rows[3, 5], rows[4] = torch.nan, 7.0
    wanted = torch.native_layer_norm(rows, (23,), scale, shift, 1e-5)
    for one, two in zip(normed(rows, scale, shift, 1e-5), wanted, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4, equal_nan=True)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_gradients_the_answers_are_the_same_bits(dtype):
    norm, heads, x = nn.LayerNorm(24), [Linear(24, 40), Linear(24, 1)], torch.randn(170, 24)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        wanted = linears(x, heads, norm, active=True)
        with torch.no_grad():
            got = linears(x, heads, norm, active=True)
    for one, two in zip(got, wanted, strict=True):
        assert not one.requires_grad
        assert torch.equal(one, two)


@pytest.mark.usefixtures("cut")
def test_an_mlp_in_bfloat16_is_that_of_torch_but_for_rounding():
    mlp = Mlp(nn.LayerNorm(32), Linear(32, 64), Linear(64, 32))
    x, upstream = torch.randn(170, 32, requires_grad=True), torch.randn(170, 32).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        got, wanted = mlp(x), nn.Sequential.forward(mlp, x)
        plain = linears(x, [Linear(32, 16)], whole=True)[0]
    assert got.dtype == torch.bfloat16
    assert plain.dtype == torch.float32
    leaves = [x, *mlp.parameters()]
    grads = [torch.autograd.grad(each, leaves, upstream, retain_graph=True) for each in (got, wanted)]
    for one, two in [(got, wanted), *zip(*grads, strict=True)]:
        assert (one - two).norm() < 0.02 * two.norm()


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("half", [False, True])
def test_rows_that_are_put_together_late_give_the_same(half):
    layer, x, rows = Linear(24, 32), torch.randn(300, 24), torch.randperm(300)[:150]
    eps, a, b = torch.randn(150, 24), torch.rand(150, 1), torch.rand(150, 1)
    for mixture in (Mixture(x, rows), Mixture(x, rows, eps, a, b)):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            got, wanted = layer(mixture), nn.functional.linear(mixture.all(), layer.weight, layer.bias)
        assert "TakenBackward" in got.grad_fn.name()
        upstream = torch.randn_like(wanted)
        compare([got], [wanted], list(layer.parameters()), [upstream], 0.2 if half else 1e-4)
    asked = x.clone().requires_grad_()
    layer(Mixture(asked, rows)).sum().backward()
    assert asked.grad is not None
    assert int((asked.grad != 0).any(1).sum()) == 150


@pytest.mark.usefixtures("cut")
def test_no_rows_and_few_rows():
    layer = Linear(24, 32)
    for rows in (0, 1, 3):
        x = torch.randn(rows, 24, requires_grad=True)
        out = linears(x, [layer], nn.LayerNorm(24), active=True)[0]
        out.sum().backward()
        assert out.shape == (rows, 32)
        assert x.grad is not None
        assert x.grad.shape == (rows, 24)


@pytest.mark.parametrize(("rows", "width"), [(0, 1), (1, 1), (511, 8), (513, 8), (9000, 8), (9000, 3072)])
def test_blocks_cover_all_rows_with_few_heights(rows, width):
    found = list(blocks(rows, width))
    assert [n for piece, _ in found for n in range(piece.start, piece.stop)] == list(range(rows))
    for piece, height in found:
        assert piece.stop - piece.start <= height
        assert height % 64 == 0
    block = filled(torch.ones(3, 2), 64, torch.bfloat16)
    assert block.shape == (64, 2)
    assert block.sum() == 6


@needs_onednn
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("a", [lambda: torch.randn(32, 48), lambda: torch.randn(48, 32).t()])
@pytest.mark.parametrize("b", [lambda: torch.randn(48, 20), lambda: torch.randn(20, 48).t()])
def test_either_side_may_be_transposed(a, b):
    left, right = a(), b()
    torch.testing.assert_close(product(left, right), left @ right, atol=1e-5, rtol=1e-5)


@needs_onednn
@pytest.mark.usefixtures("always")
def test_gaps_between_rows_cost_no_more_than_a_copy():
    left, right = torch.randn(512, 600)[:, :512], torch.randn(512, 600)[:, :512]
    start_s = time.process_time()
    got = product(left, right.t())
    assert time.process_time() - start_s < 0.5  # without the copy: 1 s and more
    torch.testing.assert_close(got, left @ right.t(), atol=1e-3, rtol=1e-4)


@pytest.mark.usefixtures("always")
def test_float64_is_left_to_torch():
    layer, x = Linear(24, 40).double(), torch.randn(70, 24).double()
    assert torch.equal(product(x, x.t()), x @ x.t())
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
