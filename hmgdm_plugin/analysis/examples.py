"""Examples to classify: images, or annotated regions of slides, each with its class and its patient, cut into tiles.

CSV columns: ``path, label, patient, mpp`` for images that are one class as a whole; ``path, annotations, patient, mpp``
for slides whose classes are QuPath's annotations, exported as GeoJSON. ``slide`` is optional; an empty ``mpp`` is read
from the image. Files count from the CSV. A QuPath project stands for a CSV of its slides with their annotations.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..model.batch import LatentBatch
from ..qupath.regions import Region, read_classified
from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.space import Tile
from ..schema.studies import ClassifySettings
from ..slide.reader import Slide, open_slide
from ..slide.tiling import tiles
from ..slide.tissue import find_tissue
from ..training.heads import Tokens
from ..training.labelled import rows_of
from .encode import encode_tiles
from .nuclei import as_learnt

if TYPE_CHECKING:
    from ..zoo.load import LoadedModel

Row = dict[str, str]


@dataclass(frozen=True)
class Example:
    """One image or annotated region: its name, class, patient and slide."""

    name: str
    label: str
    patient: str
    slide: str


@dataclass(frozen=True)
class Gathered:
    """Examples and their tiles: example of each tile (T,), tokens, embeddings (T, d), pixel digests, graphs.

    `latents` is empty where nothing is to be fine-tuned.
    """

    examples: list[Example]
    owner: NDArray[np.int64]
    tokens: Tokens
    pooled: NDArray[np.float32]
    pixels: list[str]
    latents: list[LatentBatch]


def gather(path: Path, model: LoadedModel, settings: ClassifySettings, events: Events) -> Gathered:
    """Read the table or project at `path`, cut every example into tiles and run them through the encoder.

    Raises
    ------
    InputError
        A column, an image, its pixel size or an annotation is missing, or fewer than two classes are left.
    """
    with TemporaryDirectory() as exported:
        rows = _of_project(path, Path(exported), settings, events) if _is_project(path) else rows_of(path)
        _check(rows, path)
        gathered = _encoded(rows, path, model, settings, events)
    classes = {example.label for example in gathered.examples}
    if len(classes) < 2:
        raise InputError(f"{path}: {len(classes)} class in it", "give examples of two classes or more")
    return gathered


def _encoded(
    rows: Sequence[Row], path: Path, model: LoadedModel, settings: ClassifySettings, events: Events
) -> Gathered:
    """Every example of `rows` through the encoder, image by image."""
    examples: list[Example] = []
    owner, parts, pooled, pixels, latents = [], [], [], [], []
    keep = "finetune" in settings.methods
    for row in events.track("encode", rows, len(rows)):
        with open_slide(_beside(path, row["path"]), _mpp(row, path)) as slide:
            for example, asked in _cut(row, path, slide, model, settings):
                examples.append(example)
                nuclei = as_learnt(model.card, slide, asked, events)
                for tile in encode_tiles(slide, asked, model, events, nuclei=nuclei):
                    owner.append(len(examples) - 1)
                    parts.append((tile.tokens, tile.latent))
                    pooled.append(tile.pooled.numpy())
                    pixels.append(hashlib.sha256(tile.rgb.tobytes()).hexdigest()[:16])
                    latents += [tile.latent] if keep else []
    tokens = Tokens.of(parts, model.encoder.kinds)
    return Gathered(examples, np.array(owner, np.int64), tokens, np.stack(pooled), pixels, latents)


def _is_project(path: Path) -> bool:
    return path.suffix == ".qpproj" or (path / "project.qpproj").is_file()


def _of_project(path: Path, exported: Path, settings: ClassifySettings, events: Events) -> list[Row]:
    """A row for each image of a QuPath project that has annotations; their GeoJSON is written into `exported`."""
    from ..qupath.project import Project

    rows = []
    with Project(path) as project:
        for entry in project.entries():
            if not entry.annotations:
                continue
            if entry.path is None:
                events.note(f"{entry.name}: is no file on a disk; left out")
                continue
            found = re.match(settings.patient_pattern, entry.name)
            if found is None:
                fix = "correct patient_pattern, whose first group is the patient in an image's name"
                raise InputError(f"{path}: no patient in the name {entry.name!r}", fix)
            annotations = exported / f"{entry.id}.geojson"
            project.export(entry.id, annotations)
            mpp = "" if entry.mpp is None else repr(entry.mpp)
            rows.append({"path": str(entry.path), "annotations": str(annotations), "patient": found[1], "mpp": mpp})
    return rows


def _check(rows: Sequence[Row], path: Path) -> None:
    if not rows:
        raise InputError(f"{path}: no example in it", "give one line per image: path, label, patient, mpp")
    for column in ("path", "patient", "mpp"):
        if rows[0].get(column) is None:
            raise InputError(f"{path}: no column {column!r}", "give the columns path, label, patient, mpp")
    if rows[0].get("label") is None and rows[0].get("annotations") is None:
        raise InputError(
            f"{path}: no column 'label' or 'annotations'", "add a label, or the GeoJSON of the annotations"
        )
    for number, row in enumerate(rows, 2):
        if not row["patient"]:
            raise InputError(f"{path}: row {number}: no patient", "name the patient; folds are drawn by patient")
    whole = Counter((row["path"], row["patient"]) for row in rows if not row.get("annotations"))
    twice = [name for (name, _), often in whole.items() if often > 1]
    if twice:
        raise InputError(f"{path}: {twice[0]} stands there twice", "leave one of its lines")


def _cut(
    row: Row, path: Path, slide: Slide, model: LoadedModel, settings: ClassifySettings
) -> Iterator[tuple[Example, list[Tile]]]:
    """Examples of one row with their tiles; classes that were not asked for are passed over."""
    graph, tissue = model.card.graph, find_tissue(slide)
    for label, region, name in _labelled(row, path, slide):
        if settings.classes and label not in settings.classes:
            continue
        regions = None if region is None else [region]
        size = (slide.frame, graph.mpp, graph.tile_px, settings.overlap)
        found = list(tiles(*size, tissue, settings.min_tissue, regions))
        yield (
            Example(name, label, row["patient"], row.get("slide") or slide.name),
            found or list(tiles(*size, regions=regions)),  # an example without tissue is one too
        )


def _labelled(row: Row, path: Path, slide: Slide) -> Iterator[tuple[str, Region | None, str]]:
    """Class, region and name of each example of a row: the whole image, or its annotations."""
    if row.get("annotations"):
        areas = read_classified(_beside(path, row["annotations"]), slide.frame)
        for number, (region, label) in enumerate(areas, 1):
            yield label, region, f"{slide.name}#{number}"
    elif row.get("label"):
        yield row["label"], None, slide.name
    else:
        raise InputError(f"{path}: {row['path']}: no label", "give its class, or leave the line out")


def _mpp(row: Row, path: Path) -> float | None:
    try:
        return float(row["mpp"]) if row["mpp"] else None
    except ValueError as error:
        raise InputError(f"{path}: {row['path']}: mpp {row['mpp']!r}", "give microns per pixel as a number") from error


def _beside(table: Path, name: str) -> Path:
    return Path(name) if Path(name).is_absolute() else table.parent / name
