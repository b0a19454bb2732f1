"""Shapes whose numbers are known, and the same numbers from elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from skimage.draw import polygon2mask
from skimage.measure import regionprops

from hmgdm_plugin.nuclei.shape import shape_of

ANGLES = np.linspace(0, 2 * np.pi, 256, endpoint=False)


def _ellipse(a: float, b: float, turn: float = 0.0) -> np.ndarray:
    points = np.stack([a * np.cos(ANGLES), b * np.sin(ANGLES)], axis=1)
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]]) + (90_000.0, 41_000.0)


def test_ellipses() -> None:
    found = shape_of(np.stack([_ellipse(10, 10), _ellipse(10, 6), _ellipse(10, 6, 0.7)]))
    assert found.area == pytest.approx([np.pi * 100, np.pi * 60, np.pi * 60], rel=1e-3)
    assert found.eccentricity == pytest.approx([0, 0.8, 0.8], abs=2e-3)
    assert found.solidity == pytest.approx([1, 1, 1])
    assert found.perimeter[0] == pytest.approx(20 * np.pi, rel=1e-3)


def test_a_star_agrees_with_shapely_and_with_its_pixels() -> None:
    radius = 60 * (1 + 0.35 * np.sin(5 * ANGLES) + 0.2 * np.cos(2 * ANGLES))
    star = np.stack([radius * np.cos(ANGLES), 0.6 * radius * np.sin(ANGLES)], axis=1) + 128
    for points in (star, star[::-1]):
        found, polygon = shape_of(points[None]), shapely.Polygon(points)
        assert found.area[0] == pytest.approx(polygon.area)
        assert found.perimeter[0] == pytest.approx(polygon.length)
        assert found.solidity[0] == pytest.approx(polygon.area / polygon.convex_hull.area)
        drawn = regionprops(polygon2mask((256, 256), points[:, ::-1]).astype(int))[0]
        assert found.eccentricity[0] == pytest.approx(drawn.eccentricity, abs=5e-3)


def test_nothing_and_a_point_are_no_trouble() -> None:
    assert shape_of(np.empty((0, 32, 2))).area.shape == (0,)
    found = shape_of(np.ones((1, 32, 2)))
    assert (found.area[0], found.perimeter[0]) == (0, 0)
    assert np.isfinite([found.eccentricity[0], found.solidity[0]]).all()
