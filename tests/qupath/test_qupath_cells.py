"""Nuclei out of GeoJSON: the dialects, the bad objects, and finding them by place."""

import json
import uuid

import numpy as np
import pytest
import shapely

from hmgdm_plugin.qupath.cells import Cells
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame

FRAME = Frame(4000, 3000, 0.25, (0, 0, 4000, 3000))


def _feature(geometry, kind="detection", **more):
    shape = json.loads(shapely.to_geojson(geometry)) if isinstance(geometry, shapely.Geometry) else geometry
    return {"type": "Feature", "id": str(uuid.uuid4()), "geometry": shape, "properties": {"objectType": kind}, **more}


def _written(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def _square(x, y, side=20):
    return shapely.box(x, y, x + side, y + side)


def test_nuclei_of_cells_and_detections_are_found_by_their_centre(tmp_path):
    cell = _feature(_square(90, 90, 40), "cell", nucleusGeometry=json.loads(shapely.to_geojson(_square(100, 100))))
    path = _written(tmp_path / "cells.geojson", cell, _feature(_square(502, 502)), _feature(_square(600, 100)))
    cells = Cells([path], FRAME)
    assert len(cells) == 3
    assert cells.notes == []
    (found,) = cells.inside(0, 0, 512)
    assert found.equals(_square(100, 100))
    (found,) = cells.inside(512, 512, 512)  # its centre is exactly the corner: half-open
    assert found.equals(_square(502, 502))
    assert len(cells.inside(0, 0, 1024)) == 3
    assert len(cells.inside(2000, 2000, 512)) == 0
    assert len(cells.inside(-700, -700, 512)) == 0


def test_bad_objects_are_counted_and_passed_over(tmp_path):
    bow = shapely.Polygon([(0, 0), (30, 30), (30, 0), (0, 10)])
    ring = [[5, 5], [25, 5], [25, 25], [5, 25]]
    path = _written(
        tmp_path / "mixed.json",
        _feature(_square(100, 100)),
        _feature(bow),
        _feature({"type": "Polygon", "coordinates": [ring]}),  # not closed
        _feature({"type": "Polygon", "coordinates": [[[0, 0], ["a", 1], [2, 2], [0, 0]]]}),
        _feature({"type": "Polygon", "coordinates": [[[0, 0], [float("nan"), 1], [2, 2], [0, 0]]]}),
        _feature({"type": "Polygon", "coordinates": []}),
        _feature({"type": "Polygon", "coordinates": None}),
        _feature(None),
        _feature(shapely.Point(3, 3)),
        _feature({"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [0, 0]]]}),
        _feature(shapely.box(0, 0, 900, 900)),
        _feature(_square(-500, 10)),
        _feature(_square(9000, 10)),
        _feature(_square(200, 200), "tile"),
        _feature(_square(300, 300), "cell"),
    )
    cells = Cells([path], FRAME)
    assert len(cells) == 4
    said = " ".join(cells.notes)
    for count, word in (
        (4, "broken"),
        (3, "not an area"),
        (1, "larger"),
        (2, "outside"),
        (1, "tiles"),
        (1, "crosses"),
        (1, "of the cell"),
    ):
        assert any(f" {count} objects" in note and word in note for note in cells.notes), (word, said)
    assert sum(shapely.is_valid(cells.inside(0, 0, 512))) == 4


def test_a_crop_that_qupath_shows_is_converted(tmp_path):
    frame = Frame(4000, 3000, 0.25, (1000, 500, 2000, 2000))
    cells = Cells([_written(tmp_path / "a.geojson", _feature(_square(0, 0)), _feature(_square(2100, 0)))], frame)
    assert cells.centres.tolist() == [[1010, 510]]
    assert "outside" in cells.notes[0]


def test_a_file_without_nuclei_of_this_slide_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no nucleus of this slide.*outside"):
        Cells([_written(tmp_path / "a.geojson", _feature(_square(90_000, 0)))], FRAME)
    with pytest.raises(InputError, match="no nucleus"):
        Cells([_written(tmp_path / "b.geojson")], FRAME)
    with pytest.raises(InputError, match="no such file"):
        Cells([tmp_path / "none.geojson"], FRAME)


def test_every_nucleus_is_found_once_whatever_the_squares(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 2900, (800, 2)).round(2)
    path = _written(tmp_path / "many.geojson", *(_feature(_square(x, y, 9)) for x, y in corners.tolist()))
    cells = Cells([path], FRAME)
    tiles = [(x, y) for y in np.arange(0, 3000, 333.3) for x in np.arange(0, 4000, 333.3)]
    found = np.concatenate([cells.inside(x, y, 333.3) for x, y in tiles])
    assert len(found) == len(cells) == 800
    bounds = sorted(each.bounds[:2] for each in found)
    assert np.allclose(bounds, sorted(map(tuple, corners)), atol=1e-3)
