"""Tiles: a partition of the crop, thinned to tissue and regions, one at a time."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgdm_plugin.schema.space import Frame, Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tiling import count, tiles
from hmgdm_plugin.slide.tissue import Tissue, find_tissue

FRAME = Frame(4000, 3000, 0.25, (0, 0, 4000, 3000))  # tiles of 256 at 0.5 microns: 512 level-0 pixels


def box_of(tile: Tile) -> shapely.Polygon:
    return shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.side_px, tile.y_px + tile.side_px)


frames = st.builds(
    lambda x, y, width, height, mpp: Frame(x + width + 7, y + height + 9, mpp, (x, y, width, height)),
    x=st.integers(0, 300),
    y=st.integers(0, 300),
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    mpp=st.sampled_from([0.1109, 0.2277, 0.25, 0.499, 0.5, 1.0]),
)


@given(frame=frames, mpp=st.sampled_from([0.5, 0.75, 1.0]), size=st.sampled_from([128, 256]))
@settings(max_examples=60, deadline=None)
def test_tiles_are_a_partition(frame: Frame, mpp: float, size: int) -> None:
    found = list(tiles(frame, mpp, size))
    left, top, width, height = frame.bounds
    side = size * mpp / frame.mpp
    rows, cols = max(tile.row for tile in found) + 1, max(tile.col for tile in found) + 1
    assert [(tile.row, tile.col) for tile in found] == list(itertools.product(range(rows), range(cols)))
    for tile in found:
        assert tile.x_px == pytest.approx(left + tile.col * side)  # never rounded: no drift at the far end
        assert tile.y_px == pytest.approx(top + tile.row * side)
        assert (tile.side_px, tile.size_px, tile.mpp) == (side, size, mpp)
    for length, number in ((width, cols), (height, rows)):
        assert number == 1 or length - (number - 1) * side >= side / 2 - 1e-6  # half of the last lies inside
        assert length - number * side < side / 2 + 1e-6  # and no more than half a tile is left over


def test_overlap_repeats_a_share_of_the_neighbour() -> None:
    found = [tile for tile in tiles(FRAME, 0.5, 256, overlap=0.25) if tile.row == 0]
    assert np.diff([tile.x_px for tile in found]) == pytest.approx(384.0)
    assert found[-1].x_px + 256 <= 4000


def test_the_grid_starts_at_the_crop(bounds_slide: Path) -> None:
    with open_slide(bounds_slide) as slide:
        found = list(tiles(slide.frame, 0.5, 256, tissue=find_tissue(slide)))
    assert (found[0].y_px, min(tile.x_px for tile in found)) == (160.0, 96.0)
    assert {tile.row for tile in found} == {0, 1}
    assert count(slide.frame, 0.5, 256) == 6  # of 800 x 600 pixels, not of the 1600 x 1200 around them


@pytest.mark.parametrize("side", [1, 5, 100, 255])
def test_a_slide_smaller_than_a_tile_is_one_tile(side: int) -> None:
    tissue = Tissue(np.ones((side, side), bool), 1.0)
    (tile,) = tiles(Frame(side, side, 0.5, (0, 0, side, side)), 0.5, 256, tissue=tissue)
    assert (tile.x_px, tile.y_px, tile.side_px) == (0.0, 0.0, 256.0)


def test_tissue_decides() -> None:
    mask = np.zeros((30, 40), bool)
    mask[:, 20:] = True
    found = list(tiles(FRAME, 0.5, 256, tissue=Tissue(mask, 100.0)))
    assert {tile.col for tile in found} == {4, 5, 6, 7}  # column 3 ends at 2048: 9 % of it
    assert {tile.col for tile in tiles(FRAME, 0.5, 256, tissue=Tissue(mask, 100.0), min_tissue=0.05)} == {3, 4, 5, 6, 7}


def test_no_tissue_no_tiles() -> None:
    none = Tissue(np.zeros((30, 40), bool), 100.0)
    region = shapely.box(100, 100, 3000, 2000)
    assert count(FRAME, 0.5, 256, tissue=none) == 0
    assert count(FRAME, 0.5, 256, tissue=none, regions=[region]) == 0
    assert count(FRAME, 0.5, 256, tissue=none, min_tissue=0.0) == count(FRAME, 0.5, 256) == 48


def test_a_region_takes_tiles_by_centre_or_by_a_quarter() -> None:
    region = shapely.box(0, 0, 512 * 2 + 140, 512)  # 27 % of the third column
    assert [(tile.row, tile.col) for tile in tiles(FRAME, 0.5, 256, regions=[region])] == [(0, 0), (0, 1), (0, 2)]
    region = shapely.box(0, 0, 512 * 2 + 120, 512)  # 23 %
    assert [tile.col for tile in tiles(FRAME, 0.5, 256, regions=[region])] == [0, 1]
    sliver = shapely.box(700, 0, 800, 512)  # a fifth of a tile, but over its centre
    assert [tile.col for tile in tiles(FRAME, 0.5, 256, regions=[sliver])] == [1]


def test_a_hole_in_a_region_is_outside() -> None:
    ring = shapely.box(0, 0, 2560, 2560).difference(shapely.box(512, 512, 2048, 2048))
    found = {(tile.row, tile.col) for tile in tiles(FRAME, 0.5, 256, regions=[ring])}
    assert found == {(r, c) for r in range(5) for c in range(5) if r in (0, 4) or c in (0, 4)}


def test_a_small_region_gets_a_tile_around_it() -> None:
    spot = shapely.Point(1024, 1030).buffer(20)  # on the line between two tiles
    (tile,) = tiles(FRAME, 0.5, 256, regions=[spot])
    assert box_of(tile).centroid.distance(spot.centroid) < 0.01
    assert (tile.row, tile.col) in {(1, 1), (1, 2), (2, 1), (2, 2)}
    thin = shapely.LineString([(1000, 1024), (3000, 1024)]).buffer(3)
    (tile,) = tiles(FRAME, 0.5, 256, regions=[thin])
    assert box_of(tile).intersects(thin)


def test_the_tile_of_a_small_region_needs_some_tissue() -> None:
    mask = np.zeros((30, 40), bool)
    mask[10, 10] = True  # 1000 to 1100: a twentieth of a tile
    spot, glass = shapely.Point(1024, 1030).buffer(20), shapely.Point(3000, 2040).buffer(20)
    found = list(tiles(FRAME, 0.5, 256, tissue=Tissue(mask, 100.0), regions=[spot, glass]))
    assert [box_of(tile).contains(spot) for tile in found] == [True]


def test_regions_outside_the_slide_or_without_area_are_passed_over() -> None:
    nothing = [shapely.box(5000, 5000, 6000, 6000), shapely.Polygon(), shapely.box(10, 10, 10, 50)]
    assert count(FRAME, 0.5, 256, regions=nothing) == 0
    assert count(FRAME, 0.5, 256, regions=[]) == 0


def test_a_crossed_outline_is_mended() -> None:
    bow = shapely.Polygon([(0, 0), (2048, 2048), (2048, 0), (0, 2048)])
    found = {(tile.row, tile.col) for tile in tiles(FRAME, 0.5, 256, regions=[bow])}
    assert found == {(row, col) for row in range(4) for col in (0, 1, 2, 3) if abs(row - 1.5) <= abs(col - 1.5)}


polygons = st.builds(
    lambda x, y, points: shapely.Polygon([(x + dx, y + dy) for dx, dy in points]),
    st.integers(-200, 4000),
    st.integers(-200, 3000),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=3, max_size=7),
)


@given(regions=st.lists(polygons, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_region_is_served_and_no_tile_is_elsewhere(regions: Sequence[shapely.Polygon]) -> None:
    found = list(tiles(FRAME, 0.5, 256, regions=regions))
    slide = shapely.box(0, 0, 4000, 3000)
    parts = [shapely.make_valid(region).intersection(slide) for region in regions]
    parts = [part for part in parts if part.area > 1e-6]
    boxes = [box_of(tile) for tile in found]
    assert all(any(box.intersects(part) for box in boxes) for part in parts)
    assert all(any(box.intersects(part) for part in parts) for box in boxes)
    assert len({(tile.x_px, tile.y_px) for tile in found}) == len(found) or len(parts) > 1
    brute = {
        (tile.row, tile.col)
        for tile in tiles(FRAME, 0.5, 256)
        for part in parts
        if part.contains(box_of(tile).centroid) or part.intersection(box_of(tile)).area >= 0.25 * 512**2
    }
    on_grid = {(tile.row, tile.col) for tile in found if tile.x_px == tile.col * 512 and tile.y_px == tile.row * 512}
    assert brute <= on_grid


def test_tiles_are_made_one_at_a_time() -> None:
    vast = Frame(10**9, 10**9, 0.25, (0, 0, 10**9, 10**9))
    tracemalloc.start()
    taken = sum(1 for _ in itertools.islice(tiles(vast, 0.5, 256), 20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken == 20_000
    assert peak < 200_000  # bytes
