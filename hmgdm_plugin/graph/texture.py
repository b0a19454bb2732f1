"""Texture planes of a tile: local binary patterns, gradients, blobs of nuclear size, rough nuclear areas.

Local binary patterns (Ojala et al., 2002) are the rotation-invariant uniform ones, taken on the square rings
of 8 and 16 pixels. Blobs are local maxima of differences of Gaussians of haematoxylin; a rough nuclear area is
that of a dark connected region shared among the blobs in it. Nothing here is a segmentation: these planes
describe, `nuclei` detects.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .superpixels import connected

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
def patterns(grey, ring, table):  # type: ignore[no-untyped-def]
    """Uniform pattern (H, W) uint8 of every pixel of `grey`; beyond the border the nearest pixel counts."""
    height, width = grey.shape
    radius = ring.shape[0] // 8
    padded = np.empty((height + 2 * radius, width + 2 * radius), np.int32)
    for y in range(height + 2 * radius):
        for x in range(width + 2 * radius):
            padded[y, x] = grey[min(max(y - radius, 0), height - 1), min(max(x - radius, 0), width - 1)]
    out = np.empty((height, width), np.uint8)
    code = np.empty(width, np.int32)
    for y in range(height):
        centre = padded[y + radius, radius : radius + width]
        for x in range(width):
            code[x] = 0
        for k in range(ring.shape[0]):
            other = padded[y + radius + ring[k, 0], radius + ring[k, 1] : radius + ring[k, 1] + width]
            for x in range(width):
                code[x] |= np.int32(other[x] >= centre[x]) << k
        for x in range(width):
            out[y, x] = table[code[x]]
    return out


@njit(cache=True, nogil=True)
def gradient(plane):  # type: ignore[no-untyped-def]
    """Length of the central-difference gradient (H, W); one-sided at the border."""
    height, width = plane.shape
    out = np.empty((height, width), np.float32)
    for y in range(height):
        up, down = plane[max(y - 1, 0)], plane[min(y + 1, height - 1)]
        for x in range(width):
            dx = plane[y, min(x + 1, width - 1)] - plane[y, max(x - 1, 0)]
            dy = down[x] - up[x]
            out[y, x] = np.sqrt(dx * dx + dy * dy)
    return out


@njit(cache=True, nogil=True)
def peaks(response, threshold, radius):  # type: ignore[no-untyped-def]
    """Local maxima (H, W) uint8 of `response` above `threshold` within `radius`; ties go to the first in scan order."""
    height, width = response.shape
    out = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            value = response[y, x]
            if value <= threshold:
                continue
            top = True
            for yy in range(max(y - radius, 0), min(y + radius + 1, height)):
                for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
                    other = response[yy, xx]
                    first = yy < y or (yy == y and xx < x)
                    if other > value or (other == value and first):
                        top = False
                        break
                if not top:
                    break
            out[y, x] = top
    return out


@njit(cache=True, nogil=True)
def otsu(plane, low, high):  # type: ignore[no-untyped-def]
    """Otsu's threshold of `plane` over 64 bins between `low` and `high` (Otsu, 1979)."""
    bins = np.zeros(64, np.int64)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            k = int((plane[y, x] - low) / (high - low) * 64)
            bins[min(max(k, 0), 63)] += 1
    total, total_sum = 0, 0.0
    for k in range(64):
        total += bins[k]
        total_sum += k * bins[k]
    best, cut, below, below_sum = -1.0, 0, 0, 0.0
    for k in range(63):
        below += bins[k]
        below_sum += k * bins[k]
        above = total - below
        if below == 0 or above == 0:
            continue
        gap = below_sum / below - (total_sum - below_sum) / above
        between = below * 1.0 * above * gap * gap
        if between > best:
            best, cut = between, k + 1
    return low + (high - low) * cut / 64


@njit(cache=True, nogil=True)
def rough_area(dark, blobs, labels, count):  # type: ignore[no-untyped-def]
    """Log of pixels per blob of the dark region under each pixel; 0 outside dark regions: (H, W) float32."""
    size = np.zeros(count, np.int64)
    seeds = np.zeros(count, np.int64)
    height, width = dark.shape
    for y in range(height):
        for x in range(width):
            if dark[y, x]:
                size[labels[y, x]] += 1
                seeds[labels[y, x]] += blobs[y, x]
    out = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if dark[y, x]:
                c = labels[y, x]
                out[y, x] = np.log(size[c] / max(seeds[c], 1))
    return out


def dark_regions(haematoxylin: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.int32], int]:
    """Pixels darker than Otsu's threshold, never below 0.1 optical density, and their connected regions."""
    threshold = max(otsu(haematoxylin, np.float32(-0.2), np.float32(1.2)), 0.1)
    dark = (haematoxylin > threshold).astype(np.uint8)
    labels, count = connected(dark.astype(np.int32))
    return dark, labels, int(count)
