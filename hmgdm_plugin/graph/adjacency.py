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
    touch = contacts(labels, count)
    return np.stack(np.nonzero(np.triu(touch))).astype(np.int64)


def regions(labels: NDArray[np.int32], count: int) -> Members:
    """Pixels of every region, in scan order."""
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    return Members(np.argsort(flat, kind="stable").astype(np.int32), np.concatenate([[0], np.cumsum(sizes)]))


def bands(labels: NDArray[np.int32], edges: NDArray[np.int64], count: int, band_px: int) -> Members:
    """Pixels of the band of every edge, in scan order; never empty for touching regions."""
    number = np.full((count, count), -1, np.int32)
    number[edges[0], edges[1]] = np.arange(edges.shape[1])
    owner, pixel = _bands(labels, number, band_px // 2)
    sizes = np.bincount(owner, minlength=edges.shape[1])
    order = np.argsort(owner, kind="stable")
    return Members(pixel[order], np.concatenate([[0], np.cumsum(sizes)]))


@njit(cache=True, nogil=True)
def _bands(labels, number, radius):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Edge number and flat pixel of every band pixel, in scan order."""
    height, width = labels.shape
    owner = np.empty(height * width * 3, np.int32)
    pixel = np.empty(height * width * 3, np.int32)
    seen = np.empty(_MAX_NEAR, np.int32)
    runs = _runs(labels, radius)
    total = 0
    for y in range(height):
        y0, y1 = max(y - radius, 0), min(y + radius + 1, height)
        for x in range(width):
            own = labels[y, x]
            mixed = False
            for yy in range(y0, y1):
                mixed |= runs[yy, x] != own
            if not mixed:
                continue
            near = 0
            for yy in range(y0, y1):
                if runs[yy, x] >= 0:
                    near = _add(seen, near, runs[yy, x])
                    continue
                for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
                    near = _add(seen, near, labels[yy, xx])
            for i in range(near):
                for j in range(i):
                    e = number[min(seen[i], seen[j]), max(seen[i], seen[j])]
                    if e >= 0 and total < owner.size:
                        owner[total], pixel[total] = e, y * width + x
                        total += 1
    return owner[:total], pixel[:total]


@njit(cache=True, nogil=True)
def _runs(labels, radius):  # type: ignore[no-untyped-def]
    """The one label within `radius` to the left and right of each pixel, or -1 where there are several."""
    height, width = labels.shape
    out = np.empty_like(labels)
    for y in range(height):
        for x in range(width):
            own = labels[y, x]
            same = True
            for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
                same &= labels[y, xx] == own
            out[y, x] = own if same else -1
    return out


@njit(cache=True, nogil=True)
def _add(seen, near, label):  # type: ignore[no-untyped-def]
    """Add `label` to the first `near` entries of `seen` unless it is there; returns the new length."""
    for k in range(near):
        if seen[k] == label:
            return near
    if near < seen.size:
        seen[near] = label
        near += 1
    return near
