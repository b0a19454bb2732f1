"""Where things are: the slide's frame, QuPath's frame, and a tile.

Coordinates are level-0 pixels (x right, y down; pixel i covers [i, i + 1)) unless a name says otherwise.
QuPath crops slides that declare bounds, Python readers do not: `Frame` holds the offset and converts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """Size, scale and crop of a slide.

    Parameters
    ----------
    width_px, height_px : int
        Whole level-0 size, as the Python readers see it.
    mpp : float
        Microns per level-0 pixel.
    bounds : (x, y, width, height)
        The crop that QuPath shows, in level-0 pixels; the whole slide where none is declared.
    """

    width_px: int
    height_px: int
    mpp: float
    bounds: tuple[int, int, int, int]

    def to_qupath(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Level-0 points (..., 2) as QuPath's pixels (..., 2)."""
        return np.asarray(points, np.float64) - np.asarray(self.bounds[:2], np.float64)

    def from_qupath(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """QuPath's pixels (..., 2) as level-0 points (..., 2)."""
        return np.asarray(points, np.float64) + np.asarray(self.bounds[:2], np.float64)


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of tissue, read at the model's scale.

    Parameters
    ----------
    x_px, y_px, side_px : float
        Upper left corner and side in level-0 pixels; fractions are exact, never rounded.
    size_px : int
        Side of the image read, in pixels at `mpp`.
    mpp : float
        Microns per pixel of the image read: the model's, not the slide's.
    row, col : int
        Place in the grid of tiles, for heat maps.
    """

    x_px: float
    y_px: float
    side_px: float
    size_px: int
    mpp: float
    row: int = 0
    col: int = 0

    @property
    def scale(self) -> float:
        """Level-0 pixels per pixel of the image read."""
        return self.side_px / self.size_px

    @property
    def area_mm2(self) -> float:
        """Area of the tile in square millimetres."""
        return (self.size_px * self.mpp / 1000.0) ** 2

    def to_slide(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 2) in pixels of the tile's image as level-0 points (..., 2)."""
        origin = np.array([self.x_px, self.y_px], np.float64)
        return np.asarray(points, np.float64) * self.scale + origin
