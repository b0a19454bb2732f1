"""Labelled images of nuclei: a CSV that anyone can write, one line per image, brought to one pixel size.

Columns: ``image, labels, mpp, source, patient, group, truth``. `labels` is a label image (NPZ with the array ``label``,
PNG or TIFF); an empty `mpp` is unknown; an empty `patient` is nobody's, and the image is only trained on; `truth` is 1
where the labels are good enough to judge by.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from .labelled import data_root, rows_of

COLUMNS = ("image", "labels", "mpp", "source", "patient", "group", "truth")


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """An RGB image (H, W, 3) uint8 and its nuclei (H, W) int32, at the pixel size asked for."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int32]
    name: str
    source: str
    patient: str
    group: str
    truth: bool


def read_images(path: Path, mpp: float, nucleus_um: float, least_px: int) -> list[LabelledImage]:
    """Read the images of a table at `mpp` microns per pixel.

    Parameters
    ----------
    nucleus_um : float
        Median diameter that the nuclei of an image of unknown pixel size are given; it is only ever reduced.
    least_px : int
        No image is made smaller than this.

    Raises
    ------
    InputError
        A column or a file is missing, a number does not read, or image and labels differ in size.
    """
    rows = rows_of(path)
    missing = [name for name in COLUMNS if not rows or rows[0].get(name) is None]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}", f"give the columns {', '.join(COLUMNS)}")
    return [_image(row, path, mpp, nucleus_um, least_px) for row in rows]


def _image(row: dict[str, str], path: Path, mpp: float, nucleus_um: float, least_px: int) -> LabelledImage:
    rgb, labels = _pixels(_there(path, row["image"])), _labels(_there(path, row["labels"]))
    if rgb.shape[:2] != labels.shape:
        raise InputError(
            f"{path}: {row['labels']} is not of the size of {row['image']}", "give the labels of the image"
        )
    try:
        own = float(row["mpp"]) if row["mpp"] else 0.0
    except ValueError as error:
        raise InputError(f"{path}: {row['image']}: {error}", "give mpp as a number, or leave it empty") from error
    factor = own / mpp if own else min(1.0, nucleus_um / mpp / _diameter_px(labels))
    rgb, labels = scaled(rgb, labels, factor, least_px)
    return LabelledImage(
        rgb, labels, Path(row["image"]).stem, row["source"], row["patient"], row["group"], row["truth"] == "1"
    )


def scaled(
    rgb: NDArray[np.uint8], labels: NDArray[np.int32], factor: float, least_px: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Both in another size: the image filtered, the labels by their nearest pixel; no side below `least_px`."""
    from PIL import Image

    height, width = (max(least_px, round(side * factor)) for side in labels.shape)
    if (height, width) == labels.shape:
        return rgb, labels
    kernel = Image.Resampling.HAMMING if height < labels.shape[0] else Image.Resampling.BILINEAR
    image = Image.fromarray(rgb).resize((width, height), kernel)
    return np.asarray(image), np.asarray(Image.fromarray(labels).resize((width, height), Image.Resampling.NEAREST))


def _diameter_px(labels: NDArray[np.int32]) -> float:
    """Median diameter of the nuclei as circles; 1 without any."""
    areas = np.bincount(labels.reshape(-1))[1:]
    return float(np.median(np.sqrt(4 * areas[areas > 0] / np.pi))) if areas.any() else 1.0


def _there(path: Path, name: str) -> Path:
    """A file of the table: beside it, or in the shared data."""
    beside = path.parent / name
    return beside if beside.exists() else data_root() / name


def _pixels(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an image ({error})", "correct the table's column image") from error


def _labels(path: Path) -> NDArray[np.int32]:
    from PIL import Image

    try:
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return _flat(path, arrays["label"])
        with Image.open(path) as image:
            return _flat(path, np.array(image))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as labels ({error})", "give NPZ (label), PNG or TIFF") from error


def _flat(path: Path, labels: NDArray[np.integer]) -> NDArray[np.int32]:
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{labels.ndim} dimensions of {labels.dtype}, not 2 of integers")
    return labels.astype(np.int32)
