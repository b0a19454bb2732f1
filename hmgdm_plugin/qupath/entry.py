"""What an image of a project is, from what the project noted about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """An image of a project: what it is, and what is on it.

    Parameters
    ----------
    id, name : str
    path : Path or None
        The slide; None where it is no file.
    width_px, height_px : int
        As QuPath shows it.
    mpp : float or None
        Microns per pixel that QuPath measures with.
    annotations, detections, ours : int
        Objects on it; `ours` counts all that H-MGDM made.
    recipes : tuple of str
        Recipes of H-MGDM that have objects on it, as in their ids (`ids.tag_of`) in seven hexadecimal digits.
    """

    id: str
    name: str
    path: Path | None
    width_px: int
    height_px: int
    mpp: float | None
    annotations: int
    detections: int
    ours: int
    recipes: tuple[str, ...]


def facts_of(image: Any) -> tuple[Path | None, int, int, float | None]:
    """File, width, height and scale of an image, from what the project noted when it was last open."""
    try:
        metadata = json.loads((image.entry_path / "server.json").read_text("utf-8"))["metadata"]
        width, height = int(metadata["width"]), int(metadata["height"])
    except (OSError, ValueError, KeyError, TypeError):
        return slide_of(image), 0, 0, None
    sides = [metadata.get("pixelCalibration", {}).get(f"pixel{side}", {}) for side in ("Width", "Height")]
    known = [float(side["value"]) for side in sides if side.get("unit") == "µm"]
    return slide_of(image), width, height, sum(known) / 2 if len(known) == 2 else None


def slide_of(image: Any) -> Path | None:
    """The slide of an image; None where it is no file."""
    uris = [str(uri.getPath()) for uri in image.java_object.getURIs() if str(uri.getScheme()) == "file"]
    return Path(uris[0]) if len(uris) == 1 else None
