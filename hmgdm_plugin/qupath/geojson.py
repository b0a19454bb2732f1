"""GeoJSON for QuPath, streamed both ways; this folder is the door to orjson and geojson.

What QuPath asks of a file and what is therefore written: a UUID as ``id``; ``objectType`` always; a class with name
and colour; closed rings with 2 decimals in the pixels of the image that QuPath shows; measurements that are finite
float32; no metadata, which detections and tiles of QuPath 0.5 refuse.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ..schema.run import writing
from ..schema.space import Frame
from .overlay import stable_rgb
from .reader import read_features
from .regions import read_regions

__all__ = [
    "CONTRIBUTION",
    "LEFT_OUT",
    "NOVELTY",
    "OF_EVERY_TILE",
    "PROBABILITY",
    "TISSUE",
    "Feature",
    "clean_text",
    "read_features",
    "read_regions",
    "shapes_in_qupath",
    "write_features",
    "write_parts",
]

CONTRIBUTION = "HMGDM: contribution to "  # start of a measurement of an entity: what it added to an answer
PROBABILITY = "HMGDM: p("  # start of a measurement of a tile: the probability of a class
NOVELTY = "HMGDM: novelty"  # measurement of a tile: above 1 it is unlike the training data
TISSUE = "HMGDM: tissue share"  # measurement of a tile: of its area
LEFT_OUT = "HMGDM: left out of maps"  # 1 for a tile with too little tissue to be coloured; others have no such number
OF_EVERY_TILE = (NOVELTY, TISSUE)  # are coloured on those, too
_BLOCK = 2_000  # features encoded at a time
_DECIMALS = 2
_GZIP_LEVEL = 4


@dataclass(frozen=True, slots=True)
class Feature:
    """One object for QuPath.

    Parameters
    ----------
    id : UUID
        From `ids.object_id`.
    geometry : shapely geometry
        In level-0 pixels.
    kind : {"tile", "detection", "annotation"}
        Superpixels and patches are tiles, nuclei detections, what a person edits annotations.
    name : str
        Shown in QuPath's lists; empty for none.
    class_name, class_rgb : str or None, (r, g, b) or None
        Classification; a class without a colour gets one that depends on its name only.
    measurements : mapping of str to float
        Kept by QuPath as float32.
    locked : bool
        Whether QuPath refuses to move or change it.
    """

    id: UUID
    geometry: BaseGeometry
    kind: Literal["tile", "detection", "annotation"]
    name: str
    class_name: str | None
    class_rgb: tuple[int, int, int] | None
    measurements: Mapping[str, float]
    locked: bool = False


def write_features(path: Path, features: Iterable[Feature], frame: Frame) -> int:
    """Write one FeatureCollection; the same features give the same bytes, and memory stays flat.

    Measurements that are NaN, infinite or beyond float32 are left out: to QuPath they are missing, not zero. A
    geometry that vanishes when rounded to 0.01 pixel is left out too.

    Parameters
    ----------
    path : Path
        Compressed when the name ends in ``.gz``.
    features : iterable of Feature
        Taken one block at a time.
    frame : Frame
        The slide, for the crop that QuPath shows.

    Returns
    -------
    int
        Number of features written.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    written = 0
    rest = iter(features)
    with _sink(Path(path)) as write:
        write(b'{"type":"FeatureCollection","features":[')
        while block := list(islice(rest, _BLOCK)):
            lines = list(_encoded(block, frame))
            if lines:
                write((b",\n" if written else b"\n") + b",\n".join(lines))
            written += len(lines)
        write(b"\n]}\n")
    return written


