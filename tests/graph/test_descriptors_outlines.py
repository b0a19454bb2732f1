"""Descriptors against scikit-image and by hand; outlines that tile the plane exactly."""

import numpy as np
import pytest
import shapely
from skimage.feature import local_binary_pattern

from hmgdm_plugin.graph.adjacency import regions
from hmgdm_plugin.graph.colour import planes_of
from hmgdm_plugin.graph.descriptors import NAMES, describe, planes_for
from hmgdm_plugin.graph.outlines import outlines
from hmgdm_plugin.graph.texture import RING_1, RING_2, TABLE_1, otsu, patterns, peaks, uniform_table
from hmgdm_plugin.schema.space import Tile


def test_uniform_patterns_count_as_published():
    """59 uniform codes of 8 bits fall into 9 bins (Ojala et al.), all others share one."""
    assert (TABLE_1 == 9).sum() == 256 - 58
    assert set(uniform_table(16)) == set(range(18))


def test_patterns_equal_scikit_image_where_it_does_not_interpolate():
    """On an image constant along diagonals' steps scikit-image's circle and our ring meet the same values."""
    rng = np.random.default_rng(0)
    grey = np.repeat(np.repeat(rng.integers(0, 255, (6, 6)), 5, 0), 5, 1).astype(np.int32)
    theirs = local_binary_pattern(grey, 8, 1, "uniform")
    ours = patterns(grey, ((RING_1, TABLE_1),))[0]
    centre = np.zeros((30, 30), bool)
    centre[2::5, 2::5] = True  # middles of the blocks: all neighbours are equal
    assert np.array_equal(ours[centre], theirs[centre])


@pytest.mark.parametrize("ring", [RING_1, RING_2])
def test_rings_are_closed_and_all_around(ring):
    radius = np.abs(ring).max()
    assert (np.abs(ring).max(1) == radius).all()
    assert len({tuple(p) for p in ring}) == len(ring) == 8 * radius
    assert (np.abs(ring - np.roll(ring, 1, 0)).sum(1) == 1).all()


def test_peaks_are_single_and_above_the_threshold():
    response = np.zeros((9, 20), np.float32)
    response[4, 4], response[4, 5], response[4, 15] = 1.0, 1.0, 0.05
    assert np.argwhere(peaks(response, 0.1, 3)).tolist() == [[4, 4]]


def test_otsu_parts_two_heaps():
    plane = np.concatenate([np.full((5, 10), 0.1), np.full((5, 10), 0.9)]).astype(np.float32)
    assert 0.1 < otsu(plane, 0.0, 1.0) <= 0.9


def test_descriptors_of_a_disc_and_its_ground():
    """A dark disc on pink: darker, all dark, round; its area in pixels."""
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 <= 10**2
    rgb = np.where(disc[..., None], (80, 50, 130), (225, 170, 205)).astype(np.uint8)
    smooth, coded = planes_for(rgb, planes_of(rgb))
    rows = describe(smooth, coded, regions(disc.astype(np.int32), 2)).astype(np.float64)
    ground, nucleus = (dict(zip(NAMES, row, strict=True)) for row in rows)
    assert nucleus["lightness mean"] < ground["lightness mean"]
    assert nucleus["dark share"] > 0.85
    assert ground["dark share"] < 0.05
    assert nucleus["log area"] == pytest.approx(np.log(disc.sum()), abs=0.01)
    assert nucleus["elongation"] < 0.02
    assert rows[1, 36:54].sum() == pytest.approx(1, abs=0.01)
    assert np.isfinite(rows).all()


def test_descriptors_do_not_follow_the_place():
    """The same content elsewhere in the tile has the same numbers."""
    tile = np.full((96, 96, 3), (225, 170, 205), np.uint8)
    there = tile.copy()
    stamp = np.random.default_rng(1).integers(0, 200, (12, 18, 3), np.uint8)
    rows = []
    for image, (top, left) in ((tile, (20, 20)), (there, (50, 55))):
        image[top : top + 12, left : left + 18] = stamp
        labels = np.zeros((96, 96), np.int32)
        labels[top : top + 12, left : left + 18] = 1
        smooth, coded = planes_for(image, planes_of(image))
        rows.append(describe(smooth, coded, regions(labels, 2))[1])
    here, moved = (row.astype(float) for row in rows)
    cells = np.array(["coherence" in name for name in NAMES])  # summed over cells of 4 pixels, whose grid stays
    assert here[~cells] == pytest.approx(moved[~cells], rel=2e-3, abs=2e-3)
    assert here[cells] == pytest.approx(moved[cells], abs=0.06)


@pytest.fixture(name="mosaic")
def _mosaic():
    """Labels with a hole, a corner contact, and a ring that meets itself."""
    labels = np.zeros((12, 14), np.int32)
    labels[2:9, 2:9] = 1
    labels[4:6, 4:6] = 2  # a hole
    labels[6:8, 6:8] = 2  # touching the first in a corner
    labels[9:11, 9:12] = 3
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_exact_outlines_tile_the_plane(mosaic, seed):
    if seed:
        blocks = np.random.default_rng(seed).integers(0, 4, (6, 7))
        mosaic = (
            np.unique(np.repeat(np.repeat(blocks, 2, 0), 2, 1), return_inverse=True)[1].reshape(12, 14).astype(np.int32)
        )
    count = mosaic.max() + 1
    shapes = outlines(mosaic, count, Tile(0, 0, 14, 14, 0.5), tolerance_px=0)
    assert shapely.is_valid(shapes).all()
    assert np.array_equal(shapely.area(shapes), np.bincount(mosaic.ravel()))
    y, x = np.mgrid[:12, :14] + 0.5
    for k in range(count):
        assert np.array_equal(shapely.contains_xy(shapes[k], x, y), mosaic == k)


def test_outlines_of_any_labels_are_valid_and_exact():
    """Many small label maps full of corners in which regions meet themselves."""
    rng = np.random.default_rng(7)
    for _ in range(60):
        size = rng.integers(1, 13, 2)
        labels = np.unique(rng.integers(0, rng.integers(1, 5), size), return_inverse=True)[1].reshape(size)
        shapes = outlines(labels.astype(np.int32), labels.max() + 1, Tile(0, 0, 12, 12, 0.5), tolerance_px=0)
        assert shapely.is_valid(shapes).all()
        assert np.array_equal(shapely.area(shapes), np.bincount(labels.ravel()))


def test_simplified_outlines_still_share_their_borders(mosaic):
    shapes = outlines(mosaic, 4, Tile(100, 50, 28, 14, 0.5))
    assert shapely.is_valid(shapes).all()
    assert shapely.area(shapely.union_all(shapes)) == pytest.approx(12 * 14 * 4)
    assert shapely.area(shapes).sum() == pytest.approx(12 * 14 * 4)
    assert shapely.union_all(shapes).bounds == (100, 50, 128, 74)
