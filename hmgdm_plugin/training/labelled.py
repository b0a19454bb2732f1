"""Labelled tiles: squares of images with what is known about them, as a CSV that anyone can write.

Columns: ``image, mpp, x_px, y_px, side_px, source, patient, slide``, then one per label; an empty cell is no label.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..schema.errors import InputError
from ..schema.tables import read_rows

COLUMNS = ("image", "mpp", "x_px", "y_px", "side_px", "source", "patient", "slide")
Labels = dict[str, float | str]


@dataclass(frozen=True)
class LabelledTile:
    """A square of an image (level-0 pixels) and what is known about it; `labels["pixels"]` is the image's digest."""

    image: Path
    mpp: float
    x_px: float
    y_px: float
    side_px: float
    source: str
    patient: str
    slide: str
    labels: Labels


def data_root() -> Path:
    """Folder that relative images count from: HMGDM_DATA, else `../shared/data` beside the repository."""
    return Path(os.environ.get("HMGDM_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data")


def write_csv(tiles: Sequence[LabelledTile], path: Path) -> None:
    """Write tiles with one column per label; images below the shared data are written relative to it."""
    labels = sorted({name for tile in tiles for name in tile.labels})
    root = data_root().resolve()
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*COLUMNS, *labels], restval="")
        table.writeheader()
        for tile in tiles:
            image = tile.image.resolve()
            known = {name: getattr(tile, name) for name in COLUMNS[1:]}
            name = image.relative_to(root) if image.is_relative_to(root) else image
            table.writerow({"image": name.as_posix(), **known, **tile.labels})


def read_csv(path: Path) -> list[LabelledTile]:
    """Read what `write_csv` wrote; relative images lie beside the file or in the shared data.

    Raises
    ------
    InputError
        A column is missing or a number does not read.
    """
    rows = rows_of(path)
    if not rows:
        raise InputError(f"{path}: no tile in it", f"give one line per tile, with the columns {', '.join(COLUMNS)}")
    return [_tile_of(row, path) for row in rows]


def _tile_of(row: dict[str, str], path: Path) -> LabelledTile:
    missing = [name for name in COLUMNS if row.get(name) is None]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}", f"give the columns {', '.join(COLUMNS)}")
    beside = path.parent / row["image"]
    image = beside if beside.exists() else data_root() / row["image"]
    labels = {name: _value(text) for name, text in row.items() if name not in COLUMNS and text}
    try:
        mpp, x_px, y_px, side_px = (float(row[name]) for name in ("mpp", "x_px", "y_px", "side_px"))
    except ValueError as error:
        raise InputError(f"{path}: {row['image']}: {error}", "give mpp, x_px, y_px and side_px as numbers") from error
    if not (all(map(math.isfinite, (mpp, x_px, y_px, side_px))) and side_px > 0):
        raise InputError(f"{path}: {row['image']}: no square there", "give finite numbers, and side_px above 0")
    return LabelledTile(image, mpp, x_px, y_px, side_px, row["source"], row["patient"], row["slide"], labels)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file by column.

    Raises
    ------
    InputError
        The file cannot be read, or not as it was meant.
    """
    return read_rows(path, "give a CSV file; relative paths count from HMGDM_DATA")
