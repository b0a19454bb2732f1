"""Instance windows: a fixed crop around every entity or band, everything outside the instance one colour.

Windows are reduced from `window_px` to `stored_px` by exact area averaging; the fourth channel is the share
of each stored pixel that the instance covers (0..255). Where it is 0 the pixel equals the fill colour, where
it is 255 it equals the reduced image.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .adjacency import Members


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


@njit(cache=True, nogil=True)
def _centres(pixels, offsets, width):  # type: ignore[no-untyped-def]
    """Mean x, y of every member list, in pixels of the tile; pixel i covers [i, i + 1)."""
    out = np.empty((offsets.size - 1, 2), np.float64)
    for i in range(offsets.size - 1):
        sx = sy = 0
        for k in range(offsets[i], offsets[i + 1]):
            sy += pixels[k] // width
            sx += pixels[k] % width
        n = offsets[i + 1] - offsets[i]
        out[i, 0] = sx / n + 0.5
        out[i, 1] = sy / n + 0.5
    return out


@njit(cache=True, nogil=True)
def _cut(rgb, pixels, offsets, centres, window, index, share, fill):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Windows (K, 4, S, S) uint8 of the member lists."""
    count, width = offsets.size - 1, rgb.shape[1]
    stored, taps = index.shape
    out = np.empty((count, 4, stored, stored), np.uint8)
    inside = np.zeros((window, window), np.uint8)
    for i in range(count):
        x0 = int(np.floor(centres[i, 0] - window / 2 + 0.5))
        y0 = int(np.floor(centres[i, 1] - window / 2 + 0.5))
        for oy in range(stored):
            for ox in range(stored):
                for c in range(3):
                    out[i, c, oy, ox] = fill[c]
                out[i, 3, oy, ox] = 0
        for y in range(window):
            for x in range(window):
                inside[y, x] = 0
        low_y, high_y, low_x, high_x = window, -1, window, -1
        for k in range(offsets[i], offsets[i + 1]):
            y, x = pixels[k] // width - y0, pixels[k] % width - x0
            if 0 <= y < window and 0 <= x < window:
                inside[y, x] = 1
                low_y, high_y = min(low_y, y), max(high_y, y)
                low_x, high_x = min(low_x, x), max(high_x, x)
        for oy in range(stored):
            if index[oy, taps - 1] < low_y or index[oy, 0] > high_y:
                continue
            for ox in range(stored):
                if index[ox, taps - 1] < low_x or index[ox, 0] > high_x:
                    continue
                r = g = b = cover = np.float32(0.0)
                for a in range(taps):
                    y = index[oy, a]
                    for e in range(taps):
                        x = index[ox, e]
                        if inside[y, x]:
                            w = share[oy, a] * share[ox, e]
                            cover += w
                            r += w * rgb[y0 + y, x0 + x, 0]
                            g += w * rgb[y0 + y, x0 + x, 1]
                            b += w * rgb[y0 + y, x0 + x, 2]
                rest, half = np.float32(1.0) - cover, np.float32(0.5)
                out[i, 0, oy, ox] = np.uint8(r + rest * fill[0] + half)
                out[i, 1, oy, ox] = np.uint8(g + rest * fill[1] + half)
                out[i, 2, oy, ox] = np.uint8(b + rest * fill[2] + half)
                out[i, 3, oy, ox] = np.uint8(np.float32(255.0) * cover + half)
    return out


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
    centres = _centres(members.pixels, members.offsets, rgb.shape[1])
    index, share = area_taps(window_px, stored_px)
    fill = np.array(fill_rgb, np.float32)
    windows = _cut(rgb, members.pixels, members.offsets, centres, window_px, index, share, fill)
    return windows, centres
