"""Descriptors: short colour, texture and shape statistics of every entity and band, at the tile's resolution.

The same numbers are computed for vertices (pixels of the entity) and edges (pixels of the band). They are
the part of an entity that a small auto-encoder does not carry (`docs/method.md`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .adjacency import Members
from .colour import blur
from .texture import RING_1, RING_2, TABLE_1, TABLE_2, dark_regions, gradient, patterns, peaks, rough_area

_MOMENTS = ("lightness", "red-green", "blue-yellow", "haematoxylin", "eosin", "gradient", "fine", "middle", "coarse")
_STAIN_EDGES = np.array([0.05, 0.15, 0.3], np.float32)
_NUCLEUS_PX = 2.5, 5.0  # sigmas of the difference of Gaussians that answers to nuclei at 0.5 um/px
_SEED_RADIUS_PX = 4
_PALE_BLOB = np.float32(0.02)
NAMES: tuple[str, ...] = (
    *(f"{name} mean" for name in _MOMENTS),
    *(f"{name} spread" for name in _MOMENTS),
    *(f"haematoxylin share {k}" for k in range(4)),
    *(f"eosin share {k}" for k in range(4)),
    *(f"pattern 8 bin {k}" for k in range(10)),
    *(f"pattern 16 bin {k}" for k in range(18)),
    "dark blobs per 100 px",
    "pale blobs per 100 px",
    "dark share",
    "dark border share",
    "rough nuclear area",
    "rough nuclear area spread",
    "log area",
    "elongation",
    "border ratio",
)


def planes_for(rgb: NDArray[np.uint8], planes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Texture planes of a tile.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    planes : (5, H, W) float32
        L, a, b, haematoxylin, eosin.

    Returns
    -------
    smooth : (10, H, W) float32
        The nine planes of which mean and spread are taken, then the rough nuclear area.
    coded : (6, H, W) uint8
        Patterns of 8 and 16 pixels, dark and pale blobs, dark pixels, border of dark pixels.
    """
    stain = np.ascontiguousarray(planes[3:4])
    fine, small, large = (blur(stain, sigma)[0] for sigma in (1.0, *_NUCLEUS_PX))
    grey = rgb.sum(axis=2, dtype=np.int32)
    dark, labels, count = dark_regions(fine)
    seeds = peaks(small - large, np.float32(0.0), _SEED_RADIUS_PX) & dark
    pale = peaks(large - small, _PALE_BLOB, _SEED_RADIUS_PX) & (1 - dark)
    border = dark & (1 - _inner(dark))
    edge = gradient(np.ascontiguousarray(planes[0]))
    bands = np.abs(stain[0] - fine), np.abs(fine - small), np.abs(small - large)
    smooth = np.stack([*planes, edge, *bands, rough_area(dark, seeds, labels, count)])
    coded = np.stack([patterns(grey, RING_1, TABLE_1), patterns(grey, RING_2, TABLE_2), seeds, pale, dark, border])
    return smooth, coded


def _inner(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels of `mask` whose four neighbours are in it too; the tile's border counts as inside."""
    padded = np.pad(mask, 1, mode="edge")
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


@njit(cache=True, nogil=True)
def _describe(smooth, coded, pixels, offsets, cuts, count):  # type: ignore[no-untyped-def]
    """Descriptor rows (K, count) float32 of the member lists; order as NAMES."""
    members, width = offsets.size - 1, smooth.shape[2]
    out = np.zeros((members, count), np.float32)
    for i in range(members):
        row, n = out[i], offsets[i + 1] - offsets[i]
        total = np.zeros(10, np.float64)
        square = np.zeros(10, np.float64)
        sx = sy = sxx = syy = sxy = 0.0
        dark = dark_border = inner = 0
        for k in range(offsets[i], offsets[i + 1]):
            y, x = pixels[k] // width, pixels[k] % width
            for c in range(10):
                value = np.float64(smooth[c, y, x])
                total[c] += value
                square[c] += value * value
            for s in range(2):
                level = 0
                for cut in cuts:
                    level += smooth[3 + s, y, x] > cut
                row[18 + 4 * s + level] += 1
            row[26 + coded[0, y, x]] += 1
            row[36 + coded[1, y, x]] += 1
            row[54] += coded[2, y, x]
            row[55] += coded[3, y, x]
            dark += coded[4, y, x]
            dark_border += coded[5, y, x]
            sx, sy = sx + x, sy + y
            sxx, syy, sxy = sxx + x * x, syy + y * y, sxy + x * y
            if k + 1 < offsets[i + 1] and pixels[k + 1] == pixels[k] + 1:
                inner += 1
        for c in range(9):
            mean = total[c] / n
            row[c] = mean
            row[9 + c] = np.sqrt(max(square[c] / n - mean * mean, 0.0))
        for k in range(18, 54):
            row[k] /= n
        row[54] *= 100.0 / n
        row[55] *= 100.0 / n
        row[56] = dark / n
        row[57] = dark_border / max(dark, 1)
        area = total[9] / max(dark, 1)
        row[58] = area
        row[59] = np.sqrt(max(square[9] / max(dark, 1) - area * area, 0.0))
        row[60] = np.log(n)
        vx, vy, vxy = sxx / n - (sx / n) ** 2 + 1 / 12, syy / n - (sy / n) ** 2 + 1 / 12, sxy / n - sx * sy / n / n
        gap = np.sqrt((vx - vy) ** 2 + 4 * vxy * vxy)
        row[61] = 1.0 - np.sqrt(max(vx + vy - gap, 0.0) / (vx + vy + gap))
        row[62] = (n - inner) / np.sqrt(n)
    return out


def describe(smooth: NDArray[np.float32], coded: NDArray[np.uint8], members: Members) -> NDArray[np.float16]:
    """Descriptors (K, len(NAMES)) float16 of the entities or bands in `members`."""
    rows = _describe(smooth, coded, members.pixels, members.offsets, _STAIN_EDGES, len(NAMES))
    return rows.astype(np.float16)
