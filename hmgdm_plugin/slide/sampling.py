"""Where output pixels fall on a level of a slide, and their values.

Near ratio 1 and when enlarging, values are bilinear, and a plain copy at ratio 1; from ratio 1.25 on each output
pixel is a Hamming-windowed mean of what it covers, which keeps the texture that a triangle blurs away: on the
nucleus yardstick that was worth up to .05 R2 (PIL's `resize` with a fractional box).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REDUCING = 1.25  # level pixels per output pixel from which on the sharper filter is used
BLOCK_PX = 4096  # longest side of what is read at once, so that memory does not follow the size of the box


@dataclass(frozen=True, slots=True)
class Axis:
    """Output pixels along x or y.

    Parameters
    ----------
    start_px : float
        Where the first begins, in level-0 pixels.
    scale : float
        Level-0 pixels per output pixel.
    downsample : float
        Level-0 pixels per pixel of the level.
    """

    start_px: float
    scale: float
    downsample: float

    def blocks(self, count: int, limit_px: int) -> Iterator[tuple[int, int]]:
        """Ranges of those of `count` output pixels whose centre lies within 0 to `limit_px`."""
        first = max(0, math.ceil(-self.start_px / self.scale - 0.5))
        last = min(count, math.ceil((limit_px - self.start_px) / self.scale - 0.5))
        step = max(1, int(BLOCK_PX * self.downsample / self.scale))
        for begin in range(first, last, step):
            yield begin, min(begin + step, last)

    def needed(self, first: int, last: int, limit: int) -> tuple[int, int, float, float]:
        """What output pixels `first` to `last` need of a level that is `limit` long.

        Returns
        -------
        int, int, float, float
            First and last level pixel to read; begin and end of the output within them, which may stick out.
        """
        begin, end = ((self.start_px + at * self.scale) / self.downsample for at in (first, last))
        ratio = self.scale / self.downsample
        margin = 0.0 if ratio == 1.0 and begin.is_integer() else max(1.0, ratio)
        low = min(max(math.floor(begin - margin), 0), limit - 1)
        high = min(max(math.ceil(end + margin), low + 1), limit)
        return low, high, begin - low, end - low


def resample(
    pixels: NDArray[np.uint8], across: tuple[float, float], down: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Filter a box of an image.

    Parameters
    ----------
    pixels : (h, w, 3) uint8
        Continued beyond its edges by its last pixels.
    across, down : (begin, end) of float
        The box, in pixels.
    size : (width, height) of int
        Size of the result.

    Returns
    -------
    (height, width, 3) uint8
    """
    from PIL import Image

    pad_x, pad_y = _padding(*across, pixels.shape[1]), _padding(*down, pixels.shape[0])
    if any((*pad_x, *pad_y)):
        pixels = np.pad(pixels, (pad_y, pad_x, (0, 0)), mode="edge")
    box = (across[0] + pad_x[0], down[0] + pad_y[0], across[1] + pad_x[0], down[1] + pad_y[0])
    image = Image.fromarray(np.ascontiguousarray(pixels))
    reducing = min((across[1] - across[0]) / size[0], (down[1] - down[0]) / size[1]) >= REDUCING
    kernel = Image.Resampling.HAMMING if reducing else Image.Resampling.BILINEAR
    return np.asarray(image.resize(size, kernel, box=box, reducing_gap=2.0))


def _padding(begin: float, end: float, length: int) -> tuple[int, int]:
    """Pixels missing before and after."""
    return max(0, math.ceil(-begin)), max(0, math.ceil(end - length))


def usable_levels(sizes: Sequence[tuple[int, int]]) -> list[tuple[int, float]]:
    """Number and downsample of each level that shows the whole of level 0.

    A level is as large as an integer reduction allows (300 x 250 reduced by 4 is stored as 75 x 62): that integer is
    its downsample, not 250 / 62, which would shift the far edge. A level of another shape is left out.
    """
    width, height = sizes[0]
    found = []
    for number, (w, h) in enumerate(sizes):
        mean = (width / w + height / h) / 2
        whole = float(max(1, round(mean)))
        if _covers(width, w, whole) and _covers(height, h, whole):
            found.append((number, whole))
        elif _covers(width, w, mean) and _covers(height, h, mean):
            found.append((number, mean))
    return found


def _covers(length: int, stored: int, downsample: float) -> bool:
    """Whether `stored` pixels are `length` reduced by `downsample`, rounded either way."""
    return abs(length / downsample - stored) < 1.0
