"""Golden files: what QuPath accepts and what it does not, and our writer on the right side of the line."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hmgdm_plugin.qupath.geojson import Feature, write_features
from hmgdm_plugin.qupath.ids import object_id
from hmgdm_plugin.schema.space import Frame

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
FRAME = Frame(2000, 1600, 0.5, (100, 50, 1800, 1500))
GOOD = {
    "type": "Feature",
    "id": "484d4744-0001-8234-b000-000000000001",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]},
    "properties": {"objectType": "detection", "classification": {"name": "A", "color": [1, 2, 3]}, "measurements": {}},
}


def faults(path):
    spec = importlib.util.spec_from_file_location("conformance", HERE / "conformance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.faults(path)


def golden_features():
    """One object of every kind that the package writes, and of every shape."""
    hole = shapely.Polygon([(200, 200), (260, 200), (260, 260), (200, 260)], [[(210, 210), (230, 210), (220, 230)]])
    two = shapely.MultiPolygon([shapely.box(300, 300, 320, 320), shapely.box(330, 300, 350.126, 320)])
    shapes = [
        ("tile", "tile 1, 1", shapely.box(200, 200, 456, 456), "HMGDM: cluster 1", (0, 114, 178)),
        ("tile", "superpixel", hole, None, None),
        ("detection", "nucleus", two, "HMGDM: Übung", None),
        ("detection", "contact", shapely.LineString([(200.5, 210), (240, 250.25)]), None, None),
        ("annotation", "region", shapely.Point(600, 600).buffer(50, 4), "Tumor", (200, 0, 0)),
    ]
    for number, (kind, name, shape, label, rgb) in enumerate(shapes):
        values = {"HMGDM: importance": number / 3, "HMGDM: p(A)": np.nan if number == 2 else 0.25}
        id = object_id(0x1A2B3C4, "slide", "golden", str(number))
        yield Feature(id, shape, kind, name, label, rgb, values, locked=kind == "annotation")


def test_the_golden_file_is_what_is_written(tmp_path):
    """A change of the dialect is a change of this file, and is tried on a real QuPath first."""
    write_features(tmp_path / "objects.geojson", golden_features(), FRAME)
    assert (tmp_path / "objects.geojson").read_text("utf-8") == (GOLDEN / "objects.geojson").read_text("utf-8")
    assert faults(GOLDEN / "objects.geojson") == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": "12"}, "changes: an id that is no UUID"),
        ({"geometry": None}, "throws: no geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [1, 1]]]}}, "throws: a ring that"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [0, 0]]]}}, "changes: a ring of less"),
        (
            {"geometry": {"type": "Polygon", "coordinates": [[[0, 0], ["a", 0], [9, 9], [0, 0]]]}},
            "throws: a coordinate",
        ),
        ({"properties": {"classification": {"name": "A"}, "objectType": "tile"}}, "throws: a class with a name"),
        ({"properties": {"measurements": {"a": "high"}, "objectType": "tile"}}, "throws: a is text"),
        ({"properties": {"measurements": {"a": None}, "objectType": "tile"}}, "drops: a is null"),
        ({"properties": {"measurements": {"a": 1e39}, "objectType": "tile"}}, "changes: a does not fit"),
        ({"properties": {"metadata": {"run": "7"}, "objectType": "tile"}}, "drops: only an annotation keeps"),
        ({"properties": {"color": [1, 2], "objectType": "tile"}}, "drops: a colour"),
        ({"properties": {}}, "changes: without objectType"),
    ],
)
def test_every_fault_is_found(tmp_path, change, fault):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [GOOD, {**GOOD, **change}]}), "utf-8")
    found = [each for each in faults(path) if "two objects" not in each]
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_a_name_that_qupath_does_not_know_is_an_empty_import(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [GOOD]}), "utf-8")
    assert faults(path)[0].startswith("drops all")


@settings(max_examples=60, deadline=None)
@given(
    rings=st.lists(st.tuples(st.floats(-50, 2100), st.floats(-50, 1700)), min_size=3, max_size=9),
    value=st.floats(allow_nan=True, allow_infinity=True),
    name=st.text(max_size=12),
    label=st.none() | st.text(min_size=1, max_size=9),
)
def test_whatever_is_written_has_no_fault(tmp_path_factory, rings, value, name, label):
    path = tmp_path_factory.mktemp("any") / "a.geojson.gz"
    id = object_id(7, "slide", "entity", "1")
    write_features(path, [Feature(id, shapely.Polygon(rings), "tile", name, label, None, {"x": value})], FRAME)
    assert faults(path) == []
