"""Views of labelled images for StarDist: each at another scale and stain, in pieces, and turned patch by patch.

Training draws pieces, not images, so that a large image is seen more often than a small one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..schema.nuclei import NucleiTrainingSettings
from .augment import restain
from .nuclei_table import LabelledImage, scaled

PIECE = 2  # sides of a patch
Views = tuple[list[NDArray[np.uint8]], list[NDArray[np.int32]]]
GAIN, OFFSET, NOISE = 0.15, 0.1, 0.02  # of a normalised patch, whose values are about 0 to 1
Patch = tuple[NDArray[np.float32], NDArray[np.int32]]


def views_of(images: Sequence[LabelledImage], settings: NucleiTrainingSettings) -> Views:
    """Pieces of every view of every image: RGB (h, w, 3) and labels (h, w), the unchanged ones among them."""
    rng = np.random.default_rng(settings.seed)
    views = {source.name: source.views or settings.views for source in settings.source}
    seen: Views = ([], [])
    for image in images:
        for number in range(views.get(image.source, settings.views)):
            rgb, labels = image.rgb, image.labels
            if number:
                factor = float(np.exp(rng.uniform(*np.log(settings.scale))))
                rgb, labels = scaled(rgb, labels, factor, settings.patch_px)
                rgb = restain(rgb, rng, settings.stain)
            for rows, columns in _pieces((labels.shape[0], labels.shape[1]), PIECE * settings.patch_px):
                seen[0].append(rgb[rows, columns])
                seen[1].append(labels[rows, columns])
    return seen


def _pieces(shape: tuple[int, int], side_px: int) -> list[tuple[slice, slice]]:
    """Equal rectangles that cover an image, none with a side above 1.5 `side_px`."""
    edges = [np.linspace(0, length, max(1, round(length / side_px)) + 1).astype(int) for length in shape]
    spans = [[slice(*pair) for pair in zip(edge[:-1].tolist(), edge[1:].tolist(), strict=True)] for edge in edges]
    return [(rows, columns) for rows in spans[0] for columns in spans[1]]


def changed(rgb: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator) -> Patch:
    """A normalised patch turned, mirrored, with other gain and offset of each channel, and a little noise."""
    turns, mirror = int(rng.integers(4)), int(rng.integers(2))
    rgb, labels = np.rot90(rgb, turns), np.rot90(labels, turns)
    if mirror:
        rgb, labels = rgb[:, ::-1], labels[:, ::-1]
    gain = rng.uniform(1 - GAIN, 1 + GAIN, 3).astype(np.float32)
    offset = rng.uniform(-OFFSET, OFFSET, 3).astype(np.float32)
    noise = NOISE * rng.standard_normal(rgb.shape, np.float32)
    return rgb * gain + offset + noise, np.ascontiguousarray(labels)
