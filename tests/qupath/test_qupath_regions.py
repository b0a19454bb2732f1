"""Regions from a person: right place, and a sentence for everything that is wrong with them."""

import json

import pytest
import shapely

from hmgdm_plugin.qupath.geojson import read_regions
from hmgdm_plugin.qupath.ids import is_ours
from hmgdm_plugin.qupath.regions import read_classified
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame

WHOLE = Frame(1000, 800, 0.5, (0, 0, 1000, 800))
CROPPED = Frame(1000, 800, 0.5, (300, 200, 600, 500))
SQUARE = [[[10, 20], [60, 20], [60, 70], [10, 70], [10, 20]]]


def polygon(coordinates):
    return {"type": "Polygon", "coordinates": coordinates}


def read(tmp_path, *geometries, frame=WHOLE):
    path = tmp_path / "case.geojson"
    features = [{"type": "Feature", "geometry": geometry, "properties": {}} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return read_regions(path, frame)


def test_regions_move_by_the_crop(tmp_path):
    (region,), notes = read(tmp_path, polygon(SQUARE), frame=CROPPED)
    assert region.bounds == (310, 220, 360, 270)
    assert notes == []


def test_holes_parts_and_collections(tmp_path):
    hole = [[20, 30], [30, 30], [30, 40], [20, 40], [20, 30]]
    two = {
        "type": "MultiPolygon",
        "coordinates": [[*SQUARE, hole], shapely.geometry.mapping(shapely.box(100, 100, 110, 110))["coordinates"]],
    }
    point = {"type": "Point", "coordinates": [1, 1]}
    collection = {"type": "GeometryCollection", "geometries": [point, polygon(SQUARE)]}
    regions, notes = read(tmp_path, json.loads(json.dumps(two)), collection)
    assert [region.area for region in regions] == [2500 - 100 + 100, 2500]
    assert [region.geom_type for region in regions] == ["MultiPolygon", "Polygon"]
    assert notes == []


def test_third_coordinate_is_ignored(tmp_path):
    ((region,), _) = read(tmp_path, polygon([[[*point, 0] for point in SQUARE[0]]]))
    assert region.area == 2500


def test_points_and_lines_are_ignored_with_one_note(tmp_path):
    point = {"type": "Point", "coordinates": [1, 1]}
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    flat = polygon([[[0, 0], [10, 10], [20, 20], [0, 0]]])
    regions, notes = read(tmp_path, *[point] * 6, line, polygon(SQUARE))
    assert len(regions) == 1
    assert notes == [
        "case.geojson: features 1, 2, 3, 4, 5 and 2 more: not an area (a point, a line or an empty outline); ignored"
    ]
    with pytest.raises(InputError, match="no region"):
        read(tmp_path, flat)


def test_crossing_outline_is_repaired_with_a_note(tmp_path):
    bow_tie = polygon([[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]])
    (region,), (note,) = read(tmp_path, bow_tie)
    assert region.is_valid
    assert region.area == 50
    assert note == "case.geojson: feature 1: outline crosses itself; repaired"


def test_overlapping_parts_count_once(tmp_path):
    twice = {"type": "MultiPolygon", "coordinates": [SQUARE, SQUARE]}
    ((region,), _) = read(tmp_path, twice)
    assert region.area == 2500


def test_region_over_the_edge_is_clipped_and_one_outside_dropped(tmp_path):
    over = polygon([[[990, 0], [1010, 0], [1010, 10], [990, 10], [990, 0]]])
    outside = polygon([[[2000, 0], [2010, 0], [2010, 10], [2000, 10], [2000, 0]]])
    touching = polygon([[[1000, 0], [1010, 0], [1010, 10], [1000, 10], [1000, 0]]])
    (region,), notes = read(tmp_path, over, outside, touching)
    assert region.bounds == (990, 0, 1000, 10)
    assert [note.split(": ", 1)[1] for note in notes] == [
        "feature 1: reaches beyond the edge of the slide; clipped",
        "features 2, 3: lies outside the slide; ignored",
    ]
    with pytest.raises(InputError, match="every region lies outside the slide"):
        read(tmp_path, outside)


def test_rounding_at_the_edge_is_no_news(tmp_path):
    whole = polygon([[[0, 0], [1000.0004, 0], [1000.0004, 800], [0, 800], [0, 0]]])
    (region,), notes = read(tmp_path, whole)
    assert region.bounds == (0, 0, 1000, 800)
    assert notes == []


WRONG = {
    "unclosed": (polygon([SQUARE[0][:-1]]), "feature 2: ring not closed; close it by repeating the first point"),
    "triangle": (polygon([[[0, 0], [5, 0], [0, 0]]]), "feature 2: ring of 3 points; give at least 4"),
    "null": (None, "feature 2: no geometry; remove the feature"),
    "nan": (
        polygon([[[0, float("nan")], *SQUARE[0][1:-1], [0, float("nan")]]]),
        "feature 2: a coordinate is not a finite",
    ),
    "infinite": (polygon([[[0, float("inf")], *SQUARE[0][1:-1], [0, 0]]]), "feature 2: a coordinate is not a finite"),
    "text": (polygon([[["0", "0"], [5, 0], [5, 5], ["0", "0"]]]), "feature 2: broken geometry"),
    "null inside": (polygon([[[None, 0], [5, 0], [5, 5], [None, 0]]]), "feature 2: broken geometry"),
    "one number a point": (polygon([[[1], [2], [3], [1]]]), "feature 2: a ring is not a list"),
    "flat list": (polygon([1, 2, 3, 4]), "feature 2: a ring is not a list"),
    "number": (polygon(5), "feature 2: broken geometry"),
    "no rings": (polygon([]), "feature 2: polygon without points"),
    "no coordinates": ({"type": "Polygon"}, "feature 2: polygon without points"),
    "unknown": ({"type": "Polygn", "coordinates": SQUARE}, "feature 2: "),
    "feature as geometry": ({"type": "Feature", "geometry": None}, "feature 2: not a GeoJSON geometry"),
    "list": ([1], "feature 2: not a GeoJSON geometry"),
    "text geometry": ("POLYGON", "feature 2: not a GeoJSON geometry"),
    "parts without rings": ({"type": "MultiPolygon", "coordinates": [[]]}, "feature 2: polygon without points"),
    "broken collection": ({"type": "GeometryCollection", "geometries": [None]}, "feature 2: no geometry"),
    "collection of nothing": ({"type": "GeometryCollection", "geometries": 5}, "feature 2: no geometry"),
}


@pytest.mark.parametrize(("geometry", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_broken_geometry_names_its_feature_and_fix(tmp_path, geometry, sentence):
    with pytest.raises(InputError) as caught:
        read(tmp_path, polygon(SQUARE), geometry)
    assert f"case.geojson: {sentence}" in str(caught.value)
    assert caught.value.fix


def test_no_region_at_all(tmp_path):
    with pytest.raises(InputError, match="no region in it; draw"):
        read(tmp_path)


def test_classified_areas_keep_their_class_and_ours_are_passed_over(tmp_path):
    ours = "484d4744-0000-8000-8000-000000000001"
    assert is_ours(ours)
    rows = [
        ({"classification": {"name": "Tumor: Positive"}}, polygon(SQUARE), "a"),
        ({"classification": {"names": ["Stroma", "Loose"]}}, polygon(SQUARE), "b"),
        ({}, polygon(SQUARE), "c"),
        ({"classification": {"name": "Tumor"}}, {"type": "Point", "coordinates": [1, 1]}, "d"),
        ({"classification": {"name": "Tumor"}}, polygon(SQUARE), ours),
    ]
    features = [{"type": "Feature", "id": i, "geometry": g, "properties": p} for p, g, i in rows]
    path = tmp_path / "case.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_classified(path, CROPPED)
    assert [name for _, name in found] == ["Tumor: Positive", "Stroma: Loose"]
    assert found[0][0].bounds == (310, 220, 360, 270)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features[2:]}))
    with pytest.raises(InputError, match="no area with a class"):
        read_classified(path, WHOLE)
