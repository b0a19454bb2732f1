from __future__ import annotations

import numpy as np
import torch
from torch_geometric.data import Batch

from hmgdm_plugin.schema.graph import EntityGraph
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
    return EntityGraph(
        x=torch.zeros(nodes, 4, 8, 8, dtype=torch.uint8),
        edge_index=torch.tensor(edges).T,
        edge_attr=torch.zeros(len(edges), 4, 8, 8, dtype=torch.uint8),
        kind=torch.zeros(nodes, dtype=torch.uint8),
        tile=torch.tensor([[0.0, 0.0, 8.0]]),
        num_nodes=nodes,
    )


def test_batching_shifts_edges_and_nothing_else() -> None:
    batch = Batch.from_data_list([_graph(3, [(0, 1), (1, 2)]), _graph(2, [(0, 1)])])
    assert batch.edge_index.tolist() == [[0, 1, 3], [1, 2, 4]]
    assert batch.kind.tolist() == [0] * 5
    assert batch.tile.shape == (2, 3)
    assert _graph(3, [(0, 1), (1, 2)]).num_entities == 5
