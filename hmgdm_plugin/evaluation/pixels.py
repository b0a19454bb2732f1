"""Tiles as pixels, in shards: what rivals without graphs learn from, cut, turned and re-stained as they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from ..schema.errors import InputError
from ..schema.weights import write_tensors
from ..training.augment import restain, turn
from ..training.order import Ints

PATTERN = "pixels-*.safetensors"
CROP_PX = 128  # half a tile: four crops make one
MEAN, DEVIATION = 0.75, 0.2  # about those of H&E; the same for all channels


def write_pixels(path: Path, tiles: Sequence[NDArray[np.uint8]]) -> None:
    """Write tiles (S, S, 3) uint8; the file appears whole or not at all."""
    write_tensors(path, {"rgb": torch.from_numpy(np.stack(tiles))})


class OfPixels(Protocol):
    """A network that learns from crops and embeds tiles."""

    def error(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """Mean error on crops (B, 3, CROP_PX, CROP_PX) uint8."""

    def embed(self, tiles: Tensor) -> Tensor:
        """Embeddings (B, d) of tiles (B, S, S, 3) uint8."""


class Pixels:
    """All tiles of a folder, numbered over its files in name order; see `training.order.Corpus`."""

    def __init__(self, folder: Path) -> None:
        paths = sorted(folder.glob(PATTERN))
        if not paths:
            raise InputError(f"{folder}: no {PATTERN} there", "give sources with tissue")
        self._tiles = [safe_open(path, "pt").get_slice("rgb") for path in paths]
        sizes = [each.get_shape()[0] for each in self._tiles]
        self.first: Ints = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.entities = len(self)

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def files(self) -> int:
        """Number of files."""
        return len(self._tiles)

    def sizes(self, shard: int) -> Ints:
        """One for every tile: they are all alike."""
        return np.ones(int(self.first[shard + 1] - self.first[shard]), np.int64)

    def tile(self, number: int) -> NDArray[np.uint8]:
        """Tile `number`, (S, S, 3)."""
        shard = int(np.searchsorted(self.first, number, side="right")) - 1
        place = number - int(self.first[shard])
        return self._tiles[shard][place : place + 1].numpy()[0]

    def crops(self, numbers: Ints, rng: np.random.Generator) -> Tensor:
        """One view of each tile, (B, 3, CROP_PX, CROP_PX) uint8: cut, turned and re-stained at random."""
        return torch.from_numpy(np.stack([_view(self.tile(int(n)), rng) for n in numbers])).permute(0, 3, 1, 2)


def _view(tile: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    y, x = rng.integers(0, [side - CROP_PX + 1 for side in tile.shape[:2]])
    return restain(turn(tile[y : y + CROP_PX, x : x + CROP_PX], rng), rng)


def quarters(tiles: Tensor) -> Tensor:
    """The crops that cover tiles (B, S, S, 3) uint8 side by side: (B, K, 3, CROP_PX, CROP_PX) float, normalised."""
    patches = tiles.permute(0, 3, 1, 2).unfold(2, CROP_PX, CROP_PX).unfold(3, CROP_PX, CROP_PX)
    return normalised(patches.flatten(2, 3).transpose(1, 2))


def normalised(rgb: Tensor) -> Tensor:
    """Pixels of 0..255 as floats about 0."""
    return (rgb.float() / 255 - MEAN) / DEVIATION
