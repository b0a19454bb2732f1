"""Shape of outlines: area, perimeter, eccentricity, solidity; exact for the polygon, nothing is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of N outlines, each (N,) float64.

    Parameters
    ----------
    area, perimeter : in the square of the points' unit, and in that unit.
    eccentricity : of the ellipse with the same second moments, 0 (circle) to below 1.
    solidity : share of the convex hull that the outline fills, 0..1.
    """

    area: Floats
    perimeter: Floats
    eccentricity: Floats
    solidity: Floats


def shape_of(polygons: NDArray[np.floating]) -> Shape:
    """Shape of outlines (N, R, 2), not closed.

    Second moments follow from Green's theorem (Steger, "On the calculation of arbitrary moments of polygons", 1996).
    """
    points = np.asarray(polygons, np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    after = np.roll(points, -1, axis=1)
    x0, y0, x1, y1 = points[..., 0], points[..., 1], after[..., 0], after[..., 1]
    cross = x0 * y1 - x1 * y0
    signed = cross.sum(axis=1) / 2
    whole = np.where(np.abs(signed) > 0, signed, np.inf)
    cx, cy = ((cross * (a + b)).sum(axis=1) / (6 * whole) for a, b in ((x0, x1), (y0, y1)))
    xx, yy = ((cross * (a * a + a * b + b * b)).sum(axis=1) / (12 * whole) for a, b in ((x0, x1), (y0, y1)))
    xy = (cross * (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0)).sum(axis=1) / (24 * whole)
    xx, yy, xy = xx - cx * cx, yy - cy * cy, xy - cx * cy
    gap = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    large, small = xx + yy + gap, np.maximum(xx + yy - gap, 0.0)
    hull = shapely.area(shapely.convex_hull(shapely.multipoints(points))) if len(points) else np.empty(0)
    return Shape(
        area=np.abs(signed),
        perimeter=np.hypot(x1 - x0, y1 - y0).sum(axis=1),
        eccentricity=np.sqrt(1.0 - small / np.where(large > 0, large, np.inf)),
        solidity=np.minimum(np.abs(signed) / np.where(hull > 0, hull, np.inf), 1.0),
    )
