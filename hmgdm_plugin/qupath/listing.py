"""Slides of a QuPath project, read from ``project.qpproj``: plain JSON, no QuPath needed, nothing written.

Paths in a project are those of the machine that made it. As QuPath does, a slide that is not there is looked for at
the same place relative to the project, which may have been moved together with its slides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ..schema.entry import SlideEntry
from ..schema.errors import InputError

LEICA = ".scn"  # its first image is the glass; the reader takes the tissue behind it
SHRUNK = "add the slide file itself to the project, or list it in a CSV"
_OPEN_AGAIN = "open the project in QuPath and save it"
_URI = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]+):(?://(?=/))?)?(.*)", re.DOTALL)
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_MICRONS = {"µm", "μm", "um", "micrometer", "micrometers"}


def slides_of_project(project: Path) -> Iterator[SlideEntry]:
    """Entries of a project; one that cannot be analysed has a `problem`.

    Raises
    ------
    InputError
        The file cannot be read or is not a project.
    """
    try:
        raw = json.loads(project.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{project}: cannot be read ({error.strerror})", "give a project.qpproj") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{project}: not a QuPath project ({error})", _OPEN_AGAIN) from error
    images = raw.get("images") if isinstance(raw, dict) else None
    if not isinstance(images, list):
        raise InputError(f"{project}: not a QuPath project", _OPEN_AGAIN)
    before = _path_of(raw.get("uri"))
    for image in images:
        if isinstance(image, dict):
            yield _entry(image, project, before)
        else:
            yield SlideEntry("unnamed", Path(), problem="is no image as QuPath lists them", fix=_OPEN_AGAIN)


def _entry(image: dict[str, Any], project: Path, before: Path | None) -> SlideEntry:
    name, number = str(image.get("imageName") or "unnamed"), str(image.get("entryID", ""))
    server = image.get("serverBuilder")
    builder = server if isinstance(server, dict) else {}
    path = _path_of(builder.get("uri"))
    if builder.get("builderType", "uri") != "uri":
        problem = f"is a {builder.get('builderType')} version of a slide"
        return SlideEntry(name, Path(), None, number, problem, SHRUNK)
    if path is None:
        return SlideEntry(name, Path(), None, number, "is not a file on a disk", SHRUNK)
    metadata = _metadata(builder, project, number)
    shown_px = _shown_px(metadata)
    if _series(builder.get("args")) > 0 and not (path.suffix.lower() == LEICA and shown_px):
        return SlideEntry(name, path, None, number, "is not the first image of its file", SHRUNK)
    return SlideEntry(name, _found(path, project, before), _mpp(metadata), number, shown_px=shown_px)


def _series(args: Any) -> int:
    """Number of the image inside a file of several."""
    words = [str(word) for word in args] if isinstance(args, list) else []
    at = words.index("--series") + 1 if "--series" in words else len(words)
    return int(words[at]) if at < len(words) and words[at].isdigit() else 0


def _path_of(uri: Any) -> Path | None:
    """Path of a ``file:`` URI or a bare path; None for others."""
    parts = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if parts is None:
        return None
    scheme, path = parts[1] or "", parts[2]
    text = _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), path.encode("utf-8", "replace"))
    plain = text.decode("utf-8", "surrogateescape")
    if scheme not in ("", "file") or not plain or "\0" in plain:
        return None
    return Path(plain[1:] if os.name == "nt" and re.match(r"/[A-Za-z]:", plain) else plain)


def _found(path: Path, project: Path, before: Path | None) -> Path:
    """`path`, or the same place relative to a project that has been moved."""
    if path.is_absolute() and (before is None or os.path.exists(path)):
        return path
    relative = os.path.relpath(path, before.parent) if before is not None and path.is_absolute() else str(path)
    moved = project.parent / PurePosixPath(relative)
    return moved if os.path.exists(moved) else path


def _metadata(builder: dict[str, Any], project: Path, number: str) -> dict[str, Any]:
    """What the project noted about an image."""
    metadata = builder.get("metadata") or _server(project, number).get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _shown_px(metadata: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height as QuPath shows the image; None where they were not noted."""
    width, height = metadata.get("width"), metadata.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _mpp(metadata: dict[str, Any]) -> float | None:
    """Microns per pixel that the project gives, as QuPath measures with it; None where it gives none, or two."""
    calibration = metadata.get("pixelCalibration")
    sides = [calibration.get(f"pixel{side}") for side in ("Width", "Height")] if isinstance(calibration, dict) else []
    values = [
        float(side["value"])
        for side in sides
        if isinstance(side, dict) and side.get("unit") in _MICRONS and isinstance(side.get("value"), int | float)
    ]
    if len(values) != 2 or not all(0.05 <= value <= 20 for value in values):
        return None
    return sum(values) / 2 if abs(values[0] - values[1]) <= 0.01 * values[0] else None


def _server(project: Path, number: str) -> dict[str, Any]:
    """``data/<number>/server.json`` of an entry: what QuPath last knew of its image."""
    if not number.isdigit():
        return {}
    try:
        found = json.loads((project.parent / "data" / number / "server.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
