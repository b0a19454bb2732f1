"""Products by oneDNN against torch's own: values, gradients, and matrices that lie in memory with gaps."""

import time

import pytest
import torch

from hmgdm_plugin.model import products
from hmgdm_plugin.model.products import Linear, product

needs_onednn = pytest.mark.skipif(not products._has_onednn(), reason="no AVX-512, or torch without oneDNN")


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(products, "LEAST", 1)


@needs_onednn
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_answers_and_learns_like_torchs_own(bias):
    layer, x = Linear(24, 40, bias=bias), torch.randn(70, 24, requires_grad=True)
    upstream = torch.randn(70, 40)
    got, wanted = layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert "_Linear" in got.grad_fn.name()
    leaves = (x, *layer.parameters())
    pairs = [(got, wanted), *zip(*(torch.autograd.grad(y, leaves, upstream) for y in (got, wanted)), strict=True)]
    for one, two in pairs:
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


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
def test_other_precisions_are_left_to_torch():
    layer, x = Linear(24, 40), torch.randn(70, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert torch.equal(product(x.double(), x.double().t()), x.double() @ x.double().t())
    assert torch.equal(layer.double()(x.double()), torch.nn.functional.linear(x.double(), layer.weight, layer.bias))
