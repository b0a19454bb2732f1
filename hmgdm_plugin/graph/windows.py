"""Instance windows: a fixed crop around every entity or band, everything outside the instance one colour.

Windows are reduced from `window_px` to `stored_px` by exact area averaging; the fourth channel is the share
of each stored pixel that the instance covers (0..255). Where it is 0 the pixel equals the fill colour, where
it is 255 it equals the reduced image.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .adjacency import Members

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


def area_taps(source: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Source indices (target, T) and weights (target, T) of one-dimensional area averaging; weights sum to 1."""
    ratio = source / target
    count = math.ceil(ratio) + (1 if source % target else 0)
    index = np.zeros((target, count), np.int64)
    share = np.zeros((target, count), np.float64)
    for j in range(target):
        first = math.floor(j * ratio + 1e-9)
        for k in range(count):
            low, high = max(j * ratio, first + k), min((j + 1) * ratio, first + k + 1)
            index[j, k] = min(first + k, source - 1)
            share[j, k] = max(high - low, 0.0) / ratio
    return index, share.astype(np.float32)


@lru_cache
def _spread_taps(source: int, target: int) -> tuple[Ints, Floats, Floats, Ints]:
    """Area averaging as kernels want it, taps that weigh nothing left out.

    Returns
    -------
    rows : (target, T) int32
        Source row of each tap.
    weights : (target, T) float32
    columns : (T, 4 * target) float32
        Weights of the taps along a row, once for each of the four channels.
    spots : (source, P) int32
        Where in T rows of 4 * target values the first channel of a source column goes; -1 for nowhere.
    """
    index, share = area_taps(source, target)
    taps = int((share > 0).sum(axis=1).max())
    rows, weights = index[:, :taps].astype(np.int32), share[:, :taps].copy()
    goes = [[t * 4 * target + j for t in range(taps) for j in range(target) if rows[j, t] == x and weights[j, t] > 0]
            for x in range(source)]  # fmt: skip
    spots = np.full((source, max(map(len, goes))), -1, np.int32)
    for x, places in enumerate(goes):
        spots[x, : len(places)] = places
    return rows, weights, np.tile(weights.T, 4), spots


@njit(cache=True, nogil=True)
def _centre_of(pixels, begin, end, width):  # type: ignore[no-untyped-def]
    """Mean x, y of a member list in scan order, in pixels of the tile; pixel i covers [i, i + 1)."""
    sx = sy = 0
    y = pixels[begin] // width
    after = (y + 1) * width
    for k in range(begin, end):
        p = pixels[k]
        while p >= after:
            after += width
            y += 1
        sx += p - after + width
        sy += y
    return sx / (end - begin) + 0.5, sy / (end - begin) + 0.5


@njit(cache=True, nogil=True)
def _cut(rgb, pixels, offsets, window, rows, weights, columns, spots, fill, patch, line, centres, out):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Centres (K, 2) and windows (K, 4, S, S) uint8 of the member lists.

    `patch` (window, T * 4 * S) zeros takes each row of the crop, already shared out to the taps of the stored row.
    """
    width, stored, taps = rgb.shape[1], weights.shape[0], weights.shape[1]
    wide, half, one = 4 * stored, np.float32(0.5), np.float32(1.0)
    for i in range(offsets.size - 1):
        begin, end = offsets[i], offsets[i + 1]
        cx, cy = _centre_of(pixels, begin, end, width)
        centres[i, 0], centres[i, 1] = cx, cy
        x0 = int(np.floor(cx - window / 2 + 0.5))
        y0 = int(np.floor(cy - window / 2 + 0.5))
        low, high = window, -1
        y = pixels[begin] // width
        after = (y + 1) * width
        for k in range(begin, end):
            while pixels[k] >= after:
                after += width
                y += 1
            x = pixels[k] - after + width
            column, row = x - x0, y - y0
            if 0 <= row < window and 0 <= column < window:
                low, high = min(low, row), max(high, row)
                for t in range(spots.shape[1]):
                    spot = spots[column, t]
                    if spot < 0:
                        break
                    for c in range(3):
                        patch[row, spot + c * stored] = rgb[y, x, c]
                    patch[row, spot + 3 * stored] = one
        for oy in range(stored):
            if rows[oy, taps - 1] < low or rows[oy, 0] > high:
                for c in range(4):
                    for ox in range(stored):
                        out[i, c, oy, ox] = fill[c]
                continue
            for k in range(wide):
                line[k] = np.float32(0.0)
            for a in range(taps):
                weight = weights[oy, a]
                for e in range(taps):
                    source, column_weights = patch[rows[oy, a], e * wide : (e + 1) * wide], columns[e]
                    for k in range(wide):
                        line[k] += weight * column_weights[k] * source[k]
            for ox in range(stored):
                cover = line[3 * stored + ox]
                rest = one - cover
                out[i, 0, oy, ox] = np.uint8(line[ox] + rest * fill[0] + half)
                out[i, 1, oy, ox] = np.uint8(line[stored + ox] + rest * fill[1] + half)
                out[i, 2, oy, ox] = np.uint8(line[2 * stored + ox] + rest * fill[2] + half)
                out[i, 3, oy, ox] = np.uint8(np.float32(255.0) * cover + half)
        for row in range(low, high + 1):
            for k in range(taps * wide):
                patch[row, k] = np.float32(0.0)


def cut_windows(
    rgb: NDArray[np.uint8], members: Members, window_px: int, stored_px: int, fill_rgb: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut the window of every entity or band.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    members : Members
        K lists of pixels, none empty.
    window_px, stored_px : int
        Side of the crop in the tile, and of the window stored.

    Returns
    -------
    windows : (K, 4, stored_px, stored_px) uint8
        RGB and coverage.
    centres : (K, 2) float64
        Centroids x, y in pixels of the tile.
    """
    rows, weights, columns, spots = _spread_taps(window_px, stored_px)
    patch = np.zeros((window_px, columns.size), np.float32)
    line, fill = np.empty(4 * stored_px, np.float32), np.array((*fill_rgb, 0), np.float32)
    windows, centres = np.empty((len(members), 4, stored_px, stored_px), np.uint8), np.empty((len(members), 2))
    _cut(rgb, members.pixels, members.offsets, window_px, rows, weights, columns, spots, fill, patch, line, centres,
         windows)  # fmt: skip
    return windows, centres
