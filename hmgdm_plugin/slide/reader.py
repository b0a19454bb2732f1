"""Any box of a slide at any scale, exact to a fraction of a pixel.

Level-0 pixel i covers [i, i + 1). A box is divided into output pixels of equal size; `sampling` says how each is made
of the level's. Pixels of the output whose centre lies outside the slide are white.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.run import safe_name
from ..schema.space import Frame
from . import pixelsize
from .sampling import Axis, resample, usable_levels
from .sources import Source, open_source, read_errors

ENLARGED = 1.02  # a level this much too coarse is taken: nobody sees it, and the next costs four times as much
EDGE_BYTES = 1 << 16
_LONGEST_NAME = 255  # bytes, of one name in the file systems in use


def open_slide(path: Path, mpp: float | None = None) -> Slide:
    """Open a slide or an image.

    Parameters
    ----------
    path : Path
        Aperio, OME-TIFF, any tiled RGB TIFF, what openslide reads (DICOM, MRXS, NDPI, SCN, ...), PNG, JPEG, TIFF.
    mpp : float, optional
        Microns per level-0 pixel; wins over what the file says.

    Raises
    ------
    InputError
        The file is missing, a folder, damaged or not a brightfield image; nobody knows its microns per pixel.
    """
    path = Path(path)
    if not os.path.isfile(path):
        long = len(os.fsencode(path.name)) > _LONGEST_NAME
        problem = "is a folder" if os.path.isdir(path) else "file name too long" if long else "no such file"
        raise InputError(f"{path}: {problem}", "give the path of a slide file")
    with _reading(path):
        source = open_source(path)
    try:
        return Slide(path, source, mpp)
    except InputError:
        source.close()
        raise


def declares_mpp(path: Path) -> bool:
    """Whether a slide says its microns per pixel.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    """
    with _reading(path):
        source = open_source(path)
        source.close()
    return source.mpp is not None


def fingerprint_of(path: Path) -> str:
    """SHA-256 of the size, the first and the last 64 KiB: cheap, and enough to notice another file."""
    with _reading(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256(str(size).encode())
        for start in (0, max(0, size - EDGE_BYTES)):
            file.seek(start)
            digest.update(file.read(EDGE_BYTES))
    return digest.hexdigest()


class Slide:
    """An open slide; a context manager, safe to read from several threads and after a fork.

    Attributes
    ----------
    path : Path
    name : str
        Safe as a file name.
    frame : Frame
    reader : str
        ``tiffslide``, ``openslide`` or ``image``.
    notes : list of str
        What the user should know: pixel size overridden, pixels not square, a grey image.
    level_downsamples : tuple of float
        Level-0 pixels per pixel of each level that is read from.
    """

    def __init__(self, path: Path, source: Source, mpp: float | None) -> None:
        width_px, height_px = source.sizes[0]
        value, notes = pixelsize.settle(path, source.mpp, mpp)
        self.path, self.name, self.reader = path, safe_name(path.stem), source.name
        self.frame = Frame(width_px, height_px, value, _clipped(source.bounds, width_px, height_px))
        self.notes = [*source.notes, *notes]
        self._levels = usable_levels(source.sizes)
        self.level_downsamples = tuple(downsample for _, downsample in self._levels)
        self._sizes = source.sizes
        self._asked = mpp
        self._first = source
        self._sources = {_who(): source}
        self._closed = False

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, tuple[Path, float | None]]:
        return open_slide, (self.path, self._asked)

    def close(self) -> None:
        """Give back the file handles of this process."""
        self._closed = True
        for (process, _), source in list(self._sources.items()):
            if process == os.getpid():
                source.close()
        self._sources.clear()

    def remarks(self, mpp: float) -> list[str]:
        """Its notes, and what follows for a model that works at `mpp` microns per pixel."""
        return [*self.notes, *pixelsize.coarse(self.path, self.frame.mpp, mpp)]

    def read(self, x_px: float, y_px: float, side_px: float, size_px: int) -> NDArray[np.uint8]:
        """Read a square; the same as `read_box` with equal sides."""
        return self.read_box(x_px, y_px, side_px, side_px, size_px, size_px)

    def read_box(
        self, x_px: float, y_px: float, width_px: float, height_px: float, out_width: int, out_height: int
    ) -> NDArray[np.uint8]:
        """Read a box of the slide at any scale.

        Parameters
        ----------
        x_px, y_px, width_px, height_px : float
            The box in level-0 pixels; fractions count, and it may lie outside the slide.
        out_width, out_height : int
            Size of the result.

        Returns
        -------
        (out_height, out_width, 3) uint8
            RGB; white outside the slide.

        Raises
        ------
        InputError
            The pixels cannot be decoded.
        """
        if self._closed:
            raise ValueError("the slide is closed")
        out = np.full((out_height, out_width, 3), 255, np.uint8)
        x_scale, y_scale = width_px / out_width, height_px / out_height
        level, downsample = self._level_for(min(x_scale, y_scale))
        x_axis, y_axis = Axis(x_px, x_scale, downsample), Axis(y_px, y_scale, downsample)
        with _reading(self.path):
            for rows in y_axis.blocks(out_height, self.frame.height_px):
                for columns in x_axis.blocks(out_width, self.frame.width_px):
                    out[rows[0] : rows[1], columns[0] : columns[1]] = self._block(level, x_axis, y_axis, columns, rows)
        return out

    def thumbnail(self, max_side: int = 1024) -> tuple[NDArray[np.uint8], float]:
        """Read the whole slide, no side longer than `max_side`.

        Returns
        -------
        (height, width, 3) uint8, float
            RGB, and level-0 pixels per pixel of it.
        """
        scale = max(1.0, max(self.frame.width_px, self.frame.height_px) / max_side)
        width, height = (max(1, round(side / scale)) for side in (self.frame.width_px, self.frame.height_px))
        return self.read_box(0.0, 0.0, width * scale, height * scale, width, height), scale

    def fingerprint(self) -> str:
        """See `fingerprint_of`."""
        return fingerprint_of(self.path)

    def _level_for(self, scale: float) -> tuple[int, float]:
        """The coarsest level that still has the detail; its downsample."""
        fitting = [level for level in self._levels if level[1] <= scale * ENLARGED]
        return max(fitting or self._levels[:1], key=lambda level: level[1])

    def _source(self) -> Source:
        """This thread's own handle; a handle made before a fork is not used after it."""
        who = _who()
        source = self._sources.get(who)
        if source is None:
            source = self._sources[who] = self._first.again()
        return source

    def _block(
        self, level: int, x_axis: Axis, y_axis: Axis, columns: tuple[int, int], rows: tuple[int, int]
    ) -> NDArray[np.uint8]:
        """Output pixels `columns` x `rows`, all with their centre on the slide."""
        width, height = self._sizes[level]
        x0, x1, left, right = x_axis.needed(*columns, width)
        y0, y1, top, bottom = y_axis.needed(*rows, height)
        pixels = self._source().read(level, x0, y0, x1 - x0, y1 - y0)
        return resample(pixels, (left, right), (top, bottom), (columns[1] - columns[0], rows[1] - rows[0]))


def _who() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _clipped(bounds: tuple[int, int, int, int] | None, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """The declared crop, or the whole slide where none that fits is declared."""
    x, y, width, height = bounds or (0, 0, width_px, height_px)
    x, y = min(max(x, 0), width_px), min(max(y, 0), height_px)
    width, height = min(width, width_px - x), min(height, height_px - y)
    return (x, y, width, height) if width > 0 and height > 0 else (0, 0, width_px, height_px)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what the readers raise at a bad file into one sentence with its fix."""
    try:
        yield
    except InputError:
        raise
    except read_errors() as error:
        reason = " ".join(str(error).replace(str(path), path.name).split())[:160]
        reason = type(error).__name__ if not reason or reason.isdigit() else reason
        raise InputError(
            f"{path.name}: cannot be read ({reason})", "copy it again, or convert it to OME-TIFF"
        ) from error
