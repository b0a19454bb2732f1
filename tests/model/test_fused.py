"""Norm, GELU and linear layers by kernels over blocks of rows, against torch's own; whole vectors and what is left."""

import pytest
import torch
from torch import nn

from hmgdm_plugin.model import fused, topology
from hmgdm_plugin.model.blockwise import ROWS
from hmgdm_plugin.model.layers import Linear, linears
from hmgdm_plugin.model.tiles import HIGH, LANES

WIDE = 2 * LANES
SIZES = [1, HIGH - 1, ROWS, ROWS + 1, 2 * ROWS + HIGH + 3]


def torchs_own(x, layers, norm, active):
    rows = x if norm is None else norm(x)
    rows = nn.functional.gelu(rows) if active else rows
    return [nn.functional.linear(rows, layer.weight, layer.bias) for layer in layers]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("active", [False, True])
def test_outputs_and_gradients_are_torchs_own(rows, norm, active):
    torch.manual_seed(0)
    layers = [Linear(WIDE, 3 * LANES), Linear(WIDE, LANES, bias=False), Linear(WIDE, 1), Linear(WIDE, 5 * LANES)]
    before = nn.LayerNorm(WIDE) if norm else None
    x = (1 + 2 * torch.randn(rows, WIDE)).requires_grad_()
    if before is not None:
        nn.init.normal_(before.weight), nn.init.normal_(before.bias)
    wanted, got = torchs_own(x, layers, before, active), linears(x, layers, before, active=active)
    assert "FusedBackward" in got[0].grad_fn.name()
    leaves = [x, *(p for m in (before, *layers) if m is not None for p in m.parameters())]
    upstream = [torch.randn_like(each) for each in wanted]
    grads = [torch.autograd.grad(each, leaves, upstream) for each in (got, wanted)]
    for one, two in [*zip(got, wanted, strict=True), *zip(*grads, strict=True)]:
        torch.testing.assert_close(one, two, atol=2e-5, rtol=2e-5)
    with torch.no_grad():
        for one, two in zip(linears(x, layers, before, active=active), got, strict=True):
            assert torch.equal(one, two)


def test_a_gelu_is_exact_to_rounding_from_end_to_end():
    x = torch.cat([torch.linspace(-12, 12, LANES * 4000), torch.tensor([0.0, -0.0, 1e-30, -1e-30] * (LANES // 4))])
    x = x.reshape(-1, LANES)
    layer = Linear(LANES, LANES, bias=False)
    layer.weight.data = torch.eye(LANES)
    with torch.no_grad():
        (got,) = linears(x, [layer], active=True)
    wanted = nn.functional.gelu(x.double())
    assert (got - wanted).abs().max() < 5e-7


def test_a_row_does_not_change_with_the_rows_beside_it():
    layers, norm = [Linear(WIDE, 5 * LANES), Linear(WIDE, 1)], nn.LayerNorm(WIDE)
    x = torch.randn(2 * ROWS + 5, WIDE)
    with torch.no_grad():
        alone = [
            torch.cat(each) for each in zip(*(linears(row[None], layers, norm, active=True) for row in x), strict=True)
        ]
        together = linears(x, layers, norm, active=True)
    for one, two in zip(alone, together, strict=True):
        assert torch.equal(one, two)


def test_what_is_no_number_stays_so_and_stays_in_its_row():
    layer, norm = Linear(WIDE, LANES), nn.LayerNorm(WIDE)
    x = torch.randn(ROWS + 3, WIDE)
    x[5, 3] = torch.nan
    with torch.no_grad():
        (got,) = linears(x, [layer], norm, active=True)
    assert got[5].isnan().all()
    assert got.isfinite().all(1).sum() == len(x) - 1


def test_rows_with_gaps_and_weights_that_do_not_fit_are_taken_too():
    x = torch.randn(50, 3 * WIDE)[:, :WIDE].requires_grad_()
    layer = Linear(WIDE, LANES)
    (got,) = linears(x, [layer])
    torch.testing.assert_close(got, nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5, rtol=1e-5)
    narrow = x.detach()[:, : WIDE - 3]
    layer, norm = Linear(WIDE - 3, LANES), nn.LayerNorm(WIDE - 3)
    assert not fused.fits(narrow, [layer.weight])
    with torch.no_grad():
        assert fused.fits(narrow, [layer.weight])
        (got,) = linears(narrow, [layer], norm, active=True)
    torch.testing.assert_close(got, *torchs_own(narrow, [layer], norm, True), atol=1e-5, rtol=1e-5)
    odd = Linear(WIDE, LANES + 1)
    assert not fused.fits(x, [odd.weight])
    torch.testing.assert_close(
        linears(x, [odd])[0], nn.functional.linear(x, odd.weight, odd.bias), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("present", [50, 30])
@pytest.mark.parametrize("gated", [False, True])
def test_sums_over_neighbours_by_kernels_are_those_of_torch(monkeypatch, present, gated):
    torch.manual_seed(0)
    ends = torch.randint(0, 50, (2, 140))
    ends = ends[:, ends[0] != ends[1]]
    where = topology.Topology.of(ends, 50, present, torch.float32)
    f = torch.randn(ends.shape[1], 23, requires_grad=True)
    x = torch.randn(present, 23, requires_grad=True)
    gate = (2 * torch.rand(ends.shape[1])).requires_grad_()
    bias, beside = torch.randn(23, requires_grad=True), torch.randn(ends.shape[1], 23, requires_grad=True)
    leaves = [f, x, gate, bias, beside] if gated else [f, x, bias, beside]

    def both_ways():
        out = where.across_edges(f, beside), where.across_vertices(x, gate if gated else None, x.sin(), bias)
        return *out, *torch.autograd.grad(out[0].square().sum() + out[1].pow(3).sum(), leaves)

    compiled = both_ways()
    monkeypatch.setattr(topology, "_compiled", lambda rows: False)
    for one, two in zip(compiled, both_ways(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-5)
