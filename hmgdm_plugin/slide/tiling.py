"""Squares of tissue at the model's scale: a grid over QuPath's crop, thinned to tissue or to regions, made one by one.

The grid is anchored at the upper left corner of the crop, so the same slide gives the same tiles whatever the regions.
Its last row and column may stick out of the crop, where at least half of a tile lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..schema.space import Frame, Tile
from .tissue import Tissue

IN_REGION = 0.25  # share of a tile's area that lies in a region, where its centre does not

Regions = Sequence[shapely.Polygon | shapely.MultiPolygon]


def tiles(
    frame: Frame,
    mpp: float,
    size_px: int,
    overlap: float = 0.0,
    tissue: Tissue | None = None,
    min_tissue: float = 0.25,
    regions: Regions | None = None,
) -> Iterator[Tile]:
    """Yield the tiles of a slide, row by row.

    Parameters
    ----------
    frame : Frame
    mpp : float
        Microns per pixel of the tiles' images.
    size_px : int
        Side of the tiles' images.
    overlap : float
        Share of a tile that its neighbour repeats, 0 to below 1.
    tissue : Tissue, optional
        Only tiles with at least `min_tissue` of it, counted over the part of a tile that lies on the slide.
    min_tissue : float
        0 takes every tile, tissue or not.
    regions : sequence of polygons, optional
        In level-0 pixels. Only tiles whose centre, or a quarter of whose area, lies inside one. A region that gets
        no tile of the grid gets one centred on it, at the end, if it lies on the slide and holds any tissue; its row
        and column are those of the nearest tile of the grid.
    """
    grid = _grid(frame, mpp, size_px, overlap)
    if regions is None:
        every = (grid.tile(row, col) for row in range(grid.rows) for col in range(grid.cols))
        yield from (tile for tile in every if _share(tissue, tile) >= min_tissue)
        return
    parts = _on_slide(frame, regions)
    served = np.zeros(len(parts), bool)
    for row in range(grid.rows):
        inside = _inside(grid, row, parts)  # (regions, cols)
        for col in np.flatnonzero(inside.any(0)):
            tile = grid.tile(row, int(col))
            if _share(tissue, tile) >= min_tissue:
                served |= inside[:, col]
                yield tile
    own = (grid.centred_on(part) for part in parts[~served])
    yield from (tile for tile in own if min_tissue <= 0.0 or _share(tissue, tile) > 0.0)


def count(
    frame: Frame,
    mpp: float,
    size_px: int,
    overlap: float = 0.0,
    tissue: Tissue | None = None,
    min_tissue: float = 0.25,
    regions: Regions | None = None,
) -> int:
    """Count the tiles that `tiles` yields for the same arguments."""
    return sum(1 for _ in tiles(frame, mpp, size_px, overlap, tissue, min_tissue, regions))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where tiles of one scale can lie, in level-0 pixels."""

    x_px: float
    y_px: float
    side_px: float
    stride_px: float
    rows: int
    cols: int
    size_px: int
    mpp: float

    def tile(self, row: int, col: int) -> Tile:
        x_px, y_px = self.x_px + col * self.stride_px, self.y_px + row * self.stride_px
        return Tile(x_px, y_px, self.side_px, self.size_px, self.mpp, row, col)

    def centred_on(self, region: BaseGeometry) -> Tile:
        """A tile around a small region, or around a point inside a long and thin one."""
        left, top, right, bottom = region.bounds
        middle = ((left + right) / 2, (top + bottom) / 2)
        if max(right - left, bottom - top) > self.side_px:
            middle = region.representative_point().coords[0]
        x_px, y_px = middle[0] - self.side_px / 2, middle[1] - self.side_px / 2
        col = min(max(round((x_px - self.x_px) / self.stride_px), 0), self.cols - 1)
        row = min(max(round((y_px - self.y_px) / self.stride_px), 0), self.rows - 1)
        return Tile(x_px, y_px, self.side_px, self.size_px, self.mpp, row, col)


def _grid(frame: Frame, mpp: float, size_px: int, overlap: float) -> _Grid:
    x_px, y_px, width_px, height_px = frame.bounds
    side_px = size_px * mpp / frame.mpp
    stride_px = side_px * (1.0 - overlap)
    rows, cols = (max(1, 1 + math.floor((length - side_px / 2) / stride_px)) for length in (height_px, width_px))
    return _Grid(float(x_px), float(y_px), side_px, stride_px, rows, cols, size_px, mpp)


def _share(tissue: Tissue | None, tile: Tile) -> float:
    return 1.0 if tissue is None else tissue.fraction(tile.x_px, tile.y_px, tile.side_px)


def _on_slide(frame: Frame, regions: Regions) -> NDArray[np.object_]:
    """Those parts of `regions` that lie within the crop and have an area."""
    x_px, y_px, width_px, height_px = frame.bounds
    crop = shapely.box(x_px, y_px, x_px + width_px, y_px + height_px)
    valid = shapely.make_valid(np.array(regions, dtype=object))
    parts = np.atleast_1d(shapely.intersection(valid, crop))
    parts = parts[shapely.area(parts) > 0]
    shapely.prepare(parts)
    return parts


def _inside(grid: _Grid, row: int, parts: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether each tile of a row belongs to each region: (regions, cols)."""
    inside = np.zeros((len(parts), grid.cols), bool)
    top = grid.y_px + row * grid.stride_px
    bounds = shapely.bounds(parts).reshape(-1, 4)
    for number in np.flatnonzero((bounds[:, 1] < top + grid.side_px) & (bounds[:, 3] > top)):
        first = math.floor((bounds[number, 0] - grid.side_px - grid.x_px) / grid.stride_px)
        last = math.ceil((bounds[number, 2] - grid.x_px) / grid.stride_px)
        columns = np.arange(max(first, 0), min(last, grid.cols - 1) + 1)
        inside[number, columns] = _belong(grid, grid.x_px + columns * grid.stride_px, top, parts[number])
    return inside


def _belong(grid: _Grid, lefts: NDArray[np.float64], top: float, region: BaseGeometry) -> NDArray[np.bool_]:
    """Whether tiles at `lefts` x `top` have their centre, or a quarter of their area, in `region`."""
    half = grid.side_px / 2
    belong = np.asarray(shapely.contains_xy(region, lefts + half, np.full_like(lefts, top + half)), bool)
    boxes = shapely.box(lefts, top, lefts + grid.side_px, top + grid.side_px)
    unsure = np.flatnonzero(~belong & shapely.intersects(region, boxes))
    shares = shapely.area(shapely.intersection(boxes[unsure], region)) / grid.side_px**2
    belong[unsure] = shares >= IN_REGION
    return belong
