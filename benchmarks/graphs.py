"""Graphs to time the model on: random ones of one size, and real ones with numbers for attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from hmgdm_plugin.model.batch import LatentBatch

VERTICES, EDGES = 206, 600
Shape = tuple[NDArray[np.float32], NDArray[np.int64]]  # positions (N, 2) in tile sides, edges (M, 2)


def random_shapes(count: int) -> list[Shape]:
    """Delaunay graphs of random points, their longest edges left out until 600 remain."""
    rng = np.random.default_rng(0)
    return [_delaunay(rng.random((VERTICES, 2), np.float32)) for _ in range(count)]


def _delaunay(points: NDArray[np.float32]) -> Shape:
    corners = Delaunay(points).simplices
    pairs = np.unique(np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]]), 1), axis=0)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return points, pairs[np.sort(np.argsort(length)[:EDGES])].astype(np.int64)


def real_shapes(root: Path, count: int, path: Path) -> None:
    """Write the entity graphs of tiles of MoNuSeg, as the defaults cut them, to `path`."""
    from hmgdm_plugin.graph.build import build
    from hmgdm_plugin.schema.settings import GraphSettings
    from hmgdm_plugin.schema.space import Tile
    from hmgdm_plugin.slide.reader import open_slide

    settings, arrays = GraphSettings(), {}
    side_px = settings.tile_px * settings.mpp / 0.25
    images = sorted((root / "nuc_monuseg_train" / "images").iterdir())
    for number in range(count):
        image, corner = images[number % len(images)], number // len(images)
        x_px, y_px = (float(each) * (1000 - side_px) for each in divmod(corner % 4, 2))
        with open_slide(image, 0.25) as slide:
            rgb = slide.read(x_px, y_px, side_px, settings.tile_px)
        tile = Tile(x_px, y_px, side_px, settings.tile_px, settings.mpp)
        graph, _ = build(rgb, tile, image.stem, settings)
        arrays[f"pos{number}"] = (graph.pos.numpy() - (x_px, y_px)) / side_px
        arrays[f"edges{number}"] = graph.edge_index.numpy().T
    np.savez(path, **arrays)


def read_shapes(path: Path) -> list[Shape]:
    """What `real_shapes` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return [(file[f"pos{n}"].astype(np.float32), file[f"edges{n}"]) for n in range(len(file.files) // 2)]


def batch_of(shapes: Sequence[Shape], attributes: int, seed: int = 0) -> LatentBatch:
    """The graphs side by side, with standard normal attributes."""
    first = np.cumsum([0, *(len(points) for points, _ in shapes)])
    edges = np.concatenate([pairs + at for (_, pairs), at in zip(shapes, first[:-1], strict=True)])
    index = torch.from_numpy(np.ascontiguousarray(edges.T))
    pos = torch.from_numpy(np.concatenate([points for points, _ in shapes]))
    owner = torch.arange(len(shapes)).repeat_interleave(torch.from_numpy(np.diff(first)))
    draw = torch.Generator().manual_seed(seed)
    return LatentBatch(
        x=torch.randn(len(pos), attributes, generator=draw),
        edge_attr=torch.randn(index.shape[1], attributes, generator=draw),
        edge_index=index,
        pos=pos,
        edge_pos=pos[index].mean(0),
        batch=owner,
        edge_batch=owner[index[0]],
        num_graphs=len(shapes),
        kind=torch.zeros(len(pos), dtype=torch.int64),
    )
