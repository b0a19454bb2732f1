from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Batch

from hmgdm_plugin.schema.graph import EntityGraph, batched
from hmgdm_plugin.schema.space import Frame, Tile


def test_qupaths_crop_is_subtracted_and_added_back() -> None:
    frame = Frame(1000, 800, 0.25, (100, 40, 500, 300))
    points = np.array([[100.0, 40.0], [600.5, 340.25]])
    np.testing.assert_array_equal(frame.to_qupath(points), [[0, 0], [500.5, 300.25]])
    np.testing.assert_array_equal(frame.from_qupath(frame.to_qupath(points)), points)


def test_a_tile_knows_its_scale_and_area() -> None:
    tile = Tile(10.5, 20.0, 512.0, 256, 0.5)
    np.testing.assert_array_equal(tile.to_slide(np.array([[0, 0], [256, 128]])), [[10.5, 20.0], [522.5, 276.0]])
    assert tile.scale == 2.0
    assert tile.area_mm2 == 0.128**2


def _graph(nodes: int, edges: list[tuple[int, int]]) -> EntityGraph:
    m = len(edges)
    return EntityGraph(
        x=torch.zeros(nodes, 4, 8, 8, dtype=torch.uint8),
        desc=torch.zeros(nodes, 3),
        edge_index=torch.tensor(edges).T,
        edge_attr=torch.arange(m, dtype=torch.uint8)[:, None, None, None].expand(m, 4, 8, 8),
        edge_desc=torch.zeros(m, 3),
        pos=torch.zeros(nodes, 2),
        edge_pos=torch.zeros(m, 2),
        area=torch.ones(nodes),
        edge_area=torch.ones(m),
        kind=torch.zeros(nodes, dtype=torch.uint8),
        tile=torch.tensor([[0.0, 0.0, 8.0]]),
    )


def test_batching_shifts_edges_and_nothing_else() -> None:
    batch = batched([_graph(3, [(0, 1), (1, 2)]), _graph(2, [(0, 1)])])
    assert batch.edge_index.tolist() == [[0, 1, 3], [1, 2, 4]]
    assert batch.kind.tolist() == [0] * 5
    assert batch.tile.shape == (2, 3)
    assert _graph(3, [(0, 1), (1, 2)]).num_entities == 5


def test_torch_geometric_takes_it_and_batches_as_we_do() -> None:
    graphs = [_graph(3, [(0, 1), (1, 2)]), _graph(2, [(0, 1)])]
    theirs, ours = Batch.from_data_list([graph.to_data() for graph in graphs]), batched(graphs)
    assert theirs.is_undirected()
    there = theirs.edge_index[0] < theirs.edge_index[1]
    assert torch.equal(theirs.edge_index[:, there], ours.edge_index)
    assert torch.equal(theirs.edge_attr[there], ours.edge_attr)
    assert torch.equal(theirs.batch, ours.batch)
    assert torch.equal(theirs.tile, ours.tile)
