"""Superpixels: SLIC (Achanta et al., 2012) on a fixed grid, then connected regions.

Each pixel chooses among the nine centres whose grid cells surround its own, so one iteration is nine
vector passes over the tile; the sums that move the centres are taken in scan order, so the same tile and
settings give the same partition, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Labels = NDArray[np.int32]


@njit(cache=True, nogil=True)
def _slic(lab, rows, cols, spatial, iterations):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Labels (H, W) of a grid of `rows` x `cols` centres; `spatial` weighs squared distance in pixels."""
    height, width = lab.shape[1], lab.shape[2]
    ys = np.empty(rows + 1, np.int64)
    xs = np.empty(cols + 1, np.int64)
    for i in range(rows + 1):
        ys[i] = i * height // rows
    for j in range(cols + 1):
        xs[j] = j * width // cols
    labels = np.empty((height, width), np.int32)
    for i in range(rows):
        for j in range(cols):
            for y in range(ys[i], ys[i + 1]):
                for x in range(xs[j], xs[j + 1]):
                    labels[y, x] = i * cols + j
    centres = np.empty((rows * cols, 5), np.float32)
    best = np.empty(width, np.float32)
    pick = np.empty(width, np.int32)
    for _ in range(iterations):
        _move(lab, labels, centres)
        for i in range(rows):
            i0, i1 = max(i - 1, 0), min(i + 2, rows)
            for j in range(cols):
                j0, j1 = max(j - 1, 0), min(j + 2, cols)
                x0, n = xs[j], xs[j + 1] - xs[j]
                for y in range(ys[i], ys[i + 1]):
                    for k in range(n):
                        best[k] = np.float32(1e30)
                    light, red, blue = lab[0, y, x0 : x0 + n], lab[1, y, x0 : x0 + n], lab[2, y, x0 : x0 + n]
                    for ci in range(i0, i1):
                        for cj in range(j0, j1):
                            c = np.int32(ci * cols + cj)
                            cl, ca, cb = centres[c, 0], centres[c, 1], centres[c, 2]
                            dx0 = np.float32(x0) - centres[c, 4]
                            dy = np.float32(y) - centres[c, 3]
                            base = spatial * dy * dy
                            for k in range(n):
                                dx = dx0 + np.float32(k)
                                dl, da, db = light[k] - cl, red[k] - ca, blue[k] - cb
                                d = dl * dl + da * da + db * db + base + spatial * dx * dx
                                nearer = d < best[k]
                                best[k] = d if nearer else best[k]
                                pick[k] = c if nearer else pick[k]
                    for k in range(n):
                        labels[y, x0 + k] = pick[k]
    return labels


@njit(cache=True, nogil=True)
def _move(lab, labels, centres):  # type: ignore[no-untyped-def]
    """Set every centre to the mean of its pixels; an empty one stays where it was."""
    sums = np.zeros((centres.shape[0], 6), np.float64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            s = sums[labels[y, x]]
            s[0] += lab[0, y, x]
            s[1] += lab[1, y, x]
            s[2] += lab[2, y, x]
            s[3] += y
            s[4] += x
            s[5] += 1.0
    for c in range(centres.shape[0]):
        if sums[c, 5] > 0:
            for k in range(5):
                centres[c, k] = sums[c, k] / sums[c, 5]


@njit(cache=True, nogil=True)
def connected(labels):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Number the 4-connected regions of equal label in scan order: (H, W) int32 and their count."""
    height, width = labels.shape
    out = np.empty((height, width), np.int32)
    parent = np.empty(height * width, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            left = out[y, x - 1] if x > 0 and labels[y, x - 1] == labels[y, x] else -1
            up = out[y - 1, x] if y > 0 and labels[y - 1, x] == labels[y, x] else -1
            if left < 0 and up < 0:
                out[y, x] = parent[count] = count
                count += 1
                continue
            a = max(left, up) if left < 0 or up < 0 else left
            while parent[a] != a:
                parent[a] = parent[parent[a]]
                a = parent[a]
            if left >= 0 and up >= 0:
                b = up
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                a, b = min(a, b), max(a, b)
                parent[b] = a
            out[y, x] = a
    number = np.full(count, -1, np.int32)
    found = 0
    for y in range(height):
        for x in range(width):
            a = out[y, x]
            while parent[a] != a:
                a = parent[a]
            if number[a] < 0:
                number[a] = found
                found += 1
            out[y, x] = number[a]
    return out, found


def slic(lab: NDArray[np.float32], segments: int, compactness: float, iterations: int) -> tuple[Labels, int]:
    """Partition a tile into about `segments` connected regions.

    Parameters
    ----------
    lab : (3, H, W) float32
        CIE Lab, blurred as wished.
    segments : int
        Wanted number of superpixels; a grid of about that many is laid.
    compactness : float
        Lab units that weigh as much as one grid step; high values give squares.
    iterations : int
        Passes of assignment and update.

    Returns
    -------
    labels : (H, W) int32
        Regions 0..count-1 in scan order, each 4-connected.
    count : int
    """
    height, width = lab.shape[1:]
    step = max((height * width / segments) ** 0.5, 1.0)
    rows, cols = max(round(height / step), 1), max(round(width / step), 1)
    labels = _slic(np.ascontiguousarray(lab), rows, cols, np.float32((compactness / step) ** 2), iterations)
    regions, count = connected(labels)
    return regions, int(count)
