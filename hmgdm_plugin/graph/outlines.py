"""Outlines of entities, made only for what is exported: exact along pixel borders, then simplified together.

Every ring follows the cracks between pixels with its region on the right, so neighbouring outlines share
their borders exactly; `shapely.coverage_simplify` keeps that when it takes the stairs out.
"""

from __future__ import annotations

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from ..schema.space import Tile


@njit(cache=True, nogil=True)
def _at(labels, y, x):  # type: ignore[no-untyped-def]
    """Label at (y, x), -1 outside."""
    return labels[y, x] if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] else -1


@njit(cache=True, nogil=True)
def _close(path, first, depth, place, corners, used):  # type: ignore[no-untyped-def]
    """Move the loop `path[first:depth]` to `corners`; returns how many corners there are."""
    for k in range(first, depth):
        corners[used, 0], corners[used, 1] = path[k, 0], path[k, 1]
        place[path[k, 1], path[k, 0]] = -1
        used += 1
    return used


@njit(cache=True, nogil=True)
def _rings(labels, seen, place, path, corners, bounds, owners):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Corners (K, 2) x, y of all rings, ring bounds and the label of each ring; returns the number of rings.

    A point is kept where the ring turns and where two regions on its other side meet. Where a ring meets itself in a
    corner, the loop between is a ring of its own: `place` (H + 1, W + 1), -1, says where in `path` a corner is.
    """
    height, width = labels.shape
    step_y, step_x = (0, 1, 0, -1), (1, 0, -1, 0)
    corner_y, corner_x = (0, 0, 1, 1), (0, 1, 1, 0)
    used = rings = 0
    for y0 in range(height):
        for x0 in range(width):
            own = labels[y0, x0]
            if seen[y0, x0] or (y0 > 0 and labels[y0 - 1, x0] == own):
                continue
            y, x, way, turned, depth = y0, x0, 0, True, 0
            while True:
                if way == 0:
                    if seen[y, x]:
                        break
                    seen[y, x] = True
                if turned:
                    cx, cy = x + corner_x[way], y + corner_y[way]
                    first = place[cy, cx]
                    if first >= 0:
                        used = _close(path, first, depth, place, corners, used)
                        owners[rings] = own
                        rings += 1
                        bounds[rings] = used
                        depth = first
                    path[depth, 0], path[depth, 1], place[cy, cx] = cx, cy, depth
                    depth += 1
                ahead_y, ahead_x = y + step_y[way], x + step_x[way]
                left = (way + 3) % 4
                side_y, side_x = ahead_y + step_y[left], ahead_x + step_x[left]
                turned = True
                if _at(labels, ahead_y, ahead_x) != own:
                    way = (way + 1) % 4
                elif _at(labels, side_y, side_x) == own:
                    y, x, way = side_y, side_x, left
                else:
                    turned = _at(labels, side_y, side_x) != _at(labels, y + step_y[left], x + step_x[left])
                    y, x = ahead_y, ahead_x
            used = _close(path, 0, depth, place, corners, used)
            owners[rings] = own
            rings += 1
            bounds[rings] = used
    return rings


def rings_of(labels: NDArray[np.int32]) -> tuple[NDArray[np.object_], NDArray[np.int32]]:
    """Rings (R,) of all regions in pixels of the tile, shapely, and the label (R,) of each."""
    (height, width), longest = labels.shape, 2 * sum(labels.shape)
    longest += 2 * int(np.count_nonzero(labels[1:] != labels[:-1]) + np.count_nonzero(labels[:, 1:] != labels[:, :-1]))
    path, corners = np.empty((2, longest, 2), np.int32)
    bounds, owners = np.zeros(longest + 1, np.int64), np.empty(longest, np.int32)
    seen, place = np.zeros((height, width), np.bool_), np.full((height + 1, width + 1), -1, np.int32)
    count = _rings(np.ascontiguousarray(labels), seen, place, path, corners, bounds, owners)
    points = corners[: bounds[count]].astype(np.float64)
    return shapely.linearrings(points, indices=np.repeat(np.arange(count), np.diff(bounds[: count + 1]))), owners[
        :count
    ]


def outlines(labels: NDArray[np.int32], count: int, tile: Tile, tolerance_px: float = 0.75) -> NDArray[np.object_]:
    """Outline of every entity.

    Parameters
    ----------
    labels : (H, W) int32
        Entity of every pixel, 0..count-1.
    tile : Tile
        Where the labels lie.
    tolerance_px : float
        Largest shift of a border in pixels of the tile; 0 keeps the pixels' stairs.

    Returns
    -------
    geometries : (count,) array of shapely Polygon or MultiPolygon
        In level-0 pixels, in the order of the labels; neighbours share their borders.
    """
    rings, owners = rings_of(labels)
    outer = shapely.is_ccw(rings)  # y points down: a ring with its region on the right counts as counter-clockwise
    geometries = np.empty(count, object)
    simple = np.bincount(owners, minlength=count) == 1
    plain = simple[owners]
    geometries[owners[plain]] = shapely.polygons(rings[plain])
    by_label = np.argsort(owners, kind="stable")
    starts = np.searchsorted(owners[by_label], np.arange(count + 1))
    for label in np.flatnonzero(~simple):
        own = by_label[starts[label] : starts[label + 1]]
        geometries[label] = _polygon(rings[own], outer[own])
    if tolerance_px > 0:
        geometries = shapely.coverage_simplify(geometries, tolerance_px, simplify_boundary=False)
    return shapely.transform(geometries, tile.to_slide)


def _polygon(rings: NDArray[np.object_], outer: NDArray[np.bool_]) -> shapely.Polygon | shapely.MultiPolygon:
    """One region's rings as a polygon with its holes, or several where it hangs together by corners only."""
    shells, holes = rings[outer], rings[~outer]
    if len(shells) == 1:
        return shapely.Polygon(shells[0], list(holes))
    solid = shapely.polygons(shells)
    parts = [
        shapely.Polygon(shell, [hole for hole in holes if shapely.covers(whole, shapely.Polygon(hole))])
        for shell, whole in zip(shells, solid, strict=True)
    ]
    return shapely.MultiPolygon(parts)
