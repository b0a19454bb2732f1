"""The door to openslide and PIL, and to `tiffsource`: levels of RGB pixels, whatever the file.

tiffslide opens TIFFs. openslide reads what tiffslide cannot, and the formats with a geometry of their own (bounds,
overlapping tiles), so that they look as they do in QuPath, which asks openslide too. PIL reads ordinary images.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..schema.errors import InputError
from . import pixelsize
from .tiffsource import CONVERT, GREY, RGB, TiffSource

TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OURS = (None, "generic-tiff", "aperio")  # openslide's names of what is read without openslide
IMAGE_FORMATS = ("PNG", "JPEG", "JPEG2000", "BMP", "TIFF")  # PIL knows more; some of them run programs
DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


class Source(Protocol):
    """Levels of pixels of one open file; used by one thread at a time."""

    name: str
    sizes: list[tuple[int, int]]  # width, height of each level
    mpp: tuple[float, float] | None
    bounds: tuple[int, int, int, int] | None
    notes: list[str]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """(height, width, 3) of a box that lies inside the level, in the level's own pixels."""

    def again(self) -> Source:
        """The same file for another thread or process."""

    def close(self) -> None:
        """Give the file back."""


def read_errors() -> tuple[type[Exception], ...]:
    """What the readers raise at a damaged file; PIL and tiffslide let the errors of their parsers through."""
    import openslide
    from PIL import Image

    parsing = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError, AssertionError)
    decoding = (OSError, EOFError, RuntimeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError)
    return (*parsing, *decoding, openslide.OpenSlideError)


def open_source(path: Path) -> Source:
    """Open `path` with the reader that suits it; raises `InputError` or one of `read_errors`."""
    import openslide

    if openslide.OpenSlide.detect_format(path) not in OURS:
        return OpenSlideSource(path)
    with path.open("rb") as file:
        is_tiff = file.read(4) in TIFF_HEADS
    if not is_tiff:
        return ImageSource(path)
    import tifffile

    with tifffile.TiffFile(path) as tif:
        if not tif.pages.first.is_tiled:
            return ImageSource(path, pixelsize.of_tiff(tif, {}))
    return TiffSource(path)


class OpenSlideSource:
    """A slide through openslide; transparent pixels are glass."""

    name = "openslide"

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        self._slide = openslide.OpenSlide(path)
        self.sizes = list(self._slide.level_dimensions)
        self.notes: list[str] = []
        properties = self._slide.properties
        found = [properties.get(f"openslide.mpp-{axis}") for axis in "xy"]
        self.mpp: tuple[float, float] | None = (float(found[0]), float(found[1])) if found[0] and found[1] else None
        self.bounds = _bounds(properties)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """See `Source`."""
        from PIL import Image

        scale = self._slide.level_downsamples[level]
        pixels = self._slide.read_region((round(x * scale), round(y * scale)), level, (width, height))
        glass = Image.new("RGB", pixels.size, (255, 255, 255))
        glass.paste(pixels, mask=pixels)
        return np.asarray(glass)

    def again(self) -> Source:
        """See `Source`."""
        return OpenSlideSource(self._path)

    def close(self) -> None:
        """See `Source`."""
        self._slide.close()


def _bounds(properties: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """openslide's bounds, as QuPath crops to them."""
    keys = [f"openslide.bounds-{side}" for side in ("x", "y", "width", "height")]
    if not all(key in properties for key in keys):
        return None
    x, y, width, height = (int(properties[key]) for key in keys)
    return x, y, width, height


class ImageSource:
    """An ordinary image, held in memory as one level; EXIF rotation is left alone, as QuPath leaves it."""

    name = "image"
    bounds: tuple[int, int, int, int] | None = None

    def __init__(self, path: Path, mpp: tuple[float, float] | None = None) -> None:
        from PIL import Image

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd tags, and size: twice as large is an error
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                if _deep(image):
                    raise InputError(f"{path.name}: more than 8 bits per channel", CONVERT)
                grey = image.mode in ("1", "L", "LA")
                self._pixels = _over_white(image)
        self.sizes = [(self._pixels.shape[1], self._pixels.shape[0])]
        self.mpp: tuple[float, float] | None = mpp
        self.notes = [f"{path.name}: {GREY}"] if grey else []

    def read(self, level: int, x: int, y: int, width: int, height: int) -> RGB:
        """See `Source`."""
        return self._pixels[y : y + height, x : x + width]

    def again(self) -> Source:
        """See `Source`."""
        return self

    def close(self) -> None:
        """See `Source`."""


def _deep(image: Any) -> bool:
    """Whether an image that is open has more than 8 bits; of RGB Pillow would keep the upper 8, black for 12 in 16."""
    return image.mode in DEEP_MODES or any(";16" in str(piece) for piece in image.tile)


def _over_white(image: Any) -> RGB:
    """PIL image of any 8-bit mode as RGB (height, width, 3), its transparency over white."""
    from PIL import Image

    if "A" not in image.getbands() and "transparency" not in image.info:
        return np.asarray(image.convert("RGB"))
    layer = image.convert("RGBA")
    glass = Image.new("RGB", layer.size, (255, 255, 255))
    glass.paste(layer, mask=layer)
    return np.asarray(glass)
