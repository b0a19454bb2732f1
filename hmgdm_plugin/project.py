"""`hmgdm project`: QuPath projects without a window. Make one, list its images, read objects, put results onto them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .schema.errors import HmgdmError, InputError
from .schema.events import Events

SUFFIXES = {".svs", ".tif", ".tiff", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide", ".czi", ".dcm"}
SUFFIXES |= {".png", ".jpg", ".jpeg", ".qptiff", ".vsi"}


def create(folder: Path, slides: Sequence[Path], events: Events) -> Mapping[str, Any]:
    """Make a project of `slides`; a folder among them stands for the slides in it.

    Raises
    ------
    HmgdmError
        QuPath does not take some of the slides; the others are in the project.
    """
    from .qupath.project import create as made

    found = [slide for given in slides for slide in _slides(given)]
    project, refused = made(folder, found)
    if refused:
        first = next(iter(refused.items()))
        problem = f"{project}: made, without {len(refused)} of {len(found)} slides ({first[0]}: {first[1]})"
        raise HmgdmError(problem, "check those slides in QuPath")
    return {"project": project, "images": len(found)}


def _slides(given: Path) -> list[Path]:
    if not given.is_dir():
        return [given]
    found = sorted(
        path for path in given.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not found:
        raise InputError(f"{given}: no slide in it", "name slides, or a folder that holds them")
    return found


def entries(project: Path, events: Events) -> Mapping[str, Any]:
    """Every image with its size, scale and what is on it."""
    from .qupath.project import Project

    rows = {}
    with Project(project) as opened:
        for entry in opened.entries():
            scale = f"{entry.mpp:.4g} um/px" if entry.mpp else "no pixel size"
            ours = f"{entry.ours} of H-MGDM" if entry.ours else "none of H-MGDM"
            rows[entry.id] = (
                f"{entry.name}: {entry.width_px} x {entry.height_px}, {scale}, {entry.annotations} annotations, "
                f"{entry.detections} detections, {ours}"
            )
    return rows


def export(project: Path, image: str, out: Path, kind: str, events: Events) -> Mapping[str, Any]:
    """Objects of one image as GeoJSON."""
    from .qupath.project import Project

    with Project(project) as opened:
        return {"objects": opened.export(image, out, kind), "geojson": out}


def import_results(project: Path, image: str, results: Path, events: Events) -> Mapping[str, Any]:
    """Put a results folder onto one image; the same folder twice is there once."""
    from .qupath.project import Project

    with Project(project, writable=True) as opened:
        return opened.import_results(image, results)
