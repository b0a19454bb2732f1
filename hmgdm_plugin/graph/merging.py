"""Merging of superpixels that look alike: colour histograms and means, smallest weight first.

The weight is the published one of tissue graphs (Pati et al., 2022) with per-channel histograms and one
scale for the mean term throughout: ``w = 0.5 mean_c ||h_c(u)-h_c(v)||/2 + 0.5 ||m(u)-m(v)||/2``, where h_c
is the unit-norm 4-bin histogram of channel c and m the unit-norm mean colour.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Labels = NDArray[np.int32]
_BINS = 4


@njit(cache=True, nogil=True)
def _statistics(rgb, labels, count):  # type: ignore[no-untyped-def]
    """Pixel count, colour sums and histograms of each region: (count, 4 + 3 * bins) float64."""
    sums = np.zeros((count, 4 + 3 * _BINS), np.float64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            s = sums[labels[y, x]]
            s[0] += 1.0
            for c in range(3):
                value = rgb[y, x, c]
                s[1 + c] += value
                s[4 + c * _BINS + (value >> 6)] += 1.0
    return sums


@njit(cache=True, nogil=True)
def contacts(labels, count):  # type: ignore[no-untyped-def]
    """Which regions touch, diagonals included: (count, count) bool, symmetric, empty diagonal."""
    height, width = labels.shape
    touch = np.zeros((count, count), np.bool_)
    for y in range(height):
        for x in range(width):
            a = labels[y, x]
            if x + 1 < width:
                touch[a, labels[y, x + 1]] = True
            if y + 1 < height:
                touch[a, labels[y + 1, x]] = True
                if x + 1 < width:
                    touch[a, labels[y + 1, x + 1]] = True
                if x > 0:
                    touch[a, labels[y + 1, x - 1]] = True
    for a in range(count):
        touch[a, a] = False
        for b in range(a):
            if touch[a, b] or touch[b, a]:
                touch[a, b] = touch[b, a] = True
    return touch


@njit(cache=True, nogil=True)
def weight(u, v):  # type: ignore[no-untyped-def]
    """Dissimilarity in [0, 1] of two rows of `_statistics`."""
    histogram = 0.0
    for c in range(3):
        nu = nv = uv = 0.0
        for k in range(4 + c * _BINS, 4 + (c + 1) * _BINS):
            nu += u[k] * u[k]
            nv += v[k] * v[k]
            uv += u[k] * v[k]
        histogram += np.sqrt(max(2.0 - 2.0 * uv / np.sqrt(nu * nv), 0.0))
    nu = nv = uv = 1e-12
    for k in range(1, 4):
        nu += u[k] * u[k]
        nv += v[k] * v[k]
        uv += u[k] * v[k]
    mean = np.sqrt(max(2.0 - 2.0 * uv / np.sqrt(nu * nv), 0.0))
    return 0.5 * (histogram / 3.0) / 2.0 + 0.5 * mean / 2.0


@njit(cache=True, nogil=True)
def _merge(stats, touch, threshold, min_area):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Merge regions in place; returns for each region the one it went into (itself if it stayed)."""
    count = stats.shape[0]
    into = np.arange(count)
    best = np.full(count, np.inf)
    mate = np.full(count, -1, np.int64)
    for a in range(count):
        _nearest(a, stats, touch, best, mate, min_area)
    while True:
        a = 0
        for c in range(count):
            if best[c] < best[a]:
                a = c
        if not best[a] < threshold:
            return into
        b = mate[a]
        keep, gone = min(a, b), max(a, b)
        for k in range(stats.shape[1]):
            stats[keep, k] += stats[gone, k]
        for c in range(count):
            if into[c] == gone:
                into[c] = keep
        for c in range(count):
            if touch[gone, c]:
                touch[gone, c] = touch[c, gone] = False
                if c != keep:
                    touch[keep, c] = touch[c, keep] = True
        best[gone], mate[gone] = np.inf, -1
        for c in range(count):
            if c == keep or touch[keep, c]:
                _nearest(c, stats, touch, best, mate, min_area)


@njit(cache=True, nogil=True)
def _nearest(a, stats, touch, best, mate, min_area):  # type: ignore[no-untyped-def]
    """Find the most similar neighbour of `a`; too small a region must merge, so its weight counts from -1."""
    best[a], mate[a] = np.inf, -1
    for b in range(stats.shape[0]):
        if touch[a, b]:
            w = weight(stats[a], stats[b])
            if stats[a, 0] < min_area or stats[b, 0] < min_area:
                w -= 1.0
            if w < best[a]:
                best[a], mate[a] = w, b


def merge(rgb: NDArray[np.uint8], labels: Labels, count: int, threshold: float, min_area_px: int) -> tuple[Labels, int]:
    """Join neighbours that look alike, and regions below `min_area_px` with their most similar neighbour.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    labels : (H, W) int32
        Regions 0..count-1, each connected.
    threshold : float
        Merging stops at this weight; 0 joins only the small regions.

    Returns
    -------
    labels : (H, W) int32
        Regions in scan order of their first pixel.
    count : int
    """
    stats = _statistics(rgb, labels, count)
    into = _merge(stats, contacts(labels, count), threshold, min_area_px)
    kept, numbers = np.unique(into, return_inverse=True)
    return numbers.astype(np.int32)[labels], len(kept)
