"""Label images: whole numbers per pixel, one per nucleus, over the same field as the slide.

TIFFs are read in boxes, so a whole slide's labels never stand in memory; PNG and NPZ files are read whole.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.space import Frame, Tile
from .sources import TIFF_HEADS, read_errors

LABEL_FILES = (".tif", ".tiff", ".png", ".npz")
LARGEST_UM2 = 2_000.0  # more than any nucleus
MARGIN_UM = 25.0  # read around a tile, so that a nucleus across its border is seen whole
_SAVE = "save it as TIFF, PNG or NPZ with one whole number per pixel: 0 for none, 1, 2, … for the nuclei"
_SAME = 0.01  # difference between the scales of both sides, relative, that rounding may explain


class LabelImage:
    """Labels of one slide, read at any scale.

    Parameters
    ----------
    path : Path
        TIFF, PNG or NPZ (its array ``label``, or its only one).
    frame : Frame
        The slide; the labels cover all of it, or the crop that QuPath shows, at any scale.

    Attributes
    ----------
    large : deque of int
        How many labels of each tile so far were larger than any nucleus, and were ignored.
    torn : deque of int
        How many nuclei of each tile so far lay in several pieces, of which the largest was taken.
    negative : bool
        Whether any number so far was below 0, and was taken for none.

    Raises
    ------
    InputError
        The file cannot be read, is no label image, or does not cover the slide.
    """

    def __init__(self, path: Path, frame: Frame) -> None:
        self._path, self.large, self.torn, self.negative = path, deque[int](), deque[int](), False
        self._pixels = _opened(path)
        self._lock = threading.Lock()
        if self._pixels.ndim != 2 or self._pixels.dtype.kind not in "uib":
            what = f"{' x '.join(map(str, self._pixels.shape))} of {self._pixels.dtype}"
            raise InputError(f"{path}: not a label image ({what})", _SAVE)
        self._origin, self._scale = _placed(path, self._pixels.shape, frame)

    def digest(self) -> str:
        """SHA-256 of the file."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def of(self, tile: Tile) -> NDArray[np.int64]:
        """Labels (S, S) at the tile's scale, 0 for none: only nuclei whose centroid lies in the tile, half-open."""
        margin = int(np.ceil(MARGIN_UM / tile.mpp))
        around = self._nearest(tile, margin)
        self.negative |= bool((around < 0).any())
        pieces, numbers, largest, torn = _pieces(around)
        sizes = np.bincount(pieces.ravel())
        y, x = np.indices(around.shape)
        core = np.array([margin, margin + tile.size_px])
        keep = largest
        for axis in (x, y):
            centre = np.bincount(pieces.ravel(), (axis + 0.5).ravel()) / np.maximum(sizes, 1)
            keep = keep & (centre >= core[0]) & (centre < core[1])
        small = sizes * tile.mpp**2 <= LARGEST_UM2
        self.large.append(int((keep & ~small).sum()))
        self.torn.append(int((keep & small & torn).sum()))
        table = np.where(keep & small, numbers, 0)
        inner: NDArray[np.int64] = table[pieces][core[0] : core[1], core[0] : core[1]]
        return inner

    def _nearest(self, tile: Tile, margin: int) -> NDArray[np.int64]:
        """The label under the centre of every pixel of `tile` and of `margin` pixels around it."""
        steps = np.arange(-margin, tile.size_px + margin) + 0.5
        places = [
            np.floor((start + steps * tile.scale - origin) / scale).astype(np.int64)
            for start, origin, scale in zip((tile.y_px, tile.x_px), self._origin, self._scale, strict=True)
        ]
        inside = [(at >= 0) & (at < length) for at, length in zip(places, self._pixels.shape, strict=True)]
        out = np.zeros((len(steps), len(steps)), np.int64)
        if inside[0].any() and inside[1].any():
            rows, columns = (at[there] for at, there in zip(places, inside, strict=True))
            box = self._box(rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
            out[np.ix_(*inside)] = box[np.ix_(rows - rows[0], columns - columns[0])]
        return out

    def _box(self, top: int, bottom: int, left: int, right: int) -> NDArray[np.int64]:
        try:
            with self._lock:
                return np.asarray(self._pixels[top:bottom, left:right]).astype(np.int64)
        except read_errors() as error:
            raise InputError(f"{self._path}: cannot be read ({error})", "copy it again from where it came") from error


def _pieces(
    around: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Connected pieces of equal label.

    Returns
    -------
    pieces : (H, W)
        Piece of every pixel, 0 for none.
    numbers, largest, torn : (1 + pieces,)
        Label of each piece, whether it is the largest of its label, and whether it is not the only one.
    """
    from skimage import measure

    connected: Any = measure.label
    pieces: NDArray[np.int64] = connected(np.maximum(around, 0), connectivity=2).astype(np.int64)
    sizes = np.bincount(pieces.ravel())
    numbers = np.zeros(len(sizes), np.int64)
    numbers[pieces.ravel()] = around.ravel()
    numbers[0] = 0
    order = np.lexsort((np.arange(len(sizes)), -sizes, numbers))
    begins = np.append(True, np.diff(numbers[order]) != 0)
    largest = np.empty(len(sizes), np.bool_)
    largest[order] = begins & (numbers[order] > 0)
    _, which, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return pieces, numbers, largest, counts[which] > 1


def _opened(path: Path) -> Any:
    """The labels as something to slice: an array, or a TIFF that is read where it is sliced."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a label image")
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head in TIFF_HEADS:
            return _tiff(path)
        if head == b"PK\x03\x04":
            with np.load(path) as arrays:
                return arrays["label" if "label" in arrays or len(arrays.files) != 1 else arrays.files[0]]
        from PIL import Image

        with Image.open(path, formats=("PNG",)) as image:
            return np.asarray(image)
    except read_errors() as error:
        raise InputError(f"{path}: cannot be read as a label image ({type(error).__name__})", _SAVE) from error


def _tiff(path: Path) -> Any:
    import tifffile
    import zarr

    return zarr.open(tifffile.imread(path, aszarr=True, level=0), mode="r")


def _placed(path: Path, shape: tuple[int, int], frame: Frame) -> tuple[tuple[float, float], tuple[float, float]]:
    """Origin and scale (y, x) in level-0 pixels: of the slide's crop at its own size, or of the whole slide."""
    left, top, width, height = frame.bounds
    if tuple(shape) == (height, width):
        return (float(top), float(left)), (1.0, 1.0)
    scale = frame.height_px / shape[0], frame.width_px / shape[1]
    rounding = max(1.0 / side for side in shape)  # a reduced image has whole pixels
    if abs(scale[0] / scale[1] - 1.0) <= max(_SAME, rounding):
        return (0.0, 0.0), scale
    size = f"{shape[1]} x {shape[0]} pixels, the slide has {frame.width_px} x {frame.height_px}"
    raise InputError(f"{path}: does not cover the slide ({size})", "give the label image that was made of this slide")
