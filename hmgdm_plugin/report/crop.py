"""Small pictures of single entities for the pages, by Pillow: a sheet of matplotlib each would take far longer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from .canvas import DPI
from .pixels import encoded
from .sheet import POINT, nice_length

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

FINER = 3  # drawn so many times larger, then reduced: smooth lines
LETTERS, BAR, GAP = 8.5, 1.7, 2.5  # of the scale bar in points: as large on a whole slide as on one entity
SEAM, LINE = 4.2, 1.8  # widths in pixels of the picture: light below, dark above, to be seen on any stain
Image = NDArray[np.uint8]


def crop_png(
    image: Image, outline: shapely.Geometry | None = None, mpp: float | None = None, side_in: float = 1.5
) -> bytes:
    """A small picture of one entity as PNG.

    Parameters
    ----------
    image : array (h, w, 3) uint8
        The entity with its surroundings.
    outline : shapely geometry, optional
        In pixels of `image`; drawn as a thin line.
    mpp : float, optional
        Microns per pixel of `image`; draws a scale bar.
    side_in : float
        Longer side of the picture in inches.
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw

    height, width = image.shape[:2]
    zoom = side_in * DPI / max(height, width)
    size = max(1, round(width * zoom)), max(1, round(height * zoom))
    picture = Pillow.fromarray(image).resize(size, Pillow.Resampling.LANCZOS)
    if outline is not None or mpp is not None:
        large = picture.resize((size[0] * FINER, size[1] * FINER), Pillow.Resampling.NEAREST)
        draw = ImageDraw.Draw(large)
        if outline is not None:
            _trace(draw, outline, zoom * FINER)
        if mpp is not None:
            _scale_bar(draw, large.size, mpp / (zoom * FINER))
        picture = large.resize(size, Pillow.Resampling.BOX)
    return encoded(np.asarray(picture))


def _trace(draw: ImageDraw, shape: shapely.Geometry, zoom: float) -> None:
    lines = shapely.get_parts(shapely.boundary(shapely.get_parts(shape)))
    lines = [part for line in lines for part in shapely.get_parts(line)]
    for colour, width in (("white", SEAM), ("#111111", LINE)):
        for line in lines:
            points = [(x * zoom, y * zoom) for x, y in shapely.get_coordinates(line)]
            draw.line([*points, points[1]], fill=colour, width=round(width * FINER), joint="curve")


def _scale_bar(draw: ImageDraw, size: tuple[int, int], mpp: float) -> None:
    """A bar of a round length, about a fifth of the width, on a light ground at the lower left."""
    um, text = nice_length(size[0] * mpp / 4)
    letters, thick, gap = (points * POINT * FINER for points in (LETTERS, BAR, GAP))
    font, length = _font(round(letters)), um / mpp
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    wide, high = max(length, right - left), (bottom - top) + thick + gap
    x, y = 2 * gap, size[1] - 2 * gap - high
    draw.rounded_rectangle((x - gap, y - gap, x + wide + gap, y + high + gap), gap, fill="#f4f4f4")
    draw.text((x + (wide - right + left) / 2 - left, y - top), text, font=font, fill="black")
    start = x + (wide - length) / 2
    draw.rectangle((start, y + high - thick, start + length, y + high), fill="black")


@cache
def _font(size: int) -> Any:
    """DejaVu Sans, which matplotlib brings with it."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)
