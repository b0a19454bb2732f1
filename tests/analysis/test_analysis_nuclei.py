"""Where nuclei come from: files, folders, places; every nucleus once."""

import json

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from hmgdm_plugin.analysis.nuclei import nuclei_of
from hmgdm_plugin.analysis.placed import Placed
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide


def _tile(x, y, side=256.0):
    return Tile(x, y, side, round(side), 0.5)


@pytest.fixture(name="slide")
def _slide(tmp_path):
    Image.fromarray(np.full((600, 800, 3), 200, np.uint8)).save(tmp_path / "case.png")
    with open_slide(tmp_path / "case.png", 0.5) as slide:
        yield slide


def _geojson(path, *shapes):
    features = [{"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(s))} for s in shapes]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_every_nucleus_is_found_once_whatever_the_squares():
    corners = np.random.default_rng(0).uniform(0, 2900, (800, 2)).round(2)
    shapes = shapely.box(*corners.T, *(corners + 9).T)
    placed = Placed([shapes[:300], shapes[300:]])
    tiles = [_tile(x, y, 333.3) for y in np.arange(0, 3000, 333.3) for x in np.arange(0, 3000, 333.3)]
    found = np.concatenate([placed.within(tile) for tile in tiles])
    assert len(found) == len(placed) == 800
    assert np.allclose(sorted(each.bounds[:2] for each in found), sorted(map(tuple, corners.tolist())), atol=1e-4)
    assert placed.beyond(tiles) == 0
    assert placed.beyond(tiles[:1]) == 800 - len(placed.within(tiles[0]))
    assert len(placed.within(_tile(-900, -900))) == len(Placed([]).within(_tile(0, 0))) == 0


def test_a_centre_on_a_border_belongs_to_one_tile():
    placed = Placed([np.array([shapely.box(250, 250, 262, 262)])])
    assert [len(placed.within(_tile(x, y))) for y in (0, 256) for x in (0, 256)] == [0, 0, 0, 1]


def test_outlines_keep_their_order_and_those_off_the_tiles_are_named(slide, tmp_path):
    path = _geojson(
        tmp_path / "n.geojson",
        shapely.box(20, 20, 40, 40),
        shapely.box(30, 20, 50, 40),
        shapely.box(500, 500, 510, 510),
    )
    nuclei = nuclei_of(str(path), slide, [], Events())
    found = nuclei.map(_tile(0, 0))
    assert ((found.labels == 1).sum(), (found.labels == 2).sum()) == (400, 200)
    assert nuclei.remarks([_tile(0, 0)]) == ["n.geojson: 1 of 3 nuclei lie outside the tiles of tissue; left out"]


def test_labels_and_outlines_of_the_same_nuclei_are_the_same_map(slide, tmp_path):
    boxes = [shapely.box(20, 20, 40, 40), shapely.box(100, 50, 130, 60), shapely.box(250, 100, 261, 110)]
    labels = np.zeros((600, 800), np.uint16)
    for number, box in enumerate(boxes, 3):
        x0, y0, x1, y1 = map(int, box.bounds)
        labels[y0:y1, x0:x1] = number
    tifffile.imwrite(tmp_path / "n.tif", labels)
    given, seen = (
        nuclei_of(str(_geojson(tmp_path / "n.geojson", *boxes)), slide, [], Events()),
        nuclei_of(str(tmp_path / "n.tif"), slide, [], Events()),
    )
    for tile in (_tile(0, 0), _tile(10.0, 7.0)):
        assert np.array_equal(given.map(tile).labels, seen.map(tile).labels)
        for a, b in zip(given.map(tile).outlines, seen.map(tile).outlines, strict=True):
            assert a.intersection(b).area > 0.5 * a.union(b).area  # traced in the tile: cut at its border


def test_what_is_left_out_is_said(slide, tmp_path):
    box = shapely.box(20, 20, 40, 40)
    path = _geojson(tmp_path / "n.geojson", box, box, shapely.box(30, 30, 32, 32))
    nuclei = nuclei_of(str(path), slide, [], Events())
    assert nuclei.left_out() == []
    assert len(nuclei.map(_tile(0, 0))) == 1
    assert nuclei.left_out() == [
        "n.geojson: 2 nuclei lay under others, or had fewer than 8 pixels in their tile; left out"
    ]
    labels = np.zeros((600, 800), np.uint16)
    labels[10:110, 10:110] = 7
    tifffile.imwrite(tmp_path / "n.tif", labels)
    drawn = nuclei_of(str(tmp_path / "n.tif"), slide, [], Events())
    assert len(drawn.map(_tile(0, 0))) == 0
    assert drawn.left_out() == [
        "n.tif: 1 labels are larger than any nucleus; left out",
        "n.tif: no nucleus of it lies in the tiles of tissue; if there should be, check that it is of this slide",
    ]
    tifffile.imwrite(tmp_path / "n.tif", -labels.astype(np.int32))
    below = nuclei_of(str(tmp_path / "n.tif"), slide, [], Events())
    assert len(below.map(_tile(0, 0))) == 0
    assert below.left_out()[0] == "n.tif: labels below 0 were taken for none. If they are nuclei, number them from 1 on"


@pytest.mark.parametrize(
    "place", ["case.geojson", "case/nuclei-part-0001.geojson", "geojson/case/nuclei-part-0001.geojson"]
)
def test_a_folder_is_searched_for_the_slide(slide, tmp_path, place):
    folder = tmp_path / "nuclei"
    _geojson(folder / place, shapely.box(20, 20, 40, 40))
    _geojson(folder / "other.geojson", shapely.box(60, 20, 80, 40))
    assert len(nuclei_of(str(folder), slide, [], Events()).map(_tile(0, 0))) == 1


def test_what_has_no_nucleus_of_the_slide_is_an_error(slide, tmp_path):
    (tmp_path / "empty").mkdir()
    far = _geojson(tmp_path / "far.geojson", shapely.box(9000, 0, 9020, 20))
    for asked, said in (
        (tmp_path / "empty", "no nuclei of case"),
        (far, "no nucleus of case in it.*outside"),
        (tmp_path / "x.geojson", "no such file"),
    ):
        with pytest.raises(InputError, match=said):
            nuclei_of(str(asked), slide, [], Events())
