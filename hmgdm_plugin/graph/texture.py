"""Texture planes of a tile: local binary patterns, gradients, blobs of nuclear size, rough nuclear areas.

Local binary patterns (Ojala et al., 2002) are the rotation-invariant uniform ones, taken on the square rings
of 8 and 16 pixels. Blobs are local maxima of differences of Gaussians of haematoxylin; a rough nuclear area is
that of a dark connected region shared among the blobs in it. Nothing here is a segmentation: these planes
describe, `nuclei` detects. Kernels fill the arrays they are given.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .superpixels import connected

Bytes = NDArray[np.uint8]
_PAD = 2  # radius of the larger ring

RING_1 = np.array([(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)], np.int64)
RING_2 = np.array(
    [(-2, x) for x in (-2, -1, 0, 1)]
    + [(y, 2) for y in (-2, -1, 0, 1)]
    + [(2, x) for x in (2, 1, 0, -1)]
    + [(y, -2) for y in (2, 1, 0, -1)],
    np.int64,
)


def uniform_table(points: int) -> NDArray[np.uint8]:
    """Code of `points` bits > bin: number of ones for at most two changes around the ring, else points + 1."""
    codes = np.arange(1 << points)
    ones = np.array([bin(c).count("1") for c in codes])
    turned = (codes >> 1) | ((codes & 1) << (points - 1))
    changes = np.array([bin(c).count("1") for c in codes ^ turned])
    return np.where(changes <= 2, ones, points + 1).astype(np.uint8)


TABLE_1, TABLE_2 = uniform_table(8), uniform_table(16)


@njit(cache=True, nogil=True)
def _patterns(padded, ring, table, code, out):  # type: ignore[no-untyped-def]
    """Uniform pattern of every pixel into `out` (H, W); `padded` has _PAD more on each side, `code` holds a row."""
    height, width = out.shape
    for y in range(height):
        centre = padded[y + _PAD, _PAD : _PAD + width]
        for x in range(width):
            code[x] = 0
        for k in range(0, ring.shape[0], 4):
            x0, x1, x2, x3 = (
                np.uint64(ring[k, 1]),
                np.uint64(ring[k + 1, 1]),
                np.uint64(ring[k + 2, 1]),
                np.uint64(ring[k + 3, 1]),
            )
            y0, y1 = np.uint64(y + ring[k, 0]), np.uint64(y + ring[k + 1, 0])
            y2, y3 = np.uint64(y + ring[k + 2, 0]), np.uint64(y + ring[k + 3, 0])
            for x in range(np.uint64(width)):
                c = centre[x]
                bits = np.int32(padded[y0, x + x0] >= c) | np.int32(padded[y1, x + x1] >= c) << 1
                bits |= np.int32(padded[y2, x + x2] >= c) << 2 | np.int32(padded[y3, x + x3] >= c) << 3
                code[x] |= bits << k
        for x in range(width):
            out[y, x] = table[code[x]]


def patterns(grey: NDArray[np.int32], rings: Sequence[tuple[NDArray[np.int64], NDArray[np.uint8]]]) -> Bytes:
    """Uniform patterns (R, H, W) of `grey` (H, W) for R rings with their tables; the border repeats."""
    padded = np.empty((grey.shape[0] + 2 * _PAD, grey.shape[1] + 2 * _PAD), np.int32)
    padded[_PAD:-_PAD, _PAD:-_PAD] = grey
    padded[:_PAD], padded[-_PAD:] = padded[_PAD], padded[-_PAD - 1]
    padded[:, :_PAD], padded[:, -_PAD:] = padded[:, _PAD : _PAD + 1], padded[:, -_PAD - 1 : -_PAD]
    code, out = np.empty(grey.shape[1], np.int32), np.empty((len(rings), *grey.shape), np.uint8)
    for number, (ring, table) in enumerate(rings):
        _patterns(padded, ring + _PAD, table, code, out[number])
    return out


@njit(cache=True, nogil=True)
def _peaks(response, threshold, radius, out):  # type: ignore[no-untyped-def]
    """Local maxima of `response` into `out` (H, W) uint8: first those among four neighbours, then among all."""
    height, width = response.shape
    for y in range(height):
        row, up, down, top = response[y], response[max(y - 1, 0)], response[min(y + 1, height - 1)], out[y]
        for x in range(1, width - 1):
            value = row[x]
            top[x] = (
                (value > threshold)
                & (value >= row[x - 1])
                & (value >= row[x + 1])
                & (value >= up[x])
                & (value >= down[x])
            )
        top[0], top[width - 1] = row[0] > threshold, row[width - 1] > threshold
        for x in range(width):
            if top[x]:
                value, highest = row[x], True
                for yy in range(max(y - radius, 0), min(y + radius + 1, height)):
                    for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
                        other = response[yy, xx]
                        first = yy < y or (yy == y and xx < x)
                        highest &= not (other > value or (other == value and first))
                top[x] = highest


def peaks(response: NDArray[np.float32], threshold: float, radius: int) -> Bytes:
    """Local maxima (H, W) of `response` above `threshold` within `radius`; ties go to the first in scan order."""
    out = np.empty(response.shape, np.uint8)
    _peaks(response, np.float32(threshold), radius, out)
    return out


@njit(cache=True, nogil=True)
def _otsu(plane, low, high, bins):  # type: ignore[no-untyped-def]
    """Otsu's threshold of `plane`; `bins` are empty counts between `low` and `high`."""
    last = bins.size - 1
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            k = int((plane[y, x] - low) / (high - low) * bins.size)
            bins[min(max(k, 0), last)] += 1
    total, total_sum = 0, 0.0
    for k in range(bins.size):
        total += bins[k]
        total_sum += k * bins[k]
    best, cut, below, below_sum = -1.0, 0, 0, 0.0
    for k in range(last):
        below += bins[k]
        below_sum += k * bins[k]
        above = total - below
        if below == 0 or above == 0:
            continue
        gap = below_sum / below - (total_sum - below_sum) / above
        between = below * 1.0 * above * gap * gap
        if between > best:
            best, cut = between, k + 1
    return low + (high - low) * cut / bins.size


