"""Objects as columns in an uncompressed .npz: the fast road into QuPath, beside GeoJSON and never instead of it.

500,000 outlines are read by the scripts of `qupath_scripts` in seconds where GeoJSON takes minutes. The file is plain
NumPy, little endian; members that belong to objects have their order.

==========  ==============  =====================================================================================
header      (b,) uint8      JSON in UTF-8: ``format``, ``version``, ``objects``, ``classes`` (name, color), ``names``,
                            ``measurements``
id          (n, 16) uint8   the UUID, big endian
kind        (n,) uint8      0 tile, 1 detection, 2 annotation; 128 is added where the object is locked
class       (n,) uint16     number in ``classes``; 65535 for none
name        (n,) uint32     number in ``names``
rings       (n,) uint32     how many rings the object has
role        (r,) uint8      of a ring: 0 starts a polygon, 1 a hole in it, 2 a line
points      (r,) uint32     points of a ring; the closing one is left out
xy          (p, 2) float32  in the pixels of the image that QuPath shows
m0, m1, …   (n,) float32    measurements; NaN where the object has none of that name
==========  ==============  =====================================================================================
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import shapely
from numpy.typing import DTypeLike, NDArray

from ..schema.run import writing
from ..schema.space import Frame
from .geojson import Feature, clean_text, shapes_in_qupath
from .overlay import stable_rgb

FORMAT, VERSION = "hmgdm-columns", 1
_BLOCK = 2_000  # objects encoded at a time
_KINDS = {"tile": 0, "detection": 1, "annotation": 2}
_LOCKED, _NO_CLASS = 128, 65535
_OUTER, _HOLE, _LINE = 0, 1, 2
_LINE_STRING = 1  # shapely's type id
_MEMBERS: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {
    "id": (np.uint8, (16,)),
    "kind": (np.uint8, ()),
    "class": ("<u2", ()),
    "name": ("<u4", ()),
    "rings": ("<u4", ()),
    "role": (np.uint8, ()),
    "points": ("<u4", ()),
    "xy": ("<f4", (2,)),
}


def recorded(features: Iterable[Feature], path: Path | None, frame: Frame) -> Iterator[Feature]:
    """Hand `features` on one by one and, when the last is taken, have them as columns at `path`.

    Parameters
    ----------
    features : iterable of Feature
    path : Path or None
        Where to write; nothing is written for None.
    frame : Frame
        The slide, for the crop that QuPath shows.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    if path is None:
        yield from features
        return
    rest = iter(features)
    with ColumnsFile(path, frame) as file:
        while block := list(islice(rest, _BLOCK)):
            file.add(block)
            yield from block


def write_columns(path: Path, features: Iterable[Feature], frame: Frame) -> int:
    """Write `features` as columns; returns how many.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    return sum(1 for _ in recorded(features, path, frame))


class ColumnsFile:
    """Gathers columns in temporary files, so that memory stays flat, and joins them when all is written.

    Parameters
    ----------
    path : Path
        The .npz; it appears when the context ends without an error.
    frame : Frame
    """

    def __init__(self, path: Path, frame: Frame) -> None:
        self._path, self._frame = Path(path), frame
        self._files: dict[str, IO[bytes]] = {}
        self._counts: dict[str, int] = {}
        self._classes: dict[tuple[str, tuple[int, int, int]], int] = {}
        self._names: dict[str, int] = {}
        self._measurements: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> ColumnsFile:
        for name in _MEMBERS:
            self._open(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with self._stack:
            if kind is None:
                with writing(self._path):
                    self._join()

    def add(self, block: list[Feature]) -> None:
        """Append objects; one whose outline vanishes on QuPath's grid of 0.01 pixel is left out, as in GeoJSON."""
        shapes = shapes_in_qupath([feature.geometry for feature in block], self._frame)
        kept = np.flatnonzero(~shapely.is_empty(shapes))
        block, shapes = [block[k] for k in kept], shapes[kept]
        before = self._counts["id"]
        ids = b"".join(feature.id.bytes for feature in block)
        self._append("id", np.frombuffer(ids, np.uint8).reshape(-1, 16))
        self._append("kind", np.array([_KINDS[f.kind] + _LOCKED * f.locked for f in block]))
        self._append("class", np.array([self._class(f) for f in block]))
        self._append("name", np.array([self._number(clean_text(f.name)) for f in block]))
        self._outlines(shapes)
        self._numbers(block, before)

    def _outlines(self, shapes: NDArray[np.object_]) -> None:
        """Rings of polygons and lines, in the order of the objects."""
        parts, owner = shapely.get_parts(shapes, return_index=True)
        rings, part = shapely.get_rings(parts, return_index=True)
        role = np.where(np.diff(part, prepend=-1) > 0, _OUTER, _HOLE)
        lines = np.flatnonzero(shapely.get_type_id(parts) == _LINE_STRING)
        order = np.argsort(np.r_[part, lines], kind="stable")
        rings, role = np.r_[rings, parts[lines]][order], np.r_[role, np.full(len(lines), _LINE)][order]
        closed = role != _LINE
        points, ring = shapely.get_coordinates(rings, return_index=True)
        last = np.r_[ring[1:] != ring[:-1], True] if len(ring) else np.zeros(0, bool)
        self._append("xy", points[~(last & closed[ring])])
        self._append("points", shapely.get_num_coordinates(rings) - closed)
        self._append("role", role)
        self._append("rings", np.bincount(owner[np.r_[part, lines][order]], minlength=len(shapes)))

    def _numbers(self, block: list[Feature], before: int) -> None:
        """Measurements; a name that comes late is NaN for all objects before."""
        for name in {name: None for feature in block for name in feature.measurements}:
            if name not in self._measurements:
                self._measurements[name] = f"m{len(self._measurements)}"
                self._open(self._measurements[name])
                self._append(self._measurements[name], np.full(before, np.nan))
        for name, member in self._measurements.items():
            values = np.array([feature.measurements.get(name, math.nan) for feature in block], np.float64)
            with np.errstate(over="ignore"):
                single = values.astype("<f4")
            self._append(member, np.where(np.isfinite(single), single, np.nan))

    def _class(self, feature: Feature) -> int:
        if feature.class_name is None:
            return _NO_CLASS
        red, green, blue = feature.class_rgb or stable_rgb(feature.class_name)
        key = clean_text(feature.class_name), (int(red), int(green), int(blue))
        return self._classes.setdefault(key, len(self._classes))

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _open(self, member: str) -> None:
        with writing(self._path):
            file = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115  closed by the stack
            self._files[member] = self._stack.enter_context(file)
        self._counts[member] = 0

    def _append(self, member: str, rows: NDArray[Any]) -> None:
        dtype = _MEMBERS.get(member, ("<f4", ()))[0]
        with writing(self._path):
            self._files[member].write(np.ascontiguousarray(rows, dtype).tobytes())
        self._counts[member] += len(rows)

    def _join(self) -> None:
        header = {
            "format": FORMAT,
            "version": VERSION,
            "objects": self._counts["id"],
            "classes": [{"name": name, "color": list(rgb)} for name, rgb in self._classes],
            "names": list(self._names),
            "measurements": list(self._measurements),
        }
        text = np.frombuffer(json.dumps(header, ensure_ascii=False).encode(), np.uint8)
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            with archive.open("header.npy", "w") as member:
                np.lib.format.write_array(member, text)
            for name, file in self._files.items():
                dtype, width = _MEMBERS.get(name, ("<f4", ()))
                shape = (self._counts[name], *width)
                facts = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
                file.seek(0)
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array_header_1_0(member, facts)
                    shutil.copyfileobj(file, member, 1 << 20)
