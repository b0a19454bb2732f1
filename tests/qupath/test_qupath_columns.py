"""Columns say what GeoJSON says, to the last ring, and memory stays flat."""

import json
import tracemalloc
import zipfile

import numpy as np
import pytest
import shapely

from hmgdm_plugin.qupath.columns import recorded, write_columns
from hmgdm_plugin.qupath.geojson import Feature, read_features, write_features
from hmgdm_plugin.qupath.ids import object_id
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame

WHOLE = Frame(1000, 800, 0.5, (0, 0, 1000, 800))
CROPPED = Frame(1000, 800, 0.5, (300, 200, 600, 500))
HOLED = shapely.Polygon([(0, 0), (40, 0), (40, 40), (0, 40)], [[(10, 10), (20, 10), (20, 20)]])
TWO = shapely.MultiPolygon([shapely.box(60, 0, 70, 10), HOLED])
LINE = shapely.LineString([(1, 2), (3, 4.126), (5, 6)])
ROLES = ("outer", "hole", "line")


def feature(geometry, number=0, **changes):
    fields = {
        "id": object_id(5, "slide", "entity", str(number)),
        "geometry": geometry,
        "kind": "detection",
        "name": "",
        "class_name": None,
        "class_rgb": None,
        "measurements": {},
    }
    return Feature(**{**fields, **changes})


def rings_of(path):
    """Per object: what its rings are, and their points, closed again."""
    with np.load(path) as file:
        starts = np.cumsum(np.r_[0, file["points"]])
        rings = [
            (ROLES[role], file["xy"][a:b]) for role, a, b in zip(file["role"], starts[:-1], starts[1:], strict=True)
        ]
        ends = np.cumsum(file["rings"])
        return [rings[end - count : end] for end, count in zip(ends, file["rings"], strict=True)]


def header_of(path):
    with np.load(path) as file:
        return json.loads(file["header"].tobytes())


@pytest.mark.parametrize("frame", [WHOLE, CROPPED])
def test_outlines_are_those_of_the_geojson(tmp_path, frame):
    shapes = [HOLED, shapely.box(1, 2, 3, 4), TWO, LINE, shapely.box(5, 5, 5.5, 6)]
    features = [feature(shape, k) for k, shape in enumerate(shapes)]
    assert write_columns(tmp_path / "a.npz", features, frame) == 5
    write_features(tmp_path / "a.geojson", features, frame)
    for rings, read in zip(rings_of(tmp_path / "a.npz"), read_features(tmp_path / "a.geojson"), strict=True):
        kind, coordinates = read["geometry"]["type"], read["geometry"]["coordinates"]
        polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates, "LineString": []}[kind]
        expected = [("outer" if k == 0 else "hole", ring[:-1]) for rings in polygons for k, ring in enumerate(rings)]
        if kind == "LineString":
            expected = [("line", coordinates)]
        assert [role for role, _ in rings] == [role for role, _ in expected]
        for (_, points), (_, ring) in zip(rings, expected, strict=True):
            np.testing.assert_array_equal(points, np.array(ring, np.float32))


def test_what_an_object_is_called_and_measures(tmp_path):
    box = shapely.box(0, 0, 9, 9)
    features = [
        feature(box, 0, kind="tile", name="tile 1, 1", measurements={"a": 0.1}),
        feature(box, 1, class_name="Tumour", class_rgb=(1, 2, 3), measurements={"b": 7.0, "a": float("inf")}),
        feature(box, 2, kind="annotation", locked=True, class_name="Übung", measurements={"a": 1e300}),
        feature(shapely.Polygon(), 3),
    ]
    path = tmp_path / "ä b.npz"
    assert list(recorded(features, path, WHOLE)) == features
    head = header_of(path)
    assert (head["format"], head["version"], head["objects"]) == ("hmgdm-columns", 1, 3)
    assert head["measurements"] == ["a", "b"]
    assert [each["name"] for each in head["classes"]] == ["Tumour", "Übung"]
    assert head["classes"][0]["color"] == [1, 2, 3]
    with np.load(path) as file:
        assert file["id"].tobytes() == b"".join(each.id.bytes for each in features[:3])
        assert file["kind"].tolist() == [0, 1, 130]
        assert file["class"].tolist() == [65535, 0, 1]
        assert [head["names"][k] for k in file["name"]] == ["tile 1, 1", "", ""]
        np.testing.assert_array_equal(file["m0"], np.array([0.1, np.nan, np.nan], np.float32))
        np.testing.assert_array_equal(file["m1"], np.array([np.nan, 7, np.nan], np.float32))
        assert {file[name].dtype.str for name in ("xy", "m0")} == {"<f4"}
    with zipfile.ZipFile(path) as archive:
        assert {each.compress_type for each in archive.infolist()} == {zipfile.ZIP_STORED}


def test_no_object_is_a_file_too_and_none_asked_for_is_no_file(tmp_path):
    assert write_columns(tmp_path / "none.npz", [], WHOLE) == 0
    assert header_of(tmp_path / "none.npz")["objects"] == 0
    assert len(list(recorded([feature(LINE)], None, WHOLE))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["none.npz"]


def test_a_stream_that_fails_leaves_no_file(tmp_path):
    def broken():
        yield feature(LINE)
        raise InputError("a tile cannot be read", "check the slide")

    with pytest.raises(InputError):
        write_columns(tmp_path / "a.npz", broken(), WHOLE)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_columns(tmp_path / "missing" / "a.npz", [feature(LINE)], WHOLE)


def test_memory_stays_flat(tmp_path, monkeypatch):
    monkeypatch.setattr("hmgdm_plugin.qupath.columns._BLOCK", 200)
    box = shapely.box(0, 0, 9, 9)

    def peak(count):
        tracemalloc.start()
        write_columns(tmp_path / "m.npz", (feature(box, k, measurements={"a": k}) for k in range(count)), WHOLE)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(400)
    assert peak(4_000) < 1.3 * peak(1_000)
