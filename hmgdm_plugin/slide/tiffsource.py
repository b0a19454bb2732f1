"""The door to tiffslide and tifffile: tiled TIFFs.

tiffslide opens the file and knows its levels; tifffile, on which it stands, decodes the tiles, without the hand-over
to zarr's thread that costs most when every core is busy, and the last tiles are kept, since neighbours share them.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from . import pixelsize

TILE_LIMIT_PX = 4096 * 4096
KEPT_BYTES = 1 << 24
CONVERT = "save it as an 8-bit RGB TIFF, OME-TIFF, PNG or JPEG"
CUT = "the end of the file is missing; the slide itself is whole, its label or overview is not: copy it again"
GREY = "grey image, the colours of the stain are missing"

RGB = NDArray[np.uint8]


class TiffSource:
    """A tiled TIFF, pyramidal or not; see `sources.Source`."""

    name = "tiffslide"
    bounds: tuple[int, int, int, int] | None = None

    def __init__(self, path: Path) -> None:
        import logging

        import tiffslide

        logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # a bad file is told once, in our own sentence
        self._path = path
        self._slide = tiffslide.TiffSlide(path)
        tif = self._slide.ts_tifffile
        series = tif.series[0]
        grey = _check_layout(path, series)
        self._levels = [TiffLevel(path, level) for level in series.levels]
        self.sizes = [level.size for level in self._levels]
        self.mpp: tuple[float, float] | None = pixelsize.of_tiff(tif, self._slide.properties if tif.is_svs else {})
        self.notes = [f"{path.name}: {GREY}"] if grey else []
        if _cut_short(tif):
            self.notes.append(f"{path.name}: {CUT}")

    def read(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """See `sources.Source`."""
        pixels = self._levels[level].read(x, y, width, height)
        return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)

    def again(self) -> TiffSource:
        """See `sources.Source`."""
        return TiffSource(self._path)

    def close(self) -> None:
        """See `sources.Source`."""
        self._slide.close()


class TiffLevel:
    """One level: tiles of one page, or of one page or plane per colour.

    Raises
    ------
    InputError
        Tiles lie beyond the end of the file, or are missing from the list.
    """

    def __init__(self, path: Path, level: Any) -> None:
        page = level.keyframe
        self.size = (int(page.imagewidth), int(page.imagelength))
        self._page = page
        self._file = page.parent.filehandle
        self._side = (int(page.tilewidth), int(page.tilelength))
        self._across, down = (-(-length // side) for length, side in zip(self.size, self._side, strict=True))
        count = self._across * down
        self._planes = [(each, first) for each in level.pages for first in range(0, len(each.dataoffsets), count)]
        self._check(path, level.pages, count)
        self._tile = lru_cache(max(4, KEPT_BYTES // (3 * self._side[0] * self._side[1])))(self._decode)

    def read(self, x: int, y: int, width: int, height: int) -> RGB:
        """Read a box that lies inside the level: (height, width, 1 or 3)."""
        tile_width, tile_height = self._side
        rows, columns = (
            range(y // tile_height, -(-(y + height) // tile_height)),
            range(x // tile_width, -(-(x + width) // tile_width)),
        )
        strips = [np.concatenate([self._tile(row * self._across + column) for column in columns], 1) for row in rows]
        left, top = x - columns[0] * tile_width, y - rows[0] * tile_height
        return np.concatenate(strips)[top : top + height, left : left + width]

    def _decode(self, number: int) -> RGB:
        """One tile, whole: (height, width, colours); a missing one is glass, not black."""
        width, height = self._side
        colours = []
        for page, first in self._planes:
            index = first + number
            self._file.seek(page.dataoffsets[index])
            data = self._file.read(page.databytecounts[index]) or None
            tile = self._page.decode(data, index, jpegtables=page.jpegtables, _fullsize=True)[0]
            colours.append(np.full((height, width, 3 // len(self._planes)), 255, np.uint8) if tile is None else tile[0])
        return colours[0] if len(colours) == 1 else np.concatenate(colours, 2)

    def _check(self, path: Path, pages: Any, count: int) -> None:
        end = path.stat().st_size
        for page in pages:
            ends = [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)]
            if not ends or len(ends) % count or max(ends) > end:
                raise InputError(f"{path.name}: the file is cut short or damaged", "copy it again from where it came")


def _check_layout(path: Path, series: Any) -> bool:
    """Whether a brightfield image is grey.

    Raises
    ------
    InputError
        More or fewer than three channels, stacks, palettes, more than 8 bits, tiles that no memory holds.
    """
    page, axes, shape = series.keyframe, series.axes, series.shape
    grey = axes == "YX" and page.photometric == 1  # black is 0
    colour = (axes == "YXS" and shape[2] == 3) or (axes in ("CYX", "SYX") and shape[0] == 3)
    if series.dtype != np.uint8 or not (grey or colour):
        raise InputError(f"{path.name}: {axes} {shape} of {series.dtype} is not an 8-bit RGB image", CONVERT)
    if page.tilewidth * page.tilelength > TILE_LIMIT_PX:
        raise InputError(f"{path.name}: tiles of {page.tilewidth} x {page.tilelength} pixels are too large", CONVERT)
    return grey


def _cut_short(tif: Any) -> bool:
    """Whether a directory, a value of one, or pixels beside the slide's lie beyond the end of the file."""
    form, file, size, following = tif.tiff, tif.filehandle, tif.filehandle.size, 0
    for page in tif.pages:
        file.seek(page.offset)
        (count,) = struct.unpack(form.tagnoformat, file.read(form.tagnosize))
        file.seek(page.offset + form.tagnosize + count * form.tagsize)
        rest = file.read(form.offsetsize)
        tags = getattr(page, "tags", None)  # pages like the first are read without
        if len(rest) < form.offsetsize or (tags is not None and len(tags) < count):
            return True
        (following,) = struct.unpack(form.offsetformat, rest)
        ends = [tag.valueoffset + tag.valuebytecount for tag in tags or ()]
        ends += [offset + size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False)]
        if max(ends, default=0) > size:
            return True
    return bool(following)
