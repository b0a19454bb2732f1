"""Pixels of labelled tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..slide.reader import open_slide
from ..training.labelled import LabelledTile


def read_squares(tiles: Iterable[LabelledTile], size_px: int) -> Iterator[NDArray[np.uint8]]:
    """The image of each tile, (size_px, size_px, 3) uint8; neighbours of one image share one opened file."""
    for (image, mpp), group in groupby(tiles, lambda tile: (tile.image, tile.mpp)):
        with open_slide(image, mpp) as slide:
            for tile in group:
                yield slide.read(tile.x_px, tile.y_px, tile.side_px, size_px)
