"""Contacts between entities: the edge list, and the band of pixels where two entities meet.

The band of {u, v} holds the pixels whose k x k neighbourhood contains both: the intersection of the two
dilations of method 1.2. Bands are stored once per undirected edge, as one sorted list of pixels with offsets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .merging import contacts

_MAX_NEAR = 64


@dataclass(frozen=True, slots=True)
class Members:
    """Pixels of each entity or band: `pixels[offsets[i]:offsets[i + 1]]` are the flat indices of number i."""

    pixels: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1


def edge_list(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Pairs u < v of touching regions (2, M), diagonals included, sorted by u then v."""
    u, v = contacts(labels, count)
    order = np.lexsort((v, u))
    return np.stack([u[order], v[order]]).astype(np.int64)


@njit(cache=True, nogil=True)
def _group(owner, pixel, offsets, after, out):  # type: ignore[no-untyped-def]
    """Sort `pixel` by `owner` into `out`, order kept; `offsets` (K + 1,) are zeros, `after` (K,) is overwritten."""
    for k in range(owner.size):
        offsets[owner[k] + 1] += 1
    for i in range(after.size):
        after[i] = offsets[i]
        offsets[i + 1] += offsets[i]
    for k in range(owner.size):
        out[after[owner[k]]] = pixel[k]
        after[owner[k]] += 1


def _grouped(owner: NDArray[np.int32], pixel: NDArray[np.int32], count: int) -> Members:
    """Member lists 0..count-1 of pixels with their owners."""
    offsets, out = np.zeros(count + 1, np.int64), np.empty(len(pixel), np.int32)
    _group(owner, pixel, offsets, np.empty(count, np.int64), out)
    return Members(out, offsets)


def regions(labels: NDArray[np.int32], count: int) -> Members:
    """Pixels of every region, in scan order."""
    flat = np.ascontiguousarray(labels).ravel()
    return _grouped(flat, np.arange(flat.size, dtype=np.int32), count)


def bands(labels: NDArray[np.int32], edges: NDArray[np.int64], count: int, band_px: int) -> Members:
    """Pixels of the band of every edge, in scan order; never empty for touching regions."""
    number = np.full((count, count), -1, np.int32)
    number[edges[0], edges[1]] = np.arange(edges.shape[1])
    radius, (height, width) = band_px // 2, labels.shape
    padded = np.empty((height, width + 2 * radius), np.int32)
    padded[:, radius : radius + width] = labels
    padded[:, :radius], padded[:, radius + width :] = labels[:, :1], labels[:, -1:]
    ends, third = np.empty((2, height, width), np.int32), np.empty((height, width), np.bool_)
    row, mixed, near = np.empty((2, width), np.int32), np.empty(width, np.bool_), np.empty(_MAX_NEAR, np.int32)
    found = room = 2 * labels.size
    while found >= room:  # room for one more than there are: what does not fit is only counted
        room = found + 1
        owner, pixel = np.empty((2, room), np.int32)
        found = _bands(padded, number, radius, ends[0], ends[1], third, row[0], row[1], mixed, near, owner, pixel)
    return _grouped(owner[:found], pixel[:found], edges.shape[1])


@njit(cache=True, nogil=True)
def _bands(padded, number, radius, least, most, third, low, high, mixed, near, owner, pixel):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Edge number and flat pixel of every band pixel, in scan order; returns how many.

    The smallest and the largest label within reach say whether there are one, two or more labels; only where there
    are more than three are they looked up one by one. `padded` repeats the labels by `radius` to the left and right.
    """
    height, width = third.shape
    for y in range(height):
        row, small, large, other = padded[y], least[y], most[y], third[y]
        for x in range(width):
            small[x] = large[x] = row[x]
            other[x] = False
        for d in range(1, 2 * radius + 1):
            shifted = row[d : d + width]
            for x in range(width):
                small[x] = min(small[x], shifted[x])
                large[x] = max(large[x], shifted[x])
        for d in range(2 * radius + 1):
            shifted = row[d : d + width]
            for x in range(width):
                other[x] |= (shifted[x] != small[x]) & (shifted[x] != large[x])
    total, full = 0, owner.size - 1
    for y in range(height):
        y0, y1 = max(y - radius, 0), min(y + radius + 1, height)
        for x in range(width):
            low[x], high[x], mixed[x] = least[y, x], most[y, x], False
        for yy in range(y0, y1):
            small, large = least[yy], most[yy]
            for x in range(width):
                low[x] = min(low[x], small[x])
                high[x] = max(high[x], large[x])
        for yy in range(y0, y1):
            small, large, other = least[yy], most[yy], third[yy]
            for x in range(width):
                a, b, c, d = small[x], large[x], low[x], high[x]
                mixed[x] |= other[x] | ((a != c) & (a != d)) | ((b != c) & (b != d))
        for x in range(width):
            if low[x] == high[x]:
                continue
            if not mixed[x]:
                e = number[low[x], high[x]]
                if e >= 0:
                    owner[min(total, full)], pixel[min(total, full)] = e, y * width + x
                    total += 1
                continue
            count = 3
            near[0], near[1] = low[x], high[x]
            near[2], last = _between(padded, least, most, third, x, y0, y1, 2 * radius + 1, low[x], high[x])
            if near[2] != last:
                for yy in range(y0, y1):
                    count = _add(near, count, least[yy, x])
                    count = _add(near, count, most[yy, x])
                    if third[yy, x]:
                        for d in range(2 * radius + 1):
                            count = _add(near, count, padded[yy, x + d])
            for i in range(count):
                for j in range(i):
                    e = number[min(near[i], near[j]), max(near[i], near[j])]
                    if e >= 0:
                        owner[min(total, full)], pixel[min(total, full)] = e, y * width + x
                        total += 1
    return total


@njit(cache=True, nogil=True)
def _between(padded, least, most, third, x, y0, y1, wide, low, high):  # type: ignore[no-untyped-def]
    """The smallest and the largest label within reach of column `x` that is neither `low` nor `high`."""
    small, large = high, low
    for yy in range(y0, y1):
        a, b = least[yy, x], most[yy, x]
        small = a if (a != low) & (a < small) else small
        large = a if (a != high) & (a > large) else large
        small = b if (b != low) & (b < small) else small
        large = b if (b != high) & (b > large) else large
        if third[yy, x]:
            for d in range(wide):
                c = padded[yy, x + d]
                small = c if (c != low) & (c < small) else small
                large = c if (c != high) & (c > large) else large
    return small, large


@njit(cache=True, nogil=True)
def _add(near, count, label):  # type: ignore[no-untyped-def]
    """Add `label` to the first `count` entries of `near` unless it is there; returns the new length."""
    for k in range(count):
        if near[k] == label:
            return count
    if count < near.size:
        near[count] = label
        count += 1
    return count
