"""Pictures are measured, not only made: colours must lie on the tissue they belong to."""

import io
import weakref

import numpy as np
import pytest
import shapely
from PIL import Image

from hmgdm_plugin.report.canvas import png
from hmgdm_plugin.report.crop import crop_png
from hmgdm_plugin.report.lines import curves
from hmgdm_plugin.report.pictures import (
    class_overlay,
    entity_overlay,
    heat_overlay,
    rgb_overlay,
    tissue_picture,
)
from hmgdm_plugin.report.sheet import nice_length, sheet
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Tile

WIDTH, HEIGHT, DOWNSAMPLE, MPP = 4000, 3000, 10.0, 0.5
LEFT, TOP, SIDE = 1200, 800, 1600  # the tissue: a dark square on white glass, level-0 pixels
TILES = [Tile(LEFT + 200 * c, TOP + 200 * r, 200, 256, 0.4, r, c) for r in range(8) for c in range(8)]


def thumbnail():
    picture = np.full((int(HEIGHT / DOWNSAMPLE), int(WIDTH / DOWNSAMPLE), 3), 255, np.uint8)
    picture[TOP // 10 : (TOP + SIDE) // 10, LEFT // 10 : (LEFT + SIDE) // 10] = 90
    return picture


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_a_sheet_lets_go_of_its_pixels_once_it_is_drawn():
    on = sheet(thumbnail(), (0, 0), DOWNSAMPLE, "title", MPP)
    laid = np.zeros((20, 30, 3), np.uint8)
    seen = weakref.ref(laid)
    on.lay(laid, 5, 5)
    del laid
    png(on.figure)
    assert seen() is None


def picture_box(image):
    """Columns and rows of the frame drawn around the tissue."""
    dark = (image.max(axis=2) < 40).copy()
    cols = np.flatnonzero(dark.mean(axis=0) > 0.7)
    rows = np.flatnonzero(dark.mean(axis=1) > 0.7)
    return cols.min(), cols.max(), rows.min(), rows.max()


def coloured_box(image, far=25):
    """Level-0 box of what is coloured inside the frame."""
    left, right, top, bottom = picture_box(image)
    inside = image[top + 3 : bottom - 2, left + 3 : right - 2]
    coloured = np.argwhere(np.ptp(inside, axis=2) > far)
    to_px = WIDTH / (right - left)
    (y0, x0), (y1, x1) = coloured.min(axis=0) + 3, coloured.max(axis=0) + 4
    return np.array([x0, y0, x1, y1]) * to_px


def test_heat_lies_on_the_tissue(tmp_path):
    values = np.linspace(0, 1, len(TILES))
    heat_overlay(tmp_path / "h.png", thumbnail(), DOWNSAMPLE, TILES, values, "title", "unit", MPP)
    found = coloured_box(pixels(tmp_path / "h.png"))
    np.testing.assert_allclose(found, [LEFT, TOP, LEFT + SIDE, TOP + SIDE], atol=25)


def test_one_tile_lies_where_it_is(tmp_path):
    values = np.full(len(TILES), np.nan)
    values[8 * 2 + 5] = 1.0
    heat_overlay(tmp_path / "h.png", thumbnail(), DOWNSAMPLE, TILES, values, "title", "unit", MPP)
    tile = TILES[8 * 2 + 5]
    found = coloured_box(pixels(tmp_path / "h.png"))
    np.testing.assert_allclose(found, [tile.x_px, tile.y_px, tile.x_px + 200, tile.y_px + 200], atol=25)


def test_classes_and_components_lie_on_the_tissue(tmp_path):
    labels = np.where(np.arange(64) % 8 < 4, 0, -1)  # the left half only
    rgbs = [(0, 114, 178), (230, 159, 0)]
    class_overlay(tmp_path / "c.png", thumbnail(), DOWNSAMPLE, TILES, labels, ["a", "b"], rgbs, "title", MPP)
    np.testing.assert_allclose(
        coloured_box(pixels(tmp_path / "c.png")), [LEFT, TOP, LEFT + SIDE / 2, TOP + SIDE], atol=25
    )
    rgb_overlay(tmp_path / "r.png", thumbnail(), DOWNSAMPLE, TILES, np.tile([0.0, 0.2, 0.9], (64, 1)), "title", MPP)
    np.testing.assert_allclose(coloured_box(pixels(tmp_path / "r.png")), [LEFT, TOP, LEFT + SIDE, TOP + SIDE], atol=25)


def test_entities_lie_where_they_are_and_holes_stay_open(tmp_path):
    image = np.full((300, 400, 3), 230, np.uint8)
    origin, scale = (5000.0, 7000.0), 10.0
    ring = shapely.box(6000, 8000, 7500, 9500) - shapely.box(6500, 8500, 7000, 9000)
    entity_overlay(tmp_path / "e.png", image, origin, scale, [ring], [1.0], "title", MPP)
    found = pixels(tmp_path / "e.png")
    np.testing.assert_allclose(coloured_box(found), [1000, 1000, 2500, 2500], atol=35)
    left, right, top, _ = picture_box(found)
    per_px = (right - left) / WIDTH
    hole, rim = (found[int(top + y * per_px), int(left + x * per_px)] for x, y in ((1750, 1750), (1250, 1250)))
    assert np.ptp(hole) < 5 < np.ptp(rim)


def test_signed_importance_has_two_colours_and_lines_are_drawn(tmp_path):
    image = np.full((300, 400, 3), 230, np.uint8)
    shapes = [shapely.box(500, 500, 1500, 1500), shapely.box(2500, 500, 3500, 1500)]
    line = shapely.LineString([(500, 2000), (3500, 2000)])
    entity_overlay(tmp_path / "s.png", image, (0, 0), 10.0, [*shapes, line], [1.0, -1.0, np.nan], "title", MPP)
    found = pixels(tmp_path / "s.png")
    left, right, top, _ = picture_box(found)
    per_px = (right - left) / WIDTH

    def at(x, y):
        return found[int(top + y * per_px), int(left + x * per_px)]

    assert at(1000, 1000).argmax() == 1
    assert at(3000, 1000).argmax() == 2
    entity_overlay(tmp_path / "l.png", image, (0, 0), 10.0, [line], [1.0], "title", MPP)
    assert coloured_box(pixels(tmp_path / "l.png"))[[0, 2]] == pytest.approx([500, 3500], abs=40)


def test_rank_stands_on_its_entity(tmp_path):
    image = np.full((300, 400, 3), 230, np.uint8)
    shapes = [shapely.box(500, 500, 1500, 1500), shapely.box(2500, 500, 3500, 1500)]
    for name, ranked in (("a.png", []), ("b.png", [1])):
        entity_overlay(tmp_path / name, image, (0, 0), 10.0, shapes, [1.0, 2.0], "title", MPP, ranked=ranked)
    found = pixels(tmp_path / "b.png")
    left, right, top, _ = picture_box(found)
    changed = np.argwhere(np.abs(found - pixels(tmp_path / "a.png")).max(axis=2) > 30)
    middle = (changed.mean(axis=0) - (top, left)) * WIDTH / (right - left)
    np.testing.assert_allclose(middle, [1000, 3000], atol=40)


@pytest.mark.parametrize(
    ("longest_um", "um", "text"),
    [
        (1000, 1000, "1 mm"),
        (999, 500, "500 µm"),
        (5, 5, "5 µm"),
        (49.9, 20, "20 µm"),
        (0.3, 0.2, "0.2 µm"),
        (4e4, 2e4, "20 mm"),
    ],
)
def test_scale_bar_lengths(longest_um, um, text):
    assert nice_length(longest_um) == (pytest.approx(um), text)


def test_scale_bar_is_as_long_as_it_says(tmp_path):
    tissue_picture(tmp_path / "t.png", np.full((300, 400, 3), 255, np.uint8), DOWNSAMPLE, "", MPP)
    image = pixels(tmp_path / "t.png")
    left, right, top, bottom = picture_box(image)
    inside = image[top + 3 : bottom - 2, left + 3 : right - 2].max(axis=2) < 60
    bar_px = inside.sum(axis=1).max() * WIDTH / (right - left)
    assert bar_px * MPP == pytest.approx(500, rel=0.03)  # a quarter of 2 mm


def test_same_input_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        heat_overlay(tmp_path / name, thumbnail(), DOWNSAMPLE, TILES, np.arange(64), "title", "unit", MPP)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_hostile_names_and_empty_values_are_drawn(tmp_path):
    name = "$\\frac{<b>$ " + "long " * 60
    heat_overlay(tmp_path / "1.png", thumbnail(), DOWNSAMPLE, TILES, np.full(64, np.nan), name, name, MPP)
    heat_overlay(tmp_path / "2.png", thumbnail(), DOWNSAMPLE, [], [], "none", "", MPP)
    class_overlay(tmp_path / "3.png", thumbnail(), DOWNSAMPLE, TILES, np.zeros(64, int), [name], [(1, 2, 3)], name, MPP)
    curves(tmp_path / "4.png", [0, 1], {name: [0, 1]}, name, name, name)
    entity_overlay(tmp_path / "5.png", thumbnail(), (0, 0), 10.0, [], [], name, MPP)
    assert all(pixels(path).size for path in tmp_path.glob("*.png"))


def test_curves_show_band_and_all_lines(tmp_path):
    x = np.linspace(0, 1, 5)
    series = {"ranked": 1 - x, "random": (1 - x**2, 0.9 - x**2, 1.1 - x**2)}
    curves(tmp_path / "c.png", x, series, "Deletion", "removed", "answer")
    seen = {tuple(rgb) for rgb in pixels(tmp_path / "c.png").reshape(-1, 3)}
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0)} <= seen


