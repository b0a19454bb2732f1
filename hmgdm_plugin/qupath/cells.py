"""Nuclei out of QuPath's cells or detections, block by block: a file of a million never stands in memory.

One bad object is counted and passed over, never fatal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.space import Frame
from .reader import read_features

LARGEST_UM2 = 2_000.0  # more than any nucleus: a region or a superpixel among them
_BLOCK = 4_096
_CELL_WHOLE = "have no nucleus outline, the outline of the cell was taken"
_NO_AREA = "are not an area and were ignored"
_BROKEN = "have broken coordinates and were ignored"
_TILES = "are tiles, not nuclei, and were ignored"
_CROSSED = "have an outline that crosses itself; its largest part was kept"
_LARGE = f"are larger than {LARGEST_UM2:g} µm², more than any nucleus, and were ignored"
_OUTSIDE = "lie outside the slide and were ignored"

Floats = NDArray[np.float64]


def read_nuclei(path: Path, frame: Frame, remarks: Counter[str]) -> Iterator[NDArray[np.object_]]:
    """Outlines of the nuclei of a GeoJSON file.

    Parameters
    ----------
    path : Path
        GeoJSON in QuPath's pixels; see `reader.read_features` for the forms it may have.
    frame : Frame
        The slide.
    remarks : Counter
        Counts, under the reason, what was ignored or changed; a reason goes on after "12 objects".

    Yields
    ------
    (n,) array of shapely Polygon
        Valid, without holes, in level-0 pixels, in the order of the file; their centroids lie on the slide.

    Raises
    ------
    InputError
        While iterating: the file cannot be read or is not GeoJSON.
    """
    rings = (ring for feature in read_features(path) if (ring := _ring(feature, remarks)) is not None)
    while block := list(islice(rings, _BLOCK)):
        owner = np.repeat(np.arange(len(block)), [len(ring) for ring in block])
        points = frame.from_qupath(np.concatenate(block))
        yield _kept(np.atleast_1d(shapely.polygons(shapely.linearrings(points, indices=owner))), frame, remarks)


def _ring(feature: Mapping[str, Any], remarks: Counter[str]) -> Floats | None:
    """Outer ring (n, 2) of one object, closed, in QuPath's pixels; None, and a remark, where there is none."""
    kind, geometry = _member(feature.get("properties"), "objectType"), feature.get("nucleusGeometry")
    if geometry is None:
        geometry = feature.get("geometry")
        remarks[_CELL_WHOLE] += kind == "cell"
    ring = _TILES if kind == "tile" else _outer_ring(geometry)
    if isinstance(ring, str):
        remarks[ring] += 1
        return None
    return ring


def _outer_ring(geometry: Any) -> Floats | str:
    """Outer ring (n, 2), closed, of the largest part of a GeoJSON geometry; else why there is none."""
    shape, parts = _member(geometry, "type"), _member(geometry, "coordinates")
    if shape not in ("Polygon", "MultiPolygon"):
        return _NO_AREA
    try:
        rings = [polygon[0] for polygon in (parts if shape == "MultiPolygon" else [parts])]
        ring = np.array([point[:2] for point in max(rings, key=len)], np.float64)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        return _BROKEN
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
        return _BROKEN
    if (ring[0] != ring[-1]).any():
        ring = np.concatenate([ring, ring[:1]])
    return ring if len(ring) > 3 else _NO_AREA


def _kept(shapes: NDArray[np.object_], frame: Frame, remarks: Counter[str]) -> NDArray[np.object_]:
    """Those of `shapes` that are nuclei of the slide, repaired where they cross themselves."""
    for at in np.flatnonzero(~shapely.is_valid(shapes)):
        shapes[at] = _largest(shapely.make_valid(shapes[at]))
        remarks[_CROSSED] += not shapes[at].is_empty
    areas = shapely.area(shapes)
    flat, large = areas <= 0, areas * frame.mpp**2 > LARGEST_UM2
    fits = shapes[~flat & ~large]
    x_px, y_px, width_px, height_px = frame.bounds
    offset = shapely.get_coordinates(shapely.centroid(fits)) - (x_px, y_px)
    there = ((offset >= 0) & (offset < (width_px, height_px))).all(axis=1)
    for remark, found in ((_NO_AREA, flat), (_LARGE, large), (_OUTSIDE, ~there)):
        remarks[remark] += int(found.sum())
    kept: NDArray[np.object_] = fits[there]
    return kept


def _largest(shape: shapely.Geometry) -> shapely.Polygon:
    """The largest polygon in `shape`, without holes; empty where there is none."""
    parts = [part for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    return shapely.Polygon(max(parts, key=lambda part: part.area).exterior) if parts else shapely.Polygon()


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None
