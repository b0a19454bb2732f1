"""What is written is what QuPath accepts, and what is read is what was written."""

import gzip
import json
import tracemalloc
from uuid import UUID

import geojson
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgdm_plugin.qupath.geojson import Feature, read_features, write_features, write_parts
from hmgdm_plugin.qupath.ids import object_id
from hmgdm_plugin.qupath.overlay import stable_rgb
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame

WHOLE = Frame(1000, 800, 0.5, (0, 0, 1000, 800))
CROPPED = Frame(1000, 800, 0.5, (300, 200, 600, 500))


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


def written(path, features, frame=WHOLE):
    write_features(path, features, frame)
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)["features"]


def many(count):
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for i in range(count):
        ring = np.c_[500 + (20 + i % 7) * np.cos(angle) + i % 91, 400 + 20 * np.sin(angle) + i % 53]
        yield feature(shapely.Polygon(ring), i, measurements={"HMGDM: importance": i / 7})


def test_round_trip_of_twenty_thousand(tmp_path):
    path = tmp_path / "x.geojson.gz"
    assert write_features(path, many(20_000), CROPPED) == 20_000
    count = 0
    for made, read in zip(many(20_000), read_features(path), strict=True):
        assert read["id"] == str(made.id)
        assert np.float32(read["properties"]["measurements"]["HMGDM: importance"]) == np.float32(count / 7)
        points = CROPPED.from_qupath(np.array(read["geometry"]["coordinates"][0]))
        if count % 100 == 0:
            assert shapely.Polygon(points).hausdorff_distance(made.geometry) < 0.008
            assert geojson.GeoJSON.to_instance(read["geometry"]).is_valid
        count += 1
    assert count == 20_000


def test_memory_stays_flat(tmp_path, monkeypatch):
    monkeypatch.setattr("hmgdm_plugin.qupath.geojson._BLOCK", 200)

    def peak(count):
        tracemalloc.start()
        write_features(tmp_path / "m.geojson", many(count), WHOLE)
        for _ in read_features(tmp_path / "m.geojson"):
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(4_000) < 1.2 * peak(1_000)


def test_every_property_as_qupath_wants_it(tmp_path):
    square = shapely.box(1, 2, 3, 4)
    values = {"a": 0.1, "nan": float("nan"), "inf": float("inf"), "huge": 1e300, "zero": 0.0, "np": np.float32(2.5)}
    full = feature(
        square, 1, kind="annotation", name="Wäre \udce9", class_name="Tumor", measurements=values, locked=True
    )
    coloured = feature(square, 2, kind="tile", class_name="A", class_rgb=(np.uint8(1), 2, 3))
    first, second = written(tmp_path / "p.geojson", [full, coloured])
    assert UUID(first["id"]) == full.id
    assert first["properties"] == {
        "objectType": "annotation",
        "name": "Wäre ?",
        "isLocked": True,
        "classification": {"name": "Tumor", "color": list(stable_rgb("Tumor"))},
        "measurements": {"a": 0.1, "zero": 0.0, "np": 2.5},
    }
    assert second["properties"] == {
        "objectType": "tile",
        "classification": {"name": "A", "color": [1, 2, 3]},
        "measurements": {},
    }


def test_crop_of_the_slide_is_taken_off(tmp_path):
    (found,) = written(tmp_path / "c.geojson", [feature(shapely.box(310, 215, 320, 230))], CROPPED)
    assert found["geometry"]["coordinates"] == [[[10, 15], [20, 15], [20, 30], [10, 30], [10, 15]]]


def test_holes_and_parts_are_kept_with_their_orientation(tmp_path):
    ring = shapely.box(0, 0, 30, 30, ccw=False).difference(shapely.box(10, 10, 20, 20))
    shape = shapely.MultiPolygon([ring, shapely.box(50, 50, 60, 60)])
    (found,) = written(tmp_path / "h.geojson", [feature(shape)])
    read = shapely.geometry.shape(found["geometry"])
    assert read.equals(shape)
    for part in read.geoms:
        assert part.exterior.is_ccw
        assert not any(hole.is_ccw for hole in part.interiors)


def test_lines_and_points_pass(tmp_path):
    line, point = shapely.LineString([(0, 0), (5, 5.123)]), shapely.Point(1.005, 2)
    first, second = written(tmp_path / "l.geojson", [feature(line), feature(point, 1)])
    assert sorted(first["geometry"]["coordinates"]) == [[0, 0], [5, 5.12]]
    assert second["geometry"]["type"] == "Point"


def test_same_input_same_bytes_under_any_name(tmp_path):
    for name in ("a.geojson.gz", "b.geojson.gz"):
        write_features(tmp_path / name, many(50), WHOLE)
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()


def test_shapes_that_vanish_or_cross_themselves(tmp_path):
    speck = shapely.box(5, 5, 5.001, 5.001)
    bow_tie = shapely.Polygon([(0, 0), (10, 10), (10, 0), (0, 10)])
    spike = shapely.Polygon([(0, 0), (10, 0), (10, 0.001), (5, 0.002), (5, 8), (0, 8)])
    path = tmp_path / "v.geojson"
    assert write_features(path, [feature(speck), feature(bow_tie, 1), feature(spike, 2)], WHOLE) == 2
    shapes = [shapely.geometry.shape(each["geometry"]) for each in read_features(path)]
    assert all(shape.is_valid for shape in shapes)
    assert [round(shape.area) for shape in shapes] == [50, 40]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 0.2)] * 2), min_size=3, max_size=12))
def test_tiny_shapes_are_valid_after_rounding(tmp_path_factory, points):
    shape = shapely.Polygon(points)
    path = tmp_path_factory.mktemp("tiny") / "t.geojson"
    for found in written(path, [feature(shape)]):
        read = shapely.geometry.shape(found["geometry"])
        assert read.is_valid
        assert geojson.GeoJSON.to_instance(found["geometry"]).is_valid
        for ring in shapely.get_rings(read):
            steps = np.diff(shapely.get_coordinates(ring), axis=0)
            assert (np.abs(steps).max(1) > 0).all()


def test_parts_hold_everything_once(tmp_path):
    paths = write_parts(lambda part: tmp_path / f"part-{part:04d}.geojson", many(25), WHOLE, limit=10)
    assert [path.name for path in paths] == ["part-0001.geojson", "part-0002.geojson", "part-0003.geojson"]
    sizes = [[each["id"] for each in read_features(path)] for path in paths]
    assert [len(part) for part in sizes] == [10, 10, 5]
    assert [one for part in sizes for one in part] == [str(each.id) for each in many(25)]


def test_full_last_part_is_not_followed_by_an_empty_one(tmp_path):
    assert len(write_parts(lambda part: tmp_path / f"{part}.geojson", many(20), WHOLE, limit=10)) == 2
    (only,) = write_parts(lambda part: tmp_path / f"empty-{part}.geojson", [], WHOLE)
    assert list(read_features(only)) == []


def test_place_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        write_features(tmp_path / "missing" / "x.geojson", many(1), WHOLE)


def test_errors_of_the_caller_are_not_taken_for_ours(tmp_path):
    def failing():
        yield from many(3)
        raise OSError(5, "slide went away")

    with pytest.raises(OSError, match="slide went away"):
        write_features(tmp_path / "x.geojson.gz", failing(), WHOLE)
