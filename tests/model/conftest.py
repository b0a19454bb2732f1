"""Random Delaunay graphs, small enough to run everything twice."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import DiffusionSettings

VERTEX_PARTS, EDGE_PARTS = (4, 3), (3, 2)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _edges(points: np.ndarray) -> np.ndarray:
    if len(points) < 3:
        return np.array([[0, 1]])[: len(points) - 1]
    triangles = Delaunay(points).simplices
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]])
    return np.unique(np.sort(pairs, axis=1), axis=0)


@pytest.fixture
def graphs() -> Callable[..., LatentBatch]:
    """Batch of graphs of the given sizes; size -n is n vertices without any edge."""

    def make(sizes: list[int], dv: int = 7, de: int = 5, seed: int = 0) -> LatentBatch:
        rng = np.random.default_rng(seed)
        points = [rng.random((abs(n), 2)) for n in sizes]
        edges = [_edges(p) if n > 1 else np.zeros((0, 2), int) for n, p in zip(sizes, points, strict=True)]
        first = np.cumsum([0, *(abs(n) for n in sizes)])
        index = torch.from_numpy(np.concatenate([e + at for e, at in zip(edges, first[:-1], strict=True)])).long().t()
        pos = torch.from_numpy(np.concatenate(points)).float()
        batch = torch.arange(len(sizes)).repeat_interleave(torch.tensor([abs(n) for n in sizes]))
        draw = torch.Generator().manual_seed(seed)
        return LatentBatch(
            x=torch.randn(pos.shape[0], dv, generator=draw),
            edge_attr=torch.randn(index.shape[1], de, generator=draw),
            edge_index=index,
            pos=pos,
            edge_pos=pos[index].mean(0),
            batch=batch,
            edge_batch=batch[index[0]],
            num_graphs=len(sizes),
            kind=(torch.arange(pos.shape[0]) % 4 == 0).long(),
            area=torch.rand(pos.shape[0], generator=draw) + 0.1,
        )

    return make


@pytest.fixture
def model_of() -> Callable[..., HMGDM]:
    """A small model; the restoring heads, zero at the start, are given weights, so that every path shows."""

    def make(*, trained: bool = True, **settings: object) -> HMGDM:
        torch.manual_seed(1)
        chosen = DiffusionSettings(**{"hidden": 16, "heads": 2, **settings})
        model = HMGDM(chosen, VERTEX_PARTS, EDGE_PARTS)
        if trained:
            for head in (model.vertex_head, model.edge_head):
                if head is not None:
                    torch.nn.init.normal_(head.layers[-1].weight, std=0.3)
        return model

    return make
