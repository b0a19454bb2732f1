"""Nuclei out of GeoJSON: the dialects, and the bad objects."""

import json
import uuid
from collections import Counter

import numpy as np
import pytest
import shapely

from hmgdm_plugin.qupath.cells import read_nuclei
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


def _read(path, frame=FRAME):
    remarks = Counter()
    found = list(read_nuclei(path, frame, remarks))
    return np.concatenate([*found, np.empty(0, object)]), {what: count for what, count in remarks.items() if count}


def test_the_nucleus_of_a_cell_and_a_detection_itself(tmp_path):
    cell = _feature(_square(90, 90, 40), "cell", nucleusGeometry=json.loads(shapely.to_geojson(_square(100, 100))))
    parts = _feature(shapely.MultiPolygon([_square(600, 100, 5), shapely.Point(700, 100).buffer(9)]))
    found, remarks = _read(_written(tmp_path / "cells.geojson", cell, _feature(_square(502, 502)), parts))
    assert remarks == {}
    assert found[0].equals(_square(100, 100))
    assert found[1].equals(_square(502, 502))
    assert found[2].centroid.x == pytest.approx(700)


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
        _feature({"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [9, 9], [0, 0]]]}),
        _feature(shapely.box(0, 0, 900, 900)),
        _feature(_square(-500, 10)),
        _feature(_square(9000, 10)),
        _feature(_square(200, 200), "tile"),
        _feature(_square(300, 300), "cell"),
    )
    found, remarks = _read(path)
    assert len(found) == 4
    assert shapely.is_valid(found).all()
    said = {"broken": 4, "not an area": 4, "larger": 1, "outside": 2, "tiles": 1, "of the cell": 1}
    counts = {word: sum(count for what, count in remarks.items() if word in what) for word in said}
    assert counts == said


def test_a_crop_that_qupath_shows_is_converted(tmp_path):
    frame = Frame(4000, 3000, 0.25, (1000, 500, 2000, 2000))
    found, remarks = _read(_written(tmp_path / "a.geojson", _feature(_square(0, 0)), _feature(_square(2100, 0))), frame)
    assert [shapely.get_coordinates(each.centroid).tolist() for each in found] == [[[1010, 510]]]
    assert list(remarks.values()) == [1]


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        _read(tmp_path / "none.geojson")
