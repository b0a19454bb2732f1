"""Where a tile's colour lands on a thumbnail: a misplaced overlay is the worst thing a viewer can show."""

import numpy as np
import pytest

from hmgdm_plugin.report.raster import blend, border, cells, grid_step, paint, seen
from hmgdm_plugin.schema.space import Tile


def grid(rows, cols, step, side, x=0.0, y=0.0):
    return [Tile(x + c * step, y + r * step, side, 256, 0.5, r, c) for r in range(rows) for c in range(cols)]


def test_tiles_cover_exactly_their_pixels():
    tiles = grid(2, 3, 40.0, 40.0, x=80.0, y=120.0)
    values = np.arange(6.0)
    painted = paint(tiles, np.repeat(values[:, None], 3, 1), (60, 50, 3), 4.0)[..., 0]
    wanted = np.full((60, 50), np.nan)
    for value, tile in zip(values, tiles, strict=True):
        x, y = int(tile.x_px / 4), int(tile.y_px / 4)
        wanted[y : y + 10, x : x + 10] = value
    np.testing.assert_array_equal(painted, wanted)


@pytest.mark.parametrize("downsample", [1.0, 3.7, 16.004, 33.3])
def test_neighbours_leave_neither_seam_nor_overlap(downsample):
    step = 64.0 * 0.4990 / 0.2527  # fractions, as pixel sizes of scanners give them
    tiles = grid(5, 7, step, step, x=101.3, y=57.9)
    height, width = int(6 * step / downsample) + 20, int(8 * step / downsample) + 20
    painted = paint(tiles, np.arange(35.0)[:, None].repeat(3, 1), (height, width), downsample)[..., 0]
    rows, cols = np.nonzero(~np.isnan(painted))
    block = painted[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    assert not np.isnan(block).any()
    assert len(np.unique(block)) == 35
    assert abs(cols.min() * downsample - 101.3) <= downsample / 2 + 1e-6
    assert abs((rows.max() + 1) * downsample - (57.9 + 5 * step)) <= downsample / 2 + 1e-6


def test_tiles_over_the_edge_and_tiny_tiles():
    tiles = [Tile(-10, -10, 20, 256, 0.5, 0, 0), Tile(90, 90, 20, 256, 0.5, 5, 5)]
    painted = paint(tiles, np.ones((2, 3)), (10, 10), 10.0)[..., 0]
    assert np.argwhere(~np.isnan(painted)).tolist() == [[0, 0], [9, 9]]
    speck = paint([Tile(55, 55, 1, 256, 0.5)], np.ones((1, 3)), (10, 10), 10.0)[..., 0]
    assert np.isfinite(speck).sum() == 1


def test_overlapping_tiles_are_drawn_by_their_middle():
    tiles = grid(3, 3, 50.0, 100.0)
    assert grid_step(tiles) == 50
    assert cells(tiles)[0].tolist() == [25, 25, 75, 75]
    assert cells(tiles)[-1].tolist() == [125, 125, 175, 175]


def test_step_of_other_arrangements():
    assert grid_step(grid(4, 1, 30.0, 40.0)) == 30
    assert grid_step(grid(1, 1, 30.0, 40.0)) == 40
    assert grid_step([]) == 0
    scattered = [Tile(0, 0, 40, 256, 0.5, 0, 0), Tile(70, 0, 40, 256, 0.5, 0, 1), Tile(100, 0, 40, 256, 0.5, 0, 2)]
    assert grid_step(scattered) == 40


def test_blend_leaves_other_tissue_alone_and_tells_the_legend():
    tissue = np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8)
    painted = np.full((20, 20, 3), np.nan)
    painted[5:15, 5:15] = (1.0, 0.0, 0.0)
    picture, grey = blend(tissue, painted, 0.6)
    outside = np.isnan(painted[..., 0])
    np.testing.assert_allclose(picture[outside], tissue[outside] / 255)
    inner = picture[7:13, 7:13]
    assert (inner[..., 1] == inner[..., 2]).all()
    np.testing.assert_allclose(inner[..., 0] - inner[..., 1], 0.6)
    np.testing.assert_allclose(seen([[1.0, 0, 0]], grey, 0.6)[0], np.median(inner.reshape(-1, 3), axis=0), atol=0.1)


def test_nothing_painted_is_the_tissue():
    tissue = np.full((4, 5, 3), 200, np.uint8)
    picture, _ = blend(tissue, np.full((4, 5, 3), np.nan), 0.5)
    np.testing.assert_allclose(picture, 200 / 255)


def test_border_is_one_thin_ring_inside():
    painted = np.full((7, 7, 1), np.nan)
    painted[2:5, 2:5] = 1.0
    wanted = np.zeros((7, 7), bool)
    wanted[2:5, 2:5] = True
    wanted[3, 3] = False
    np.testing.assert_array_equal(border(painted), wanted)
    two = np.full((4, 4, 1), 0.5)
    two[:, 2:] = 0.7
    assert border(two).sum(axis=0).tolist() == [0, 4, 0, 0]
