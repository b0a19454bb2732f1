"""Pixels on a sheet as they are: what matplotlib's own pictures resample, however well they fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from numpy.typing import NDArray


class Pixels(Artist):
    """A picture (h, w, 3) uint8 whose lower left pixel lies at `left`, `bottom` of the sheet; can be drawn once.

    It then lets go of its pixels: what stands on a figure is held by circles of references, which Python finds long
    after the next slides have drawn theirs.
    """

    def __init__(self, rgb: NDArray[np.uint8], left: int, bottom: int) -> None:
        super().__init__()
        self._rgb: NDArray[np.uint8] | None = rgb
        self._left, self._bottom = left, bottom

    def draw(self, renderer: Any) -> None:
        """Put the pixels on the canvas."""
        rgb, self._rgb = self._rgb, None
        assert rgb is not None, "drawn before"
        rgba = np.dstack([rgb[::-1], np.full(rgb.shape[:2], 255, np.uint8)])  # from the lower left
        renderer.draw_image(renderer.new_gc(), self._left, self._bottom, rgba)
