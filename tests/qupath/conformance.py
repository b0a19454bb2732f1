"""What QuPath does with a GeoJSON file, said before QuPath does it: a reader that finds every fault and forgives none.

Each fault starts with what QuPath would do: ``throws`` (the whole file is lost), ``changes`` (it imports something
else than what the file says) or ``drops`` (it leaves something out). Learnt from QuPath 0.5.1's own source and checked
against it by `test_qupath_real.py`.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
KINDS = {"annotation", "detection", "cell", "tile", "tmaCore", "root"}
WORDS = {"NaN", "Infinity", "-Infinity"}
FLOAT32 = 3.4028235677973366e38  # from here on it rounds to infinity
DEPTH = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}


def faults(path: Path) -> list[str]:
    """Everything that QuPath would throw on, change or drop in a GeoJSON file; empty where it reads what it says."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    if not path.name.endswith((".geojson", ".json", ".geojson.gz", ".json.gz")):
        return ["drops all: the name of the file does not end as it should"]
    document = json.loads(text)
    features = document["features"] if isinstance(document, dict) and "features" in document else document
    found: list[str] = []
    seen: set[str] = set()
    for number, feature in enumerate(features if isinstance(features, list) else [features], 1):
        found += [f"{fault} (feature {number})" for fault in _feature(feature, seen)]
    return found


def _feature(feature: dict[str, Any], seen: set[str]) -> Iterator[str]:
    yield from _identity(feature.get("id"), seen)
    yield from _geometry(feature.get("geometry"))
    properties = feature.get("properties") or {}
    kind = properties.get("objectType")
    if kind is None:
        yield "changes: without objectType it becomes an annotation"
    elif kind not in KINDS:
        yield f"changes: unknown objectType {kind!r}"
    if "nucleusGeometry" in properties:
        yield "drops: nucleusGeometry belongs to the feature, not to its properties"
    if "nucleusGeometry" in feature:
        yield from _geometry(feature["nucleusGeometry"])
        if kind != "cell":
            yield "drops: only a cell has a nucleusGeometry"
    if properties.get("metadata") and kind != "annotation":
        yield "drops: only an annotation keeps metadata on QuPath 0.5"
    if not isinstance(properties.get("name", ""), str):
        yield "changes: a name that is no text"
    if "color" in properties and any(_colour(properties["color"])):
        yield "drops: a colour of an object that is no colour"
    yield from _classification(properties.get("classification"))
    yield from _measurements(properties.get("measurements"))


def _identity(text: Any, seen: set[str]) -> Iterator[str]:
    if not isinstance(text, str) or not UUID.fullmatch(text.lower()):
        yield "changes: an id that is no UUID is replaced"
    elif text.lower() in seen:
        yield "changes: two objects of one id"
    seen.add(str(text).lower())


def _geometry(geometry: Any) -> Iterator[str]:
    if not isinstance(geometry, dict):
        yield "throws: no geometry"
        return
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        for part in geometry.get("geometries") or []:
            yield from _geometry(part)
        return
    if kind not in DEPTH or not isinstance(coordinates, list) or not coordinates:
        yield "throws: an empty or unknown geometry"
        return
    if not _finite(coordinates, DEPTH[kind]):
        yield "throws: a coordinate that is no finite number"
        return
    polygons = [coordinates] if kind == "Polygon" else coordinates if kind == "MultiPolygon" else []
    for ring in (ring for polygon in polygons for ring in polygon):
        if len(ring) < 4:
            yield "changes: a ring of less than four points encloses nothing"
        elif ring[0] != ring[-1]:
            yield "throws: a ring that is not closed"


def _finite(coordinates: Any, depth: int) -> bool:
    if depth > 0:
        return isinstance(coordinates, list) and all(_finite(each, depth - 1) for each in coordinates)
    return isinstance(coordinates, list) and len(coordinates) >= 2 and all(_number(each) for each in coordinates)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _colour(rgb: Any) -> Iterator[str]:
    good = isinstance(rgb, list) and len(rgb) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in rgb)
    if not good:
        yield "throws: a colour is three whole numbers from 0 to 255"


def _classification(given: Any) -> Iterator[str]:
    if given is None or isinstance(given, str):
        return
    names = given.get("names", [given.get("name")]) if isinstance(given, dict) else []
    if not names or not all(isinstance(name, str) and name for name in names):  # "names": a class below another
        yield "throws: a class without a name"
    elif "color" not in given:
        yield "throws: a class with a name needs a colour"
    else:
        yield from _colour(given["color"])


def _measurements(given: Any) -> Iterator[str]:
    if given is None:
        return
    if not isinstance(given, dict):
        yield "throws: measurements are names with numbers"
        return
    for name, value in given.items():
        if value is None:
            yield f"drops: {name} is null"
        elif isinstance(value, str) and value not in WORDS:
            yield f"throws: {name} is text"
        elif not isinstance(value, str) and not _number(value):
            yield f"throws: {name} is no number"
        elif not isinstance(value, str) and abs(value) >= FLOAT32:
            yield f"changes: {name} does not fit into float32"
