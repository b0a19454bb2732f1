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
def _statistics(rgb, labels, sums):  # type: ignore[no-untyped-def]
    """Pixel count, colour sums and histograms of each region into `sums` (count, 4 + 3 * bins), which are zeros."""
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            a = np.uint32(labels[y, x])
            sums[a, 0] += 1.0
            for c in range(3):
                value = rgb[y, x, c]
                sums[a, 1 + c] += value
                sums[a, 4 + c * _BINS + (value >> 6)] += 1.0


@njit(cache=True, nogil=True)
def _pair(a, b, first, link, pairs, total):  # type: ignore[no-untyped-def]
    """Note that `a` and `b` touch, unless it is known; returns how many pairs there are."""
    u, v = min(a, b), max(a, b)
    k = first[u]
    while k >= 0:
        if pairs[1, k] == v:
            return total
        k = link[k]
    pairs[0, total], pairs[1, total] = u, v
    link[total], first[u] = first[u], total
    return total + 1


@njit(cache=True, nogil=True)
def _contacts(labels, first, link, pairs):  # type: ignore[no-untyped-def]
    """Pairs u < v of touching regions into `pairs` (2, ...); returns how many.

    `first` (count,) is -1 everywhere; with `link` it chains the pairs of each u.
    """
    height, width = labels.shape
    total = 0
    for y in range(height):
        row, below = labels[y], labels[min(y + 1, height - 1)]
        for x in range(width):
            right = min(x + 1, width - 1)
            a, b, c, d = row[x], row[right], below[x], below[right]
            if a == b and c == d and a == c:
                continue
            if a != b:
                total = _pair(a, b, first, link, pairs, total)
            if a != c:
                total = _pair(a, c, first, link, pairs, total)
            if a != d:
                total = _pair(a, d, first, link, pairs, total)
            if b != c:
                total = _pair(b, c, first, link, pairs, total)
    return total


