"""The test vector: what a model answers on a small made-up tile, kept beside it and asked again on each machine.

The tile is integer arithmetic: no file, no random numbers, the same bytes everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.space import Tile
from .digest import AGAIN

if TYPE_CHECKING:
    from torch import Tensor

    from ..model.embedded import Embedding
    from ..model.heads import ClusterHead, GatedHead
    from ..schema.graph import EntityGraph
    from .load import LoadedModel

VECTOR = "test_vector.json"
LENGTH = 16  # numbers kept of the pooled embedding
TOLERANCE = 0.01  # of max(1, |value|): another processor rounds differently, and a pixel may change its superpixel
CELL_PX = 24


def synthetic_nuclei(size_px: int) -> NDArray[np.int64]:
    """Labels (S, S) of the nuclei of `synthetic_tile`, 0 for none: discs on a shaken lattice."""
    y, x = np.mgrid[:size_px, :size_px].astype(np.int64)
    row, col = y // CELL_PX, x // CELL_PX
    centre_y = row * CELL_PX + 8 + (row * 37 + col * 91) % 9
    centre_x = col * CELL_PX + 8 + (row * 53 + col * 29) % 9
    radius = 3 + (row * 17 + col * 71) % 5
    nucleus = (y - centre_y) ** 2 + (x - centre_x) ** 2 <= radius**2
    return np.where(nucleus, 1 + row * size_px + col, 0)


def synthetic_tile(size_px: int) -> NDArray[np.uint8]:
    """Tissue-like tile (S, S, 3) uint8: pink stroma, purple nuclei on a shaken lattice, a white lumen."""
    y, x = np.mgrid[:size_px, :size_px].astype(np.int64)
    nucleus = synthetic_nuclei(size_px) > 0
    lumen = (3 * y - size_px) ** 2 + (3 * x - 2 * size_px) ** 2 <= (size_px // 2) ** 2
    grain = (x * x * 7 + y * y * 13 + x * y * 5) % 31
    shade = (x + 2 * y) * 24 // size_px
    stroma = np.stack([214 - shade + grain // 4, 150 - shade + grain, 190 - shade // 2 + grain // 2], axis=-1)
    dark = np.stack([92 + grain, 60 + grain // 2, 140 + grain // 2], axis=-1)
    bright = np.stack([240 + grain // 8, 236 + grain // 8, 241 + grain // 8], axis=-1)
    rgb = np.where(lumen[..., None], bright, np.where(nucleus[..., None], dark, stroma))
    return rgb.astype(np.uint8)


def answer(model: LoadedModel) -> dict[str, list[float]]:
    """What `model` says about its test tile: the start of the embedding, and the values of every head."""
    import torch

    from ..graph.build import build
    from ..graph.nuclei import labelled

    settings, size_px = model.card.graph, model.card.graph.tile_px
    tile = Tile(0.0, 0.0, float(size_px), size_px, settings.mpp)
    nuclei = labelled(synthetic_nuclei(size_px), tile) if settings.entities == "tissue+nuclei" else None
    graph, _ = build(synthetic_tile(size_px), tile, "test vector", settings, nuclei)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # another number may take other kernels, which round differently
    try:
        return _asked(model, graph)
    finally:
        torch.set_num_threads(threads)


def _asked(model: LoadedModel, graph: EntityGraph) -> dict[str, list[float]]:
    """The same of the tile's graph."""
    import torch

    from ..schema.graph import batched

    with torch.no_grad():
        embedding = model.encoder.embed(model.features(batched([graph]).to(model.device)))
        said = {"embedding": embedding.pooled()[0, :LENGTH]}
        for name, head in model.heads.items():
            said[f"head {name}"] = _said_by(head, embedding)
        if model.novelty is not None:
            said["novelty"] = model.novelty(embedding.source)
    return {name: [float(value) for value in values.reshape(-1).cpu()] for name, values in said.items()}


def _said_by(head: GatedHead | ClusterHead, embedding: Embedding) -> Tensor:
    """Values of a head; of clusters their coordinates, which do not jump when a number rounds differently."""
    from ..model.heads import ClusterHead

    if isinstance(head, ClusterHead):
        return head.project(embedding.pooled())
    return head(embedding.tokens(), embedding.source.vertices).value


def check_test_vector(model: LoadedModel) -> float:
    """Largest deviation of `model` on this machine from its test vector, in units of ``max(1, |value|)``.

    Raises
    ------
    InputError
        The stored vector cannot be read, or is not of this model.
    """
    return deviation(model.folder, answer(model))


def deviation(folder: Path, found: Mapping[str, Sequence[float]]) -> float:
    """Largest deviation of `found` from the test vector in `folder`; raises as `check_test_vector`."""
    path = folder / VECTOR
    expected = _read(path)
    if {name: len(values) for name, values in found.items()} != {
        name: len(values) for name, values in expected.items()
    }:
        raise InputError(f"{path}: is not of this model", AGAIN)
    return max(_deviation(found[name], expected[name]) for name in found)


def _read(path: Path) -> dict[str, list[float]]:
    try:
        return {
            name: [float(value) for value in values] for name, values in json.loads(path.read_text("utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as lists of numbers", AGAIN) from error


def _deviation(found: Sequence[float], expected: Sequence[float]) -> float:
    """Largest difference in units of ``max(1, |expected|)``; not-a-number counts as infinite."""
    a, b = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    worst = float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)), initial=0.0))
    return worst if np.isfinite(worst) else float("inf")


def write_test_vector(folder: Path, said: Mapping[str, Sequence[float]]) -> None:
    """Keep in `folder` what its model said."""
    (folder / VECTOR).write_text(json.dumps(said, indent=1) + "\n", "utf-8")