def otsu(plane: NDArray[np.float32], low: float, high: float) -> float:
    """Otsu's threshold of `plane` over 64 bins between `low` and `high` (Otsu, 1979)."""
    return float(_otsu(plane, np.float32(low), np.float32(high), np.zeros(64, np.int64)))


@njit(cache=True, nogil=True)
def _rough_areas(dark, blobs, labels, sums, out):  # type: ignore[no-untyped-def]
    """Log of pixels per blob of each dark region into `out` (K,); `sums` (2, K) are zeros for pixels and blobs."""
    for y in range(dark.shape[0]):
        for x in range(dark.shape[1]):
            if dark[y, x]:
                sums[0, labels[y, x]] += 1
                sums[1, labels[y, x]] += blobs[y, x]
    for c in range(out.size):
        out[c] = np.log(sums[0, c] / max(sums[1, c], 1)) if sums[0, c] > 0 else 0.0


def rough_areas(dark: Bytes, blobs: Bytes, labels: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Log of pixels per blob (count,) of the dark regions in `labels`; 0 for regions that are not dark."""
    out = np.empty(count, np.float32)
    _rough_areas(dark, blobs, labels, np.zeros((2, count), np.int64), out)
    return out


def dark_regions(haematoxylin: NDArray[np.float32]) -> tuple[Bytes, NDArray[np.int32], int]:
    """Pixels darker than Otsu's threshold, never below 0.1 optical density, and their connected regions."""
    threshold = max(otsu(haematoxylin, -0.2, 1.2), 0.1)
    dark = (haematoxylin > threshold).astype(np.uint8)
    labels, count = connected(dark.astype(np.int32))
    return dark, labels, count