def contacts(labels: Labels, count: int) -> NDArray[np.int32]:
    """Pairs u < v of regions that touch (2, M), diagonals included, in the order in which they are met."""
    most = min(count * (count - 1) // 2, 4 * labels.size)
    first, link, pairs = np.full(count, -1, np.int32), np.empty(most, np.int32), np.empty((2, most), np.int32)
    return np.ascontiguousarray(pairs[:, : _contacts(labels, first, link, pairs)])


@njit(cache=True, nogil=True)
def _norms(stats, a, norms):  # type: ignore[no-untyped-def]
    """Squared lengths of the histograms and of the mean of region `a`, into its row of `norms`."""
    for c in range(3):
        total = 0.0
        for k in range(4 + c * _BINS, 4 + (c + 1) * _BINS):
            total += stats[a, k] * stats[a, k]
        norms[a, c] = total
    total = 1e-12
    for k in range(1, 4):
        total += stats[a, k] * stats[a, k]
    norms[a, 3] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _weight(stats, norms, a, b, min_area):  # type: ignore[no-untyped-def]
    """Dissimilarity in [0, 1] of two regions; too small a region must merge, so its weight counts from -1."""
    histogram = 0.0
    for c in range(3):
        both = 0.0
        for k in range(4 + c * _BINS, 4 + (c + 1) * _BINS):
            both += stats[a, k] * stats[b, k]
        histogram += np.sqrt(max(2.0 - 2.0 * both / np.sqrt(norms[a, c] * norms[b, c]), 0.0))
    both = 1e-12
    for k in range(1, 4):
        both += stats[a, k] * stats[b, k]
    mean = np.sqrt(max(2.0 - 2.0 * both / np.sqrt(norms[a, 3] * norms[b, 3]), 0.0))
    weight = 0.5 * (histogram / 3.0) / 2.0 + 0.5 * mean / 2.0
    return weight - 1.0 if stats[a, 0] < min_area or stats[b, 0] < min_area else weight


@njit(cache=True, nogil=True)
def _root(into, a):  # type: ignore[no-untyped-def]
    """The region that `a` is part of by now."""
    while into[a] != a:
        into[a] = into[into[a]]
        a = into[a]
    return a


@njit(cache=True, nogil=True)
def _play(best, tree, c):  # type: ignore[no-untyped-def]
    """Play the matches of region `c` again: node n of `tree` is the better of nodes 2 n and 2 n + 1, or the first."""
    node = (tree.size // 2 + c) // 2
    while node > 0:
        a, b = tree[2 * node], tree[2 * node + 1]
        tree[node] = a if best[a] <= best[b] else b
        node //= 2


@njit(cache=True, nogil=True)
def _look(a, stats, norms, first, link, other, into, best, mate, min_area):  # type: ignore[no-untyped-def]
    """Find the most similar neighbour of `a`, the first of several."""
    best[a], mate[a] = np.inf, -1
    k = first[a]
    while k >= 0:
        b = _root(into, other[k])
        w = _weight(stats, norms, a, b, min_area)
        if w < best[a] or (w == best[a] and b < mate[a]):
            best[a], mate[a] = w, b
        k = link[k]


@njit(cache=True, nogil=True)
def _merge(labels, stats, norms, pairs, first, last, link, other, into, met, best, mate, tree, limit, min_area, out):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Merge regions until no weight is below `limit`, write the new labels to `out`; returns how many are left.

    The neighbours of region a are chained from first[a] to last[a]; the root of `tree` is the region with the
    smallest weight to its most similar neighbour. A merger changes the weights of one region, so only its neighbours
    are looked at again.
    """
    count, leaves = into.size, tree.size // 2
    for a in range(count):
        _norms(stats, a, norms)
        into[a], first[a], last[a], met[a], best[a], mate[a] = a, -1, -1, -1, np.inf, -1
    for k in range(pairs.shape[1]):
        w = _weight(stats, norms, pairs[0, k], pairs[1, k], min_area)
        for end in range(2):
            a, b, half = pairs[end, k], pairs[1 - end, k], 2 * k + end
            last[a] = half if first[a] < 0 else last[a]
            other[half], link[half], first[a] = b, first[a], half
            if w < best[a] or (w == best[a] and b < mate[a]):
                best[a], mate[a] = w, b
    best[count] = np.inf
    for n in range(leaves):
        tree[leaves + n] = min(n, count)
    for n in range(leaves - 1, 0, -1):
        tree[n] = tree[2 * n] if best[tree[2 * n]] <= best[tree[2 * n + 1]] else tree[2 * n + 1]
    while best[tree[1]] < limit:
        keep, gone = min(tree[1], mate[tree[1]]), max(tree[1], mate[tree[1]])
        for k in range(stats.shape[1]):
            stats[keep, k] += stats[gone, k]
        _norms(stats, keep, norms)
        into[gone] = keep
        link[last[keep]], last[keep] = first[gone], last[gone]
        best[gone] = best[keep] = np.inf
        mate[keep] = before = -1
        k = first[keep]
        while k >= 0:
            c = _root(into, other[k])
            if c == keep or met[c] == gone:
                if before < 0:
                    first[keep] = link[k]
                else:
                    link[before] = link[k]
                k = link[k]
                continue
            met[c], other[k], before = gone, c, k
            w = _weight(stats, norms, keep, c, min_area)
            if w < best[keep] or (w == best[keep] and c < mate[keep]):
                best[keep], mate[keep] = w, c
            if w < best[c] or (w == best[c] and keep <= mate[c]):
                best[c], mate[c] = w, keep
            elif mate[c] == gone or mate[c] == keep:
                _look(c, stats, norms, first, link, other, into, best, mate, min_area)
            _play(best, tree, c)
            k = link[k]
        last[keep] = before
        _play(best, tree, gone)
        _play(best, tree, keep)
    left = 0
    for a in range(count):
        met[a] = left if into[a] == a else met[into[a]]
        left += into[a] == a
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            out[y, x] = met[labels[y, x]]
    return left


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
    stats, norms, best = np.zeros((count, 4 + 3 * _BINS)), np.empty((count, 4)), np.empty(count + 1)
    _statistics(rgb, labels, stats)
    pairs, out = contacts(labels, count), np.empty_like(labels)
    first, last, into, met, mate = np.empty((5, count), np.int32)
    link, other = np.empty((2, 2 * pairs.shape[1]), np.int32)
    tree = np.zeros(2 << (count - 1).bit_length(), np.int32)
    left = _merge(labels, stats, norms, pairs, first, last, link, other, into, met, best, mate, tree, float(threshold),
                  min_area_px, out)  # fmt: skip
    return out, left