def test_crop_is_a_small_png_with_outline_and_bar():
    image = np.full((64, 64, 3), 200, np.uint8)
    plain = crop_png(image)
    drawn = crop_png(image, shapely.box(20, 20, 40, 40), mpp=0.5)
    a, b = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int) for png in (plain, drawn))
    assert a.shape == b.shape
    side = a.shape[0] / 64
    assert np.abs(a - 200).max() <= 1
    changed = np.abs(a - b).max(axis=2) > 60
    assert changed[int(30 * side), int(20 * side) - 2 : int(20 * side) + 3].any()
    assert not changed[int(30 * side), int(30 * side)]
    assert changed[int(50 * side) :, : int(30 * side)].any()


@pytest.mark.parametrize(
    ("width", "height", "mpp", "side_in", "um"),
    [(64, 64, 0.5, 1.5, 5), (96, 96, 0.5, 1.5, 10), (890, 1190, 1.25, 4.0, 200), (1200, 300, 32.0, 4.0, 5000)],
)
def test_scale_bar_is_as_long_as_it_says_and_no_larger_than_needed(width, height, mpp, side_in, um):
    image = np.full((height, width, 3), 200, np.uint8)
    drawn = np.asarray(Image.open(io.BytesIO(crop_png(image, None, mpp, side_in))).convert("RGB")).astype(int)
    black, wide = drawn.max(axis=2) < 100, drawn.shape[1]
    bar = black[-12:].any(axis=0).nonzero()[0]
    length = bar[-1] - bar[0] + 1
    assert length * mpp * width / wide == pytest.approx(um, abs=2 * mpp * width / wide)
    assert 0.1 <= length / wide <= 0.26
    rows, columns = (np.flatnonzero((np.abs(drawn - 200).max(axis=2) > 10).any(axis=axis)) for axis in (1, 0))
    assert np.ptp(rows) < 42
    assert np.ptp(columns) < max(length, 80) + 20


def test_disk_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        tissue_picture(tmp_path / "none" / "t.png", thumbnail(), DOWNSAMPLE, "", MPP)
