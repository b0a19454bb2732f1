"""What raised and what lowered the log-risk of a slide, tile by tile: table, picture, float TIFF."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..report.heatmap import heatmap_tiff
from ..report.pictures import heat_overlay
from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.space import Tile
from ..slide.reader import open_slide
from ..survival.fit import Patient, predict
from ..survival.network import RiskNetwork
from ..survival.slides import SlideFeatures

BLANK_PX = 900  # longer side of the sheet where there is no slide to draw on
Floats = NDArray[np.float64]


def contributions(network: RiskNetwork, patient: Patient, cut: float) -> dict[str, Floats]:
    """What each tile adds to the log-risk above `cut`, by slide; over all slides of the patient they sum to it."""
    found = predict(network, [patient])[0]
    values = (found.contribution - found.gate * cut).double().numpy()
    parts = np.split(values, np.cumsum(list(patient.tiles.values()))[:-1])
    return dict(zip(patient.tiles, parts, strict=True))


def write_contributions(path: Path, slide: SlideFeatures, values: Floats) -> None:
    """Write corners, side (level-0 pixels) and value of each tile as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("x_px", "y_px", "side_px", "log_risk"))
        table.writerows((x, y, slide.side_px, f"{v:.6g}") for (x, y), v in zip(slide.corner_px, values, strict=True))


def draw_map(
    picture: Path, numbers: Path, slide: SlideFeatures, values: Floats, title: str, slides: Path | None, events: Events
) -> bool:
    """Draw the contributions on the slide, or on a blank sheet; False where no scale is known."""
    found = _slide_file(slides, slide.name)
    mpp = slide.mpp
    if found is not None:
        try:
            with open_slide(found, mpp) as opened:
                thumbnail, downsample = opened.thumbnail(BLANK_PX)
                mpp = opened.frame.mpp
        except InputError as error:
            events.note(f"{error}; its map is drawn without tissue")
            found = None
    if mpp is None:
        return False
    if found is None:
        thumbnail, downsample = _blank(slide)
    tiles = tiles_of(slide, mpp)
    top = float(np.quantile(np.abs(values), 0.98)) or 1e-9
    shades = ("coolwarm", 0.65, (-top, top))  # red raises the risk, blue lowers it
    heat_overlay(picture, thumbnail, downsample, tiles, values, title, "log-risk per tile", mpp, *shades)
    heatmap_tiff(numbers, tiles, {"contribution to log-risk": values})
    return True


def tiles_of(slide: SlideFeatures, mpp: float) -> list[Tile]:
    """Tiles with their place in the grid."""
    corner = slide.corner_px
    step = _step(corner, slide.side_px)
    place = np.rint((corner - corner.min(0)) / step).astype(int)  # (T, 2) column, row
    size_px = max(round(slide.side_px), 1)
    scale = mpp * slide.side_px / size_px
    return [
        Tile(float(x), float(y), slide.side_px, size_px, scale, int(row), int(col))
        for (x, y), (col, row) in zip(corner, place, strict=True)
    ]


def _step(corner: Floats, side_px: float) -> float:
    """Distance of neighbouring columns or rows; the side where the tiles stand in none."""
    gaps = np.concatenate([np.diff(np.unique(corner[:, axis])) for axis in (0, 1)])
    gaps = gaps[gaps > 0.1 * side_px]
    return float(gaps.min()) if gaps.size else side_px


def _blank(slide: SlideFeatures) -> tuple[NDArray[np.uint8], float]:
    width, height = slide.corner_px.max(0) + slide.side_px
    downsample = max(width, height) / BLANK_PX
    return np.full(
        (max(round(height / downsample), 1), max(round(width / downsample), 1), 3), 245, np.uint8
    ), downsample


def _slide_file(folder: Path | None, name: str) -> Path | None:
    """The slide of that name, with any suffix."""
    found: Sequence[Path] = [] if folder is None else sorted(p for p in folder.iterdir() if p.stem == name)
    return found[0] if found else None
