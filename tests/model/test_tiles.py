"""Products by tiles of registers against torch's own, where the last rows and columns do not fill a tile."""

import pytest
import torch

from hmgdm_plugin.model import products
from hmgdm_plugin.model.products import blocks, product, times
from hmgdm_plugin.model.tiles import HIGH, LANES, fill, memory, multiply


@pytest.mark.parametrize("high", [HIGH, HIGH + 1, 37])
@pytest.mark.parametrize("wide", [LANES, 4 * LANES + 3, 150])
@pytest.mark.parametrize("deep", [50, 300])
def test_products_of_any_shape_are_torchs(high, wide, deep):
    a, b = torch.randn(high, deep), torch.randn(deep, wide)
    out = torch.full((high, wide), torch.nan)
    fill(out.numpy(), a.numpy(), b.numpy())
    torch.testing.assert_close(out, a @ b, atol=4e-7 * deep, rtol=0)


def test_products_can_be_added_to_what_is_there_from_matrices_turned_round():
    a, b = torch.randn(HIGH, 9), torch.randn(9, 2 * LANES)
    to = memory(HIGH, 2 * LANES)
    assert to.ctypes.data % 64 == 0
    for add in (0, 1):
        multiply(to, a.t().contiguous().numpy().T, b.numpy(), HIGH, 9, 2 * LANES, add)
    torch.testing.assert_close(torch.from_numpy(to), 2 * (a @ b), atol=2e-5, rtol=0)


@pytest.mark.parametrize("rows", [7, 33, 300, products.TILED + 1])
@pytest.mark.parametrize("threads", [1, 2])
def test_all_ways_to_multiply_are_torchs(rows, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    x, weight, bias = torch.randn(rows, 70), torch.randn(90, 70), torch.randn(90)
    torch.testing.assert_close(times(x, weight, bias), torch.addmm(bias, x, weight.t()), atol=5e-5, rtol=0)
    torch.testing.assert_close(product(x.t(), x), x.t() @ x, atol=1e-3, rtol=1e-5)
    ((piece, height),) = list(blocks(rows, 70, torch.float32))
    as_it_is = (threads == 1 and rows <= products.TILED) or not products._onednn_is_faster()
    assert (piece, height == rows) == (slice(0, rows), as_it_is)
