"""Contact sheets: the overlays of many slides side by side, for a look of two minutes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..schema.run import writing
from .pixels import encoded

if TYPE_CHECKING:
    from PIL import Image

COLUMNS, ROWS = 6, 4
CELL_PX, CAPTION_PX = (300, 300), 40
PER_SHEET = COLUMNS * ROWS
_FLAGGED, _PLAIN, _LETTERS = (163, 59, 0), (27, 31, 36), 46


@dataclass(frozen=True, slots=True)
class Cell:
    """One slide: its picture (None: there is none), its name, and what is to be seen to."""

    picture: Path | None
    name: str
    remark: str = ""


def write_sheet(path: Path, cells: Sequence[Cell]) -> bytes:
    """Draw at most `PER_SHEET` cells, row by row, as a PNG; returns its bytes.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from PIL import Image, ImageDraw

    rows = -(-len(cells) // COLUMNS)
    width, height = CELL_PX[0] * min(COLUMNS, len(cells)), (CELL_PX[1] + CAPTION_PX) * rows
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    for number, cell in enumerate(cells):
        left, top = CELL_PX[0] * (number % COLUMNS), (CELL_PX[1] + CAPTION_PX) * (number // COLUMNS)
        if cell.picture is not None:
            small = _small(cell.picture)
            sheet.paste(small, (left + (CELL_PX[0] - small.width) // 2, top + (CELL_PX[1] - small.height) // 2))
        draw.text((left + 6, top + CELL_PX[1]), _short(cell.name), _PLAIN)
        draw.text((left + 6, top + CELL_PX[1] + 16), _short(cell.remark), _FLAGGED)
    png = encoded(np.asarray(sheet))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(png)
        temporary.replace(path)
    return png


def _small(picture: Path) -> Image.Image:
    from PIL import Image

    try:
        with Image.open(picture) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, SyntaxError):  # what PIL says of damaged files
        return Image.new("RGB", (1, 1), "white")
    small.thumbnail((CELL_PX[0] - 8, CELL_PX[1] - 8))
    return small


def _short(text: str) -> str:
    plain = text.encode("latin-1", "replace").decode("latin-1")  # PIL's own font has no other letters
    return plain if len(plain) <= _LETTERS else plain[: _LETTERS - 3] + "..."
