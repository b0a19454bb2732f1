"""Nuclei that a detector found, in blocks on disk, so that a run that was stopped goes on inside its search.

A block holds what was settled of a few tiles of the search: candidates and the stain under them, bit for bit. The tiles
that follow see the same neighbours as in a run that was never stopped, so they find the same nuclei.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..nuclei.stars import Candidates
from ..schema.run import nuclei_block_file

if TYPE_CHECKING:
    from torch import Tensor

    from ..nuclei.stars import Floats

TILES_PER_BLOCK = 4  # of 1,024 px: as much tissue as in a block of encoded tiles
FORMAT = 1  # of a block; another one is searched again
Settled = tuple[Candidates, "Floats"]


class KeptNuclei:
    """The blocks of one search in one folder.

    Parameters
    ----------
    folder : Path
    facts : sequence
        Everything that decides what is found, as JSON takes it; blocks with other facts are searched again.
    """

    def __init__(self, folder: Path, facts: Sequence[Any]) -> None:
        recipe = json.dumps([FORMAT, __version__, *facts])
        self._folder, self._recipe = folder, hashlib.sha256(recipe.encode()).hexdigest()
        self._number, self._new = 0, list[Settled]()
        folder.mkdir(parents=True, exist_ok=True)

    def read(self) -> Iterator[Settled]:
        """What earlier runs settled, tile by tile from the first on; before anything is added."""
        for self._number in count():
            tiles = self._block(self._number)
            if tiles is None:
                return
            yield from tiles

    def add(self, candidates: Candidates, stain: Floats) -> None:
        """Keep the next tile, as soon as its block is full; the last tiles of a slide are searched again."""
        from ..schema.weights import write_tensors

        self._new.append((candidates, stain))
        if len(self._new) == TILES_PER_BLOCK:
            path = self._folder / nuclei_block_file(self._number)
            write_tensors(path, _packed(self._new), {"recipe": self._recipe})
            self._number, self._new = self._number + 1, []

    def _block(self, number: int) -> list[Settled] | None:
        """Tiles of a block; None where it is missing, damaged, or of another recipe."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._folder / nuclei_block_file(number), "np") as file:
                if (file.metadata() or {}).get("recipe") != self._recipe:
                    return None
                return _unpacked({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError):
            return None


def _packed(tiles: list[Settled]) -> dict[str, Tensor]:
    """Tensors of a block: everything end to end, and how much of it belongs to each tile."""
    import torch

    parts: dict[str, list[NDArray[Any]]] = {
        "points": [candidates.points for candidates, _ in tiles],
        "probability": [candidates.probability for candidates, _ in tiles],
        "distances": [candidates.distances for candidates, _ in tiles],
        "stain": [stain for _, stain in tiles],
    }
    sizes = torch.tensor([len(candidates) for candidates, _ in tiles])
    return {"sizes": sizes, **{name: torch.from_numpy(np.concatenate(part)) for name, part in parts.items()}}


def _unpacked(kept: dict[str, NDArray[Any]]) -> list[Settled]:
    ends = np.cumsum(kept["sizes"])[:-1]
    names = ("points", "probability", "distances", "stain")
    parts = zip(*(np.split(kept[name], ends) for name in names), strict=True)
    return [(Candidates(points, probability, distances), stain) for points, probability, distances, stain in parts]
