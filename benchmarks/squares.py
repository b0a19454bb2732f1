"""Evenly spaced squares of an image as labelled tiles, and the labels that nucleus centres give."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgdm_plugin.training.labelled import LabelledTile, Labels

MPP = 0.5
SIZE_PX = 256
Labeller = Callable[[float, float, float], Labels]
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def cut(
    image: Path, mpp: float, across: int, down: int, source: str, patient: str, slide: str, fixed: Labels,
    label: Labeller = lambda x_px, y_px, side_px: {}, within: Box | None = None,
) -> Iterator[LabelledTile]:  # fmt: skip
    """Evenly spaced tiles that just fill the image, or the part of it that `within` names."""
    (width, height), digest = _look(image, within)
    left, top, right, bottom = within or (0.0, 0.0, width, height)
    side_px = SIZE_PX * MPP / mpp
    for y_px in np.linspace(top, bottom - side_px, down).tolist():
        for x_px in np.linspace(left, right - side_px, across).tolist():
            labels = {**fixed, **label(x_px, y_px, side_px), "pixels": f"#{digest}"}
            yield LabelledTile(image, mpp, x_px, y_px, side_px, source, patient, slide, labels)


def _look(path: Path, within: Box | None) -> tuple[tuple[int, int], str]:
    """Size of an image and digest of its decoded pixels: two files with the same pixels give themselves away."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = image.convert("RGB") if within is None else image.convert("RGB").crop([round(v) for v in within])
        return image.size, hashlib.sha256(pixels.tobytes()).hexdigest()[:16]


def centre_labels(centres: NDArray[np.float64], shape: tuple[int, int], mpp: float) -> Labeller:
    """Labeller of count and density (per square millimetre of image) from nucleus centres (n, 2)."""

    def label(x_px: float, y_px: float, side_px: float) -> Labels:
        count = int(inside(centres, x_px, y_px, side_px).sum())
        sides = [min(v + side_px, end) - max(v, 0.0) for v, end in ((y_px, shape[0]), (x_px, shape[1]))]
        return {"count": float(count), "density": count / (sides[0] * sides[1] * (mpp / 1000) ** 2)}

    return label


def inside(centres: NDArray[np.float64], x_px: float, y_px: float, side_px: float) -> NDArray[np.bool_]:
    """Which centres (n, 2) lie in the square."""
    x, y = centres.T
    return (x >= x_px) & (x < x_px + side_px) & (y >= y_px) & (y < y_px + side_px)
