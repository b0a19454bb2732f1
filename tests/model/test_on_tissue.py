"""Reading out a tile that is partly glass: as if it were full of the tissue that it shows."""

from __future__ import annotations

import math

import pytest
import torch

from hmgdm_plugin.model.batch import LEAST_TISSUE, LatentBatch, on_tissue, repeated, side_by_side, subgraph
from hmgdm_plugin.model.heads import GatedHead


def _graph(area: list[float], kind: list[int], x: list[float]) -> LatentBatch:
    n, none = len(area), torch.zeros(0, 1)
    of, pairs = torch.zeros(n, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64)
    values = torch.tensor(x)[:, None]
    return LatentBatch(
        values, none, pairs, torch.rand(n, 2), torch.zeros(0, 2), of, of[:0], 1, torch.tensor(kind), torch.tensor(area)
    )


# two superpixels of tissue and two nuclei; then the same beside as much glass again
FULL = _graph([0.5, 0.3, 0.1, 0.1, 0.0], [0, 0, 1, 1, 0], [1, 2, 8, 9, -50])
HALF = _graph([0.25, 0.15, 0.05, 0.05, 0.5], [0, 0, 1, 1, 0], [1, 2, 8, 9, -50])
SHARE, TISSUE = torch.tensor([0.5]), torch.tensor([True, True, True, True, False])


def _rows(graph: LatentBatch) -> torch.Tensor:
    head = GatedHead(1, 1, "regression", kinds=2)
    return head.pool(graph.x, graph.vertices).rows().detach()


def test_glass_is_not_read_out() -> None:
    read = on_tissue(HALF, SHARE, TISSUE)
    torch.testing.assert_close(read.area, FULL.area)
    torch.testing.assert_close(read.tissue, torch.tensor([0.5]))
    full, half = _rows(FULL), _rows(read)
    assert float(half[0, 2]) == pytest.approx(math.log(1 + 2 / 0.5))  # as many nuclei as a whole tile would hold
    torch.testing.assert_close(half[:, [0, 1, 3, 4, 5]], full[:, [0, 1, 3, 4, 5]], atol=1e-5, rtol=1e-5)
    assert float(_rows(HALF)[0, 0]) < -20  # what glass does otherwise


def test_what_is_all_tissue_stays_what_it_is_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    area = torch.rand(50, generator=generator).tolist()
    graph = _graph(area, [0] * 50, area)
    shares, covered = torch.tensor([1.0, 0.5]), torch.cat([torch.ones(50, dtype=torch.bool), TISSUE])
    read = on_tissue(side_by_side([graph, HALF]), shares, covered)
    assert read.area is not None
    assert torch.equal(read.area[:50], graph.weight())
    assert read.tissue is not None
    assert read.tissue[0] == 1


def test_a_tile_without_tissue_is_read_as_a_whole() -> None:
    for share, covered in ((0.9 * LEAST_TISSUE, TISSUE), (0.5, torch.zeros(5, dtype=torch.bool))):
        read = on_tissue(HALF, torch.tensor([share]), covered)
        torch.testing.assert_close(read.area, HALF.area)
        torch.testing.assert_close(read.tissue, torch.ones(1))


def test_the_share_of_tissue_stays_with_its_graph() -> None:
    read = on_tissue(HALF, SHARE, TISSUE)
    assert side_by_side([FULL, read]).vertices.share().tolist() == [[1.0], [0.5]]
    assert repeated(read, 3).vertices.share().tolist() == [[0.5]] * 3
    left = subgraph(read, torch.tensor([True, True, False, True, False]))
    assert left.vertices.share().tolist() == [[0.5]]
    assert read.to("cpu", torch.float64).vertices.share().dtype == torch.float64
