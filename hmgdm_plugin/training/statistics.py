"""Baseline (a): plain colour and texture statistics of a tile, the yardstick that an encoder has to beat.

130 numbers per tile: mean and deviation in RGB, HED and Lab (18), histograms of RGB and haematoxylin (32), grey-level
co-occurrence at 1, 2 and 4 px (36), uniform local binary patterns at radius 1 and 2 px (28), gradients (16).
Sources: Haralick 1973 (co-occurrence), Ojala 2002 (LBP), Ruifrok 2001 (HED), all as scikit-image computes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

SPACES = ("rgb", "hed", "lab")
BINS = 8
GREYS = 32
DISTANCES_PX = (1, 2, 4)
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
PATTERNS = ((8, 1), (16, 2))
PERCENTILES = (5, 25, 50, 75, 90, 95)
HAEMATOXYLIN_RANGE = (-0.05, 0.3)

Floats = NDArray[np.float64]


def names() -> list[str]:
    """Name of each number that `tile_statistics` returns, in its order."""
    colour = [f"{space}{channel}_{what}" for space in SPACES for channel in range(3) for what in ("mean", "std")]
    histogram = [
        f"histogram_{channel}_{i}" for channel in ("red", "green", "blue", "haematoxylin") for i in range(BINS)
    ]
    glcm = [f"glcm_{p}_{d}px_{what}" for p in PROPERTIES for d in DISTANCES_PX for what in ("mean", "std")]
    lbp = [f"lbp_{points}_{radius}px_{i}" for points, radius in PATTERNS for i in range(points + 2)]
    gradient = ["gradient_mean", "gradient_std", *(f"gradient_p{p}" for p in PERCENTILES)]
    return [*colour, *histogram, *glcm, *lbp, *gradient, *(f"orientation_{i}" for i in range(BINS))]


def tile_statistics(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Colour and texture statistics of one tile.

    Parameters
    ----------
    rgb : (H, W, 3) uint8

    Returns
    -------
    (130,) float32, named by `names`; the same image always gives the same numbers.
    """
    from skimage.color import rgb2gray, rgb2hed, rgb2lab

    hed = rgb2hed(rgb)
    grey = np.round(rgb2gray(rgb) * 255).astype(np.uint8)
    colour = [_moments(image) for image in (rgb / 255.0, hed, rgb2lab(rgb))]
    parts = [*colour, _histograms(rgb, hed[..., 0]), _cooccurrence(grey), _patterns(grey), _gradients(grey)]
    return np.concatenate(parts).astype(np.float32)


def statistics_of(tiles: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Statistics of many tiles, each (H, W, 3) uint8, as one array (n, 130) float32."""
    return np.stack([tile_statistics(rgb) for rgb in tiles])


def _moments(image: Floats) -> Floats:
    """Mean and standard deviation of each channel, interleaved: (6,)."""
    flat = image.reshape(-1, 3)
    return np.stack([flat.mean(0), flat.std(0)], axis=1).ravel()


def _histograms(rgb: NDArray[np.uint8], haematoxylin: Floats) -> Floats:
    """Shares of pixels per bin; out-of-range haematoxylin counts in the outer bins."""
    ranges = [(0.0, 256.0)] * 3 + [HAEMATOXYLIN_RANGE]
    channels: list[NDArray[Any]] = [rgb[..., 0], rgb[..., 1], rgb[..., 2], np.clip(haematoxylin, *HAEMATOXYLIN_RANGE)]
    counts = [np.histogram(c, BINS, r)[0] for c, r in zip(channels, ranges, strict=True)]
    return np.concatenate(counts) / haematoxylin.size


def _cooccurrence(grey: NDArray[np.uint8]) -> Floats:
    """Six properties per distance, mean and deviation over four angles: (36,)."""
    from skimage.feature import graycomatrix, graycoprops

    matrix = graycomatrix(grey // (256 // GREYS), DISTANCES_PX, ANGLES, GREYS, symmetric=True, normed=True)  # type: ignore[no-untyped-call]
    found = [graycoprops(matrix, name) for name in PROPERTIES]  # type: ignore[no-untyped-call]
    values = np.stack(found)  # (6, distances, angles)
    return np.stack([values.mean(-1), values.std(-1)], axis=-1).ravel()


def _patterns(grey: NDArray[np.uint8]) -> Floats:
    """Shares of the rotation-invariant uniform patterns: (10 + 18,)."""
    from skimage.feature import local_binary_pattern

    codes = [(local_binary_pattern(grey, p, r, "uniform").astype(np.intp), p + 2) for p, r in PATTERNS]  # type: ignore[no-untyped-call]
    return np.concatenate([np.bincount(code.ravel(), minlength=n) / code.size for code, n in codes])


def _gradients(grey: NDArray[np.uint8]) -> Floats:
    """Mean, deviation and percentiles of the Sobel magnitude, and its share per orientation: (16,)."""
    from skimage.filters import sobel_h, sobel_v

    down, right = sobel_h(grey / 255.0), sobel_v(grey / 255.0)  # type: ignore[no-untyped-call]
    size = np.hypot(down, right)
    orientation = np.histogram(np.arctan2(down, right) % np.pi, BINS, (0.0, np.pi), weights=size)[0]
    share = orientation / max(size.sum(), 1e-12)
    return np.concatenate([[size.mean(), size.std()], np.percentile(size, PERCENTILES), share])
