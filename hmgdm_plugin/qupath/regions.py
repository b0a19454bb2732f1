"""Regions that a person drew, read from GeoJSON with every doubt said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import geojson
import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from ..schema.errors import InputError
from ..schema.space import Frame
from .ids import is_ours
from .reader import read_features

Region: TypeAlias = shapely.Polygon | shapely.MultiPolygon
_NO_AREA = "not an area (a point, a line or an empty outline); ignored"
_CROSSED = "outline crosses itself; repaired"
_OUTSIDE = "lies outside the slide; ignored"
_CLIPPED = "reaches beyond the edge of the slide; clipped"
_SHOWN = 5  # feature numbers named in one note
_DRAW_AGAIN = "draw the region again in QuPath and export it"


def read_regions(path: Path, frame: Frame) -> tuple[list[Region], list[str]]:
    """Read the areas of a GeoJSON file as regions of a slide.

    Parameters
    ----------
    path : Path
        GeoJSON in QuPath's pixels; see `reader.read_features` for the forms it may have.
    frame : Frame
        The slide; regions are clipped to the part of it that QuPath shows.

    Returns
    -------
    regions : list of Polygon or MultiPolygon
        Valid, in level-0 pixels, in the order of the file.
    notes : list of str
        What the user should know: what was ignored, clipped or repaired.

    Raises
    ------
    InputError
        The file cannot be read, a geometry is broken, or no region lies on the slide.
    """
    x_px, y_px, width_px, height_px = frame.bounds
    shown = shapely.box(x_px, y_px, x_px + width_px, y_px + height_px)
    regions: list[Region] = []
    remarks: dict[str, list[int]] = {}
    for number, feature in enumerate(read_features(path), 1):
        drawn, found = _drawn(feature.get("geometry"), frame, f"{path}: feature {number}")
        kept, more = _on_slide(drawn, shown)
        regions += [] if kept is None else [kept]
        for remark in found + more:
            remarks.setdefault(remark, []).append(number)
    if not regions:
        raise _nothing(path, remarks)
    return regions, [f"{Path(path).name}: {_numbers(numbers)}: {remark}" for remark, numbers in remarks.items()]


def read_classified(path: Path, frame: Frame) -> list[tuple[Region, str]]:
    """Areas on the slide that have a class, with its name; others are passed over. Errors: as `read_regions`.

    A derived class keeps its whole name, such as ``Tumor: Positive``. What H-MGDM itself put on the slide is passed
    over too: a model must not learn from its own answers.
    """
    shown = shapely.box(*frame.bounds[:2], frame.bounds[0] + frame.bounds[2], frame.bounds[1] + frame.bounds[3])
    found = []
    for number, feature in enumerate(read_features(path), 1):
        name = _class_name(feature)
        if name and not is_ours(str(feature.get("id", ""))):
            kept, _ = _on_slide(_drawn(feature.get("geometry"), frame, f"{path}: feature {number}")[0], shown)
            found += [] if kept is None else [(kept, name)]
    if not found:
        raise InputError(f"{path}: no area with a class on the slide", "give the annotations their class in QuPath")
    return found


def _class_name(feature: Mapping[str, Any]) -> str:
    """Name of a feature's class; older versions of QuPath write the names of a derived class as a list."""
    properties = feature.get("properties")
    known = properties.get("classification") if isinstance(properties, Mapping) else None
    if not isinstance(known, Mapping):
        return ""
    names = known.get("names")
    return ": ".join(map(str, names)) if isinstance(names, list) else str(known.get("name") or "")


def _drawn(geometry: Any, frame: Frame, where: str) -> tuple[BaseGeometry, list[str]]:
    """The area of one feature in level-0 pixels, valid, with remarks on what had to be done to it."""
    polygons = [shapely.Polygon(shell, holes) for shell, *holes in _outlines(geometry, frame, where)]
    if all(polygon.is_valid for polygon in polygons):
        return shapely.union_all(polygons), []
    return shapely.union_all([_areas(shapely.make_valid(polygon)) for polygon in polygons]), [_CROSSED]


def _on_slide(drawn: BaseGeometry, shown: shapely.Polygon) -> tuple[Region | None, list[str]]:
    """The part of `drawn` inside `shown`, None when there is none."""
    if drawn.area == 0:
        return None, [_NO_AREA]
    inside = _areas(drawn.intersection(shown))
    if inside.area == 0:
        return None, [_OUTSIDE]
    lost_px2 = drawn.area - inside.area
    return inside, [_CLIPPED] if lost_px2 > 1.0 else []


def _areas(shape: BaseGeometry) -> Region:
    """Only the polygons of `shape`: repair and clipping may leave points and lines beside them."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"])


def _outlines(geometry: Any, frame: Frame, where: str) -> Iterator[list[Any]]:
    """Checked rings, in level-0 pixels, of each polygon in a GeoJSON geometry; none for points and lines."""
    parsed = _parsed(geometry, where)
    if isinstance(parsed, geojson.GeometryCollection):
        parts = parsed["geometries"]
        for part in parts if isinstance(parts, list) else [None]:
            yield from _outlines(part, frame, where)
    elif isinstance(parsed, geojson.Polygon | geojson.MultiPolygon):
        polygons = [parsed["coordinates"]] if isinstance(parsed, geojson.Polygon) else parsed["coordinates"]
        for rings in polygons:
            if not isinstance(rings, list) or not rings:
                raise InputError(f"{where}: polygon without points", _DRAW_AGAIN)
            yield [frame.from_qupath(_ring(ring, where)) for ring in rings]


def _parsed(geometry: Any, where: str) -> Any:
    if geometry is None:
        raise InputError(f"{where}: no geometry", f"remove the feature, or {_DRAW_AGAIN}")
    try:
        parsed = geojson.GeoJSON.to_instance(geometry, strict=True) if isinstance(geometry, Mapping) else None
    except (ValueError, TypeError, AttributeError, UnicodeError) as error:
        raise InputError(f"{where}: broken geometry ({error})", _DRAW_AGAIN) from error
    if not isinstance(parsed, geojson.geometry.Geometry | geojson.GeometryCollection):
        raise InputError(f"{where}: not a GeoJSON geometry", _DRAW_AGAIN)
    return parsed


def _ring(ring: Any, where: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A closed ring as points (n, 2)."""
    if not isinstance(ring, list) or not all(isinstance(point, list) and len(point) >= 2 for point in ring):
        raise InputError(f"{where}: a ring is not a list of x, y points", _DRAW_AGAIN)
    if len(ring) < 4:
        raise InputError(f"{where}: ring of {len(ring)} points", "give at least 4, the last equal to the first")
    try:
        points = np.array([point[:2] for point in ring], np.float64)
    except OverflowError:
        points = np.full((1, 2), np.nan)
    if not np.isfinite(points).all():
        raise InputError(f"{where}: a coordinate is not a finite number", _DRAW_AGAIN)
    if (points[0] != points[-1]).any():
        raise InputError(f"{where}: ring not closed", "close it by repeating the first point")
    return points


def _nothing(path: Path, remarks: Mapping[str, list[int]]) -> InputError:
    if _OUTSIDE in remarks:
        return InputError(f"{path}: every region lies outside the slide", "check that it was drawn on this slide")
    return InputError(f"{path}: no region in it", "draw at least one area in QuPath and export it")


def _numbers(numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:_SHOWN]))
    more = f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else ""
    return f"feature{'s' if len(numbers) > 1 else ''} {named}{more}"