def write_parts(
    name_of_part: Callable[[int], Path], features: Iterable[Feature], frame: Frame, limit: int = 50_000
) -> list[Path]:
    """Write as many files of `limit` features as it takes, at least one: QuPath reads small files in little memory.

    Parameters
    ----------
    name_of_part : callable
        Path of part 1, 2, …
    features, frame
        As for `write_features`.
    limit : int
        Most features in one file.
    """
    paths: list[Path] = []
    rest = iter(features)
    ahead = list(islice(rest, 1))
    while ahead or not paths:
        paths.append(name_of_part(len(paths) + 1))
        write_features(paths[-1], islice(chain(ahead, rest), limit), frame)
        ahead = list(islice(rest, 1))
    return paths


@contextmanager
def _sink(path: Path) -> Iterator[Callable[[bytes], None]]:
    """A function that appends bytes to `path`; only its own errors are turned into ours, not the caller's."""
    with ExitStack() as stack:
        with writing(path):
            stream: Any = stack.enter_context(path.open("wb"))
        if path.name.endswith(".gz"):  # no name and no time in the header: same input, same bytes
            stream = stack.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, stream, mtime=0))

        def write(data: bytes) -> None:
            with writing(path):
                stream.write(data)

        yield write
        with writing(path):
            stack.close()


def _encoded(block: list[Feature], frame: Frame) -> Iterator[bytes]:
    shapes = shapes_in_qupath([feature.geometry for feature in block], frame)
    texts = shapely.to_geojson(shapes)
    numbers = _float32(block)
    for feature, text, empty in zip(block, texts, shapely.is_empty(shapes), strict=True):
        named = dict(zip(feature.measurements, numbers))  # noqa: B905  takes from `numbers` what belongs to the feature
        if not empty:
            yield orjson.dumps(_document(feature, text, named), option=orjson.OPT_SERIALIZE_NUMPY)


def _document(feature: Feature, geometry: str, measurements: Mapping[str, np.float32]) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": feature.kind}
    if feature.name:
        properties["name"] = clean_text(feature.name)
    if feature.locked:
        properties["isLocked"] = True
    if feature.class_name is not None:
        rgb = feature.class_rgb or stable_rgb(feature.class_name)
        properties["classification"] = {"name": clean_text(feature.class_name), "color": [int(c) for c in rgb]}
    properties["measurements"] = {name: value for name, value in measurements.items() if math.isfinite(value)}
    return {"type": "Feature", "id": feature.id, "geometry": orjson.Fragment(geometry), "properties": properties}


def shapes_in_qupath(geometries: list[BaseGeometry], frame: Frame) -> NDArray[np.object_]:
    """Geometries (n,) in QuPath's pixels, rounded to 0.01, valid, counter-clockwise with clockwise holes (RFC 7946)."""
    moved = shapely.transform(np.array(geometries, object), lambda points: _on_grid(frame.to_qupath(points)))
    for at in np.flatnonzero(~shapely.is_valid(moved)):
        moved[at] = _repaired(moved[at])
    tidy = shapely.remove_repeated_points(moved)
    return shapely.reverse(shapely.normalize(tidy))  # normalize: clockwise, holes counter-clockwise


def _repaired(shape: BaseGeometry) -> BaseGeometry:
    """A valid area on the grid for one that rounding, or its maker, left crossing itself; may be empty."""
    parts = shapely.get_parts(shapely.get_parts(shapely.make_valid(shape)))
    areas = shapely.union_all([part for part in parts if part.geom_type == "Polygon"])
    return shapely.transform(shapely.set_precision(areas, 10.0**-_DECIMALS), _on_grid)


def _on_grid(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(points, _DECIMALS) + 0.0  # + 0.0: no "-0.0" in the file


def _float32(block: list[Feature]) -> Iterator[np.float32]:
    """Measurements of all features in a row."""
    values = np.array([value for feature in block for value in feature.measurements.values()], np.float64)
    with np.errstate(over="ignore"):
        return iter(values.astype(np.float32))


def clean_text(text: str) -> str:
    """`text` without the half characters that file names in another encoding carry; JSON has no room for them."""
    return text.encode("utf-8", "replace").decode("utf-8")
