"""Crops of single entities for the pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import shapely

from ..report import page
from ..report.crop import crop_png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..schema.space import Frame
    from ..slide.reader import Slide
    from .answers import TopEntity

CROP_PX = 96


def crop_of(slide: Slide, top: TopEntity) -> page.Entity:
    """One entity with its outline and surroundings, at the model's scale."""
    centre, scale = top.outline.centroid, top.tile.scale
    x, y = centre.x - CROP_PX / 2 * scale, centre.y - CROP_PX / 2 * scale
    image = slide.read(x, y, CROP_PX * scale, CROP_PX)
    outline = shapely.transform(top.outline, lambda points: (points - (x, y)) / scale)
    png = crop_png(image, outline, top.tile.mpp)
    at = slide.frame.to_qupath(np.array([centre.x, centre.y]))
    remark = "raised the answer" if top.contribution > 0 else "lowered the answer"
    return page.Entity(png, top.contribution, f"x {at[0]:.0f}, y {at[1]:.0f} px", remark)


def on_slide(
    image: NDArray[np.uint8], x_px: float, y_px: float, scale: float, frame: Frame
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """That part of `image`, read at a corner with `scale` level-0 pixels each, that lies on the slide; its corner."""
    left, top = (max(0, math.floor(-start / scale)) for start in (x_px, y_px))
    right, bottom = math.ceil((frame.width_px - x_px) / scale), math.ceil((frame.height_px - y_px) / scale)
    return image[top:bottom, left:right], (x_px + left * scale, y_px + top * scale)
