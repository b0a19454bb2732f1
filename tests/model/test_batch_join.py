"""Batches put side by side answer as each alone."""

from __future__ import annotations

import torch

from hmgdm_plugin.model.batch import LatentBatch, apart, repeated, side_by_side


def _graph(seed: int, vertices: int, edges: list[tuple[int, int]]) -> LatentBatch:
    draw = torch.Generator().manual_seed(seed)
    return LatentBatch(
        x=torch.randn(vertices, 3, generator=draw),
        edge_attr=torch.randn(len(edges), 3, generator=draw),
        edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T,
        pos=torch.rand(vertices, 2, generator=draw),
        edge_pos=torch.rand(len(edges), 2, generator=draw),
        batch=torch.zeros(vertices, dtype=torch.int64),
        edge_batch=torch.zeros(len(edges), dtype=torch.int64),
        num_graphs=1,
        kind=torch.zeros(vertices, dtype=torch.int64),
        area=torch.rand(vertices, generator=draw),
    )


def test_graphs_keep_their_edges_and_their_number() -> None:
    joined = side_by_side([_graph(0, 3, [(0, 1), (1, 2)]), _graph(1, 2, []), _graph(2, 2, [(0, 1)])])
    assert joined.num_graphs == 3
    assert joined.edge_index.tolist() == [[0, 1, 5], [1, 2, 6]]
    assert joined.batch.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert joined.edge_batch.tolist() == [0, 0, 2]


def test_a_graph_beside_itself_is_that_graph_repeated() -> None:
    one = _graph(4, 4, [(0, 3), (1, 2)])
    ours, theirs = side_by_side([one, one]), repeated(one, 2)
    for name in ("x", "edge_attr", "edge_index", "pos", "batch", "edge_batch", "area"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))


def test_graphs_put_side_by_side_come_apart_as_they_were() -> None:
    graphs = [_graph(0, 3, [(0, 1), (1, 2)]), _graph(1, 2, []), _graph(2, 2, [(0, 1)])]
    for one, again in zip(graphs, apart(side_by_side(graphs)), strict=True):
        assert again.num_graphs == 1
        for name in ("x", "edge_attr", "edge_index", "pos", "edge_pos", "batch", "edge_batch", "kind", "area"):
            torch.testing.assert_close(getattr(again, name), getattr(one, name), rtol=0, atol=0)
