"""The tiles in which nuclei are looked for: one grid of pixels at the detector's scale, whatever the slide's.

The grid starts at the crop of the slide that QuPath shows. Every pixel belongs to the core of one tile; around its core
a tile is read as far as the network's answers there reach, and no farther than the slide. All tiles start at whole
multiples of what the network pools over, so they see the same pixels at the same places of its grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from ..nuclei.limits import histogram, limits_of
from ..schema.space import Tile
from ..slide.tissue import Tissue

if TYPE_CHECKING:
    from ..nuclei.seams import Place
    from ..nuclei.stars import Floats, StarDist
    from ..slide.reader import Slide

NEAR_UM = 25.0  # a nucleus this near to what the mask calls tissue may still be one
FOREIGN = 0.25  # of an outline, from which on it is no nucleus: the rim of ink is taken for tissue
LEAST_CORE_PX = 256
FIELDS, FIELD_PX = 48, 256  # looked at for the limits of normalisation
Areas = Sequence[shapely.Polygon | shapely.MultiPolygon]


@dataclass(frozen=True, slots=True)
class Cores:
    """The tiles of a slide at a detector's scale.

    Parameters
    ----------
    x_px, y_px : float
        Where the grid starts, in level-0 pixels.
    scale : float
        Level-0 pixels per pixel of the detector.
    width, height : int
        Of the grid in pixels of the detector, multiples of `multiple`.
    core, margin, multiple : int
        Side of the part that is a tile's own, what is read around it, what both are multiples of.
    near : Tissue
        Where nuclei are looked for.
    """

    x_px: float
    y_px: float
    scale: float
    width: int
    height: int
    core: int
    margin: int
    multiple: int
    near: Tissue

    @classmethod
    def of(cls, slide: Slide, detector: StarDist, tissue: Tissue) -> Cores:
        """The grid for the crop of `slide` that QuPath shows."""
        from scipy import ndimage

        settings, frame = detector.settings, slide.frame
        multiple = max(settings.network.multiple)
        scale = settings.mpp / frame.mpp
        x_px, y_px, *sides = frame.bounds
        width, height = (_up(math.ceil(side / scale - 1e-6), multiple) for side in sides)
        margin = _up(settings.network.reach_px, multiple)
        core = max(settings.tile_px - 2 * margin, LEAST_CORE_PX) // multiple * multiple
        steps = math.ceil(NEAR_UM / (tissue.downsample * frame.mpp))
        around = ndimage.binary_dilation(tissue.mask, iterations=steps)
        if tissue.foreign is not None:
            around &= ~tissue.foreign
        near = Tissue(around, tissue.downsample, tissue.foreign)
        return cls(float(x_px), float(y_px), scale, width, height, core, margin, multiple, near)

    def places(self, areas: Areas | None = None) -> list[Place]:
        """Tiles with any tissue, and with any part of `areas` (level-0 pixels), row by row."""
        across, down = -(-self.width // self.core), -(-self.height // self.core)
        every = [(row, col) for row in range(down) for col in range(across)]
        every = [place for place in every if self.near.fraction(*self._square(place)) > 0.0]
        if areas is not None and every:
            corners = np.array([self._square(place) for place in every])
            boxes = shapely.box(*corners[:, :2].T, *(corners[:, :2] + corners[:, 2:]).T)
            hit = np.unique(shapely.STRtree(boxes).query(np.array(areas, object), predicate="intersects")[1])
            every = [every[k] for k in hit]
        return every

    @property
    def most_px(self) -> int:
        """Pixels of the largest box that is read for a tile."""
        return (self.core + 2 * self.margin) ** 2

    def box(self, place: Place) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what is read for a tile, in pixels of the detector: its tissue and the margin."""
        (top, bottom), (left, right) = (
            (max(low - self.margin, 0), min(high + self.margin, end))
            for (low, high), end in zip(self._tissue(place), (self.height, self.width), strict=True)
        )
        return left, top, right, bottom

    def owns(self, place: Place, points: NDArray[np.int64], rim: int) -> NDArray[np.bool_]:
        """Whether points (N, 2) row, column lie in the core of `place`, near tissue, `rim` pixels inside the slide."""
        own = (points // self.core == place) & (points >= rim) & (points < np.array([self.height, self.width]) - rim)
        pixel = ((points + 0.5) * self.scale + (self.y_px, self.x_px)) / self.near.downsample
        row, column = np.minimum(pixel.astype(np.int64), np.array(self.near.mask.shape) - 1).T
        return np.asarray(own.all(axis=1) & self.near.mask[row, column])

    def is_foreign(self, polygons: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether outlines (N, R, 2) in level-0 pixels lie by a good part on ink or black, where no nucleus can be."""
        if self.near.foreign is None or not len(polygons):
            return np.zeros(len(polygons), bool)
        last = np.array(self.near.mask.shape)[::-1] - 1
        column, row = np.moveaxis(np.clip(polygons // self.near.downsample, 0, last).astype(np.int64), 2, 0)
        return np.asarray(self.near.foreign[row, column].mean(axis=1) >= FOREIGN)

    def to_slide(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (..., 2) x, y in pixels of the detector as level-0 points."""
        return np.asarray(points, np.float64) * self.scale + (self.x_px, self.y_px)

    def _square(self, place: Place) -> tuple[float, float, float]:
        """Upper left corner and side of a core in level-0 pixels."""
        side = self.core * self.scale
        return self.x_px + place[1] * side, self.y_px + place[0] * side, side

    def _tissue(self, place: Place) -> list[tuple[int, int]]:
        """First and last row, first and last column of the tissue in a core, out to whole multiples."""
        corner, step = np.array([self.y_px, self.x_px]), self.near.downsample
        low = np.array(place) * self.core
        first = np.maximum((low * self.scale + corner) / step, 0.0).astype(int)
        last = np.ceil(((low + self.core) * self.scale + corner) / step).astype(int)
        there = np.nonzero(self.near.mask[first[0] : last[0], first[1] : last[1]])
        spans = []
        for axis in range(2):
            if not len(there[axis]):
                return [(int(at), int(at) + self.core) for at in low]
            ends = (first[axis] + np.array([there[axis].min(), there[axis].max() + 1])) * step
            start, end = (ends - corner[axis]) / self.scale
            begin = max(math.floor(start / self.multiple) * self.multiple, int(low[axis]))
            spans.append((begin, min(_up(math.ceil(end), self.multiple), int(low[axis]) + self.core)))
        return spans


def slide_limits(slide: Slide, tissue: Tissue, detector: StarDist) -> Floats:
    """Limits (2, 3) of normalisation of a slide, from fields of tissue spread evenly over it, without ink and black."""
    settings, scale = detector.settings, detector.settings.mpp / slide.frame.mpp
    x_px, y_px, width, height = slide.frame.bounds
    side = min(FIELD_PX * scale, float(width), float(height))
    grid = [(x_px + x * side, y_px + y * side) for y in range(int(height // side)) for x in range(int(width // side))]
    share = np.array([tissue.fraction(*at, side) for at in grid])
    there = np.flatnonzero(share >= min(0.5, float(share.max())))
    chosen = there[np.linspace(0, len(there) - 1, min(FIELDS, len(there))).round().astype(int)]
    size = max(round(side / scale), 1)
    fields = (Tile(x, y, side, size, settings.mpp) for x, y in (grid[k] for k in chosen))
    counts = [histogram(_clean(slide.read(f.x_px, f.y_px, side, size), tissue.foreign_under(f))) for f in fields]
    return limits_of(np.sum(counts, axis=0), settings.percentiles)


def _clean(rgb: NDArray[np.uint8], foreign: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Pixels (N, 3) of a field that are not foreign; all of them where nothing else is there."""
    return rgb[np.ones_like(foreign) if foreign.all() else ~foreign]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
