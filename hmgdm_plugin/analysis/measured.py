"""What is measured on the nuclei that were found, beside what heads predict: how many there are, and how large."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.graph import NUCLEUS

if TYPE_CHECKING:
    from .encode import EncodedTile

DENSITY, AREA = "nuclei found", "median area of nuclei found"
UNITS = {DENSITY: "nuclei/mm²", AREA: "µm²"}
APART = 1.5  # times more, or less, that a density is predicted than counted


@dataclass(frozen=True, slots=True)
class Measured:
    """Nuclei of one tile.

    Parameters
    ----------
    tissue_mm2 : float
        Tissue of the tile in square millimetres.
    areas_um2 : (n,) float32
        Area of every nucleus whose centroid lies in the tile.
    """

    tissue_mm2: float
    areas_um2: NDArray[np.float32]

    def values(self) -> dict[str, float]:
        """The numbers of `UNITS`; no area where there is no nucleus."""
        out = {DENSITY: len(self.areas_um2) / self.tissue_mm2}
        return out | ({AREA: float(np.median(self.areas_um2))} if len(self.areas_um2) else {})


def measured(tile: EncodedTile) -> Measured:
    """Measure the nuclei of a tile that was encoded with its outlines."""
    assert tile.outlines is not None
    own = tile.outlines[tile.graph.kind.numpy() == NUCLEUS]
    um_per_px = tile.tile.mpp / tile.tile.scale
    return Measured(tissue_mm2(tile), (shapely.area(own) * um_per_px**2).astype(np.float32))


def tissue_mm2(tile: EncodedTile) -> float:
    """Tissue of a tile in square millimetres."""
    return tile.tile.area_mm2 * tissue_share(tile)


def tissue_share(tile: EncodedTile) -> float:
    """Share of a tile's area that is tissue on the slide."""
    return float(tile.latent.vertices.share())


def together(tiles: Sequence[Measured]) -> Measured:
    """The nuclei of all tiles."""
    return Measured(sum(tile.tissue_mm2 for tile in tiles), np.concatenate([tile.areas_um2 for tile in tiles]))


def by_tile(tiles: Iterable[Measured]) -> dict[str, NDArray[np.float64]]:
    """The numbers of `UNITS`, a row for each tile; NaN where there is none."""
    rows = [tile.values() for tile in tiles]
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in UNITS}


def parted(title: str, predicted: NDArray[np.float64], tiles: Sequence[Measured]) -> str:
    """What is said where a density that is predicted (T,) and the nuclei counted part; empty elsewhere."""
    counted = by_tile(tiles)[DENSITY]
    there = counted > 0
    ratio = float(np.median(predicted[there] / counted[there])) if there.any() else 1.0
    if 1 / APART < ratio < APART:
        return ""
    what = f"{title}: predicted {ratio:.2g} times the nuclei found on the same tiles"
    return f"{what}; look at their outlines, and where these are right go by the nuclei found"
