"""Nuclei out of QuPath's cells or detections: read once as a stream, found again by where they lie.

Of each nucleus only its centre and where its outline stands are held (40 bytes); outlines wait in an unnamed
temporary file, so a million cells need little memory. One bad object is counted and passed over, never fatal.
"""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.run import writing
from ..schema.space import Frame
from .reader import read_features

LARGEST_UM2 = 2_000.0  # more than any nucleus; a region or a superpixel among them
_BLOCK = 4_096
_BUCKET_PX = 512.0
_POINT_BYTES = 8  # x, y as float32, from the nucleus's centre
_CELL_WHOLE = "have no nucleus outline, the outline of the cell was taken"
_NO_AREA = "are not an area and were ignored"
_BROKEN = "have broken coordinates and were ignored"
_TILES = "are tiles, not nuclei, and were ignored"
_CROSSED = "have an outline that crosses itself; its largest part was kept"
_LARGE = f"are larger than {LARGEST_UM2:g} µm², more than any nucleus, and were ignored"
_OUTSIDE = "lie outside the slide and were ignored"

Floats = NDArray[np.float64]


class Cells:
    """Outlines of the nuclei in GeoJSON files, by place.

    Parameters
    ----------
    paths : sequence of Path
        GeoJSON in QuPath's pixels, read one after the other; see `reader.read_features` for the forms it may have.
    frame : Frame
        The slide.

    Attributes
    ----------
    notes : list of str
        What was ignored or changed, one sentence per reason.
    centres : (N, 2) float64
        Centroids in level-0 pixels, in the order of the files.

    Raises
    ------
    InputError
        A file cannot be read, or no nucleus in them lies on the slide.
    """

    def __init__(self, paths: Sequence[Path], frame: Frame) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as its owner
        self._reading = threading.Lock()
        self._frame = frame
        self._remarks: Counter[str] = Counter()
        centres, sizes = [np.empty((0, 2))], [np.empty(0, np.int64)]
        for path in paths:
            for outlines in self._outlines(path):
                middle, size = self._kept(outlines)
                centres.append(middle)
                sizes.append(size)
        self.centres: Floats = np.concatenate(centres)
        self._ends = np.cumsum(np.concatenate(sizes))
        self.notes = [f"{paths[0].name}: {count} objects {what}" for what, count in self._remarks.items() if count]
        if not len(self.centres):
            why = max(self._remarks, key=lambda what: self._remarks[what], default="")
            problem = f"{paths[0]}: no nucleus of this slide in it" + (f" (its objects {why})" if why else "")
            raise InputError(problem, "export cells or detections of this slide from QuPath")
        self._index()

    def __len__(self) -> int:
        return len(self.centres)

    def inside(self, x_px: float, y_px: float, side_px: float) -> NDArray[np.object_]:
        """Outlines (n,) whose centroid lies in a half-open square of level-0 pixels, in the order of the files."""
        found = self._within(x_px, y_px, side_px)
        starts = np.where(found > 0, self._ends[found - 1], 0) if len(found) else found
        counts = (self._ends[found] - starts) if len(found) else found
        with self._reading:
            raw = [self._read(start, count) for start, count in zip(starts.tolist(), counts.tolist(), strict=True)]
        points = np.frombuffer(b"".join(raw), np.float32).reshape(-1, 2).astype(np.float64)
        owner = np.repeat(np.arange(len(found)), counts)
        return _polygons(points + self.centres[found][owner], owner, len(found))

    def _read(self, first: int, count: int) -> bytes:
        self._file.seek(_POINT_BYTES * first)
        return self._file.read(_POINT_BYTES * count)

    def _within(self, x_px: float, y_px: float, side_px: float) -> NDArray[np.int64]:
        first, last = self._column(x_px), self._column(x_px + side_px)
        rows = range(int(y_px // _BUCKET_PX), int((y_px + side_px) // _BUCKET_PX) + 1)
        runs = [
            self._order[
                slice(*np.searchsorted(self._keys, (row * self._columns + first, row * self._columns + last + 1)))
            ]
            for row in rows
        ]
        near = np.sort(np.concatenate(runs))
        offset = self.centres[near] - (x_px, y_px)
        return near[((offset >= 0) & (offset < side_px)).all(axis=1)]

    def _column(self, x_px: float) -> int:
        return min(max(int(x_px // _BUCKET_PX), 0), self._columns - 1)

    def _index(self) -> None:
        """Order of the nuclei by bucket, and the bucket of each in that order."""
        self._columns = int(self._frame.width_px // _BUCKET_PX) + 1
        column, row = (self.centres // _BUCKET_PX).astype(np.int64).T
        keys = row * self._columns + column
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def _outlines(self, path: Path) -> Iterator[list[Floats]]:
        """Rings (n, 2) of the objects of a file that have an area, block by block."""
        rings = (ring for feature in read_features(path) if (ring := self._ring(feature)) is not None)
        while block := list(islice(rings, _BLOCK)):
            yield block

    def _ring(self, feature: Mapping[str, Any]) -> Floats | None:
        """Outer ring (n, 2) of one object, closed, in level-0 pixels; None, and a remark, where there is none."""
        kind, geometry = _member(feature.get("properties"), "objectType"), feature.get("nucleusGeometry")
        if geometry is None:
            geometry = feature.get("geometry")
            self._remarks[_CELL_WHOLE] += kind == "cell"
        ring = _TILES if kind == "tile" else _outer_ring(geometry)
        if isinstance(ring, str):
            self._remarks[ring] += 1
            return None
        return self._frame.from_qupath(ring)

    def _kept(self, rings: list[Floats]) -> tuple[Floats, NDArray[np.int64]]:
        """Write the outlines that are nuclei of the slide; their centroids (n, 2) and numbers of points (n,)."""
        shapes = _polygons(np.concatenate(rings), np.repeat(np.arange(len(rings)), [len(r) for r in rings]), len(rings))
        crossed = np.flatnonzero(~shapely.is_valid(shapes))
        self._remarks[_CROSSED] += len(crossed)
        for at in crossed:
            shapes[at] = _largest(shapely.make_valid(shapes[at]))
        area_px2 = shapely.area(shapes)
        centres = shapely.get_coordinates(shapely.centroid(shapes)) if (area_px2 > 0).all() else _middles(shapes)
        left, top, width, height = self._frame.bounds
        offset = centres - (left, top)
        on_slide = ((offset >= 0) & (offset < (width, height))).all(axis=1)
        small = area_px2 * self._frame.mpp**2 <= LARGEST_UM2
        for remark, bad in (
            (_NO_AREA, area_px2 <= 0),
            (_LARGE, ~small),
            (_OUTSIDE, small & ~on_slide & (area_px2 > 0)),
        ):
            self._remarks[remark] += int(bad.sum())
        keep = (area_px2 > 0) & small & on_slide
        points, owner = shapely.get_coordinates(shapes[keep], return_index=True)
        with writing(Path(tempfile.gettempdir())):
            self._file.write((points - centres[keep][owner]).astype(np.float32).tobytes())
            self._file.flush()
        return centres[keep], np.bincount(owner, minlength=int(keep.sum()))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


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


def _polygons(points: Floats, owner: NDArray[np.integer], count: int) -> NDArray[np.object_]:
    """One polygon per owner of its closed ring of points."""
    if not count:
        return np.empty(0, object)
    return np.atleast_1d(shapely.polygons(shapely.linearrings(points, indices=owner)))


def _middles(shapes: Iterable[shapely.Geometry]) -> Floats:
    """Centroids (n, 2), zeros for what is empty."""
    return np.array([each.centroid.coords[0] if not each.is_empty else (0.0, 0.0) for each in shapes])


def _largest(shape: shapely.Geometry) -> shapely.Polygon:
    """The largest polygon in `shape`, without holes; empty where there is none."""
    parts = [part for part in shapely.get_parts(shapely.get_parts(shape)) if part.geom_type == "Polygon"]
    return shapely.Polygon(max(parts, key=lambda part: part.area).exterior) if parts else shapely.Polygon()
