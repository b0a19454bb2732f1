"""Descriptors: short colour, texture and shape statistics of every entity and band, at the tile's resolution.

The same numbers are computed for vertices (pixels of the entity) and edges (pixels of the band). They are
the part of an entity that a small auto-encoder does not carry (`docs/method.md`). New ones are only ever appended: a
model takes the first of them, as many as it learnt from.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .adjacency import Members
from .coherence import coherence
from .colour import blur
from .texture import RING_1, RING_2, TABLE_1, TABLE_2, dark_regions, patterns, peaks, rough_areas

_MOMENTS = ("lightness", "red-green", "blue-yellow", "haematoxylin", "eosin", "gradient", "fine", "middle", "coarse")
LAYERS = 12  # planes of float32 that `describe` reads
_STAIN_EDGES = np.array([0.05, 0.15, 0.3], np.float32)
_NUCLEUS_PX = 2.5, 5.0  # sigmas of the difference of Gaussians that answers to nuclei at 0.5 um/px
_SEED_RADIUS_PX = 4
_PALE_BLOB = 0.02
_BINS_2 = 18  # patterns of 16 pixels; those of 8 have 10
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
    *(f"{name} coherence {where}" for name in ("near", "wide") for where in ("mean", "at edges", "of dark")),
)


def planes_for(
    rgb: NDArray[np.uint8], planes: NDArray[np.float32], room: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Texture planes of a tile.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    planes : (5, H, W) float32
        L, a, b, haematoxylin, eosin.
    room : (LAYERS, H, W) float32, optional
        Becomes `smooth`; its first five are `planes`.

    Returns
    -------
    smooth : (LAYERS, H, W) float32
        The nine planes of which mean and spread are taken, the rough nuclear area, near and wide coherence.
    coded : (2, H, W) uint8
        Patterns of 8 and 16 pixels as one number; levels of haematoxylin and eosin (2 bits each) with dark blob,
        pale blob, dark pixel, border of dark pixels (1 bit each).
    """
    stain = np.ascontiguousarray(planes[3:4])
    fine, small, large = (blur(stain, sigma)[0] for sigma in (1.0, *_NUCLEUS_PX))
    grey = rgb[:, :, 0].astype(np.int32) + rgb[:, :, 1] + rgb[:, :, 2]
    dark, labels, count = dark_regions(fine)
    blobs = small - large
    seeds = peaks(blobs, 0.0, _SEED_RADIUS_PX) & dark
    pale = peaks(-blobs, _PALE_BLOB, _SEED_RADIUS_PX) & (1 - dark)
    areas = rough_areas(dark, seeds, labels, count)
    coded = np.empty((2, *grey.shape), np.uint8)
    smooth = np.concatenate([planes, np.empty((LAYERS - 5, *grey.shape), np.float32)]) if room is None else room
    rings = patterns(grey, ((RING_1, TABLE_1), (RING_2, TABLE_2)))
    coherence(fine, smooth[10:])
    _layers(fine, small, blobs, areas, labels, dark, seeds, pale, rings, _STAIN_EDGES, smooth, coded)
    return smooth, coded


@njit(cache=True, nogil=True)
def _layers(fine, small, blobs, areas, labels, dark, seeds, pale, rings, cuts, smooth, coded):  # type: ignore[no-untyped-def]
    """Fill planes 5 to 9 of `smooth`, whose first five are given, and `coded`."""
    height, width = fine.shape
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        light, up, down = smooth[0, y], smooth[0, above], smooth[0, below]
        inside, inside_up, inside_down = dark[y], dark[above], dark[below]
        edge, rim = smooth[5, y], coded[1, y]
        for x in range(1, width - 1):
            dx, dy = light[x + 1] - light[x - 1], down[x] - up[x]
            edge[x] = np.sqrt(dx * dx + dy * dy)
            rim[x] = inside[x] & ~(inside_up[x] & inside_down[x] & inside[x - 1] & inside[x + 1])
        for x in (0, width - 1):
            left, right = max(x - 1, 0), min(x + 1, width - 1)
            dx, dy = light[right] - light[left], down[x] - up[x]
            edge[x] = np.sqrt(dx * dx + dy * dy)
            rim[x] = inside[x] & ~(inside_up[x] & inside_down[x] & inside[left] & inside[right])
        blue, pink, one, two, three = smooth[3, y], smooth[4, y], fine[y], small[y], blobs[y]
        for x in range(width):
            smooth[6, y, x] = abs(blue[x] - one[x])
            smooth[7, y, x] = abs(one[x] - two[x])
            smooth[8, y, x] = abs(three[x])
        for x in range(width):
            smooth[9, y, x] = areas[labels[y, x]] if inside[x] else np.float32(0.0)
        for x in range(width):
            level = np.uint8(blue[x] > cuts[0]) + np.uint8(blue[x] > cuts[1]) + np.uint8(blue[x] > cuts[2])
            other = np.uint8(pink[x] > cuts[0]) + np.uint8(pink[x] > cuts[1]) + np.uint8(pink[x] > cuts[2])
            rim[x] = level | other << 2 | seeds[y, x] << 4 | pale[y, x] << 5 | inside[x] << 6 | rim[x] << 7
            coded[0, y, x] = rings[0, y, x] * _BINS_2 + rings[1, y, x]


@njit(cache=True, nogil=True, error_model="numpy")
def _moments(total, square, n):  # type: ignore[no-untyped-def]
    """Mean and standard deviation of `n` values from their sum and their sum of squares."""
    mean = total / n
    return mean, np.sqrt(max(square / n - mean * mean, 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def _describe(smooth, coded, pixels, offsets, width, times, out):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Descriptors of the member lists into `out` (K, len(NAMES)), which is all zeros; order as NAMES.

    `times` (2, 256) counts how often each value of the two planes of `coded` occurs in a member.
    """
    for i in range(offsets.size - 1):
        row, begin, end = out[i], offsets[i], offsets[i + 1]
        for code in range(256):
            times[0, code] = times[1, code] = 0
        sx = sy = sxx = syy = sxy = inner = 0
        y = pixels[begin] // width
        after, last = (y + 1) * width, -2
        for k in range(begin, end):
            p = pixels[k]
            times[0, coded[0, p]] += 1
            times[1, coded[1, p]] += 1
            while p >= after:
                after += width
                y += 1
            x = p - after + width
            sx, sy = sx + x, sy + y
            sxx, syy, sxy = sxx + x * x, syy + y * y, sxy + x * y
            inner += p == last + 1
            last = p
        n, dark = end - begin, 0
        for code in range(256):
            found = times[1, code]
            row[18 + (code & 3)] += found
            row[22 + (code >> 2 & 3)] += found
            row[54] += (code >> 4 & 1) * found
            row[55] += (code >> 5 & 1) * found
            dark += (code >> 6 & 1) * found
            row[57] += (code >> 7) * found
        for code in range(10 * _BINS_2):
            row[26 + code // _BINS_2] += times[0, code]
            row[36 + code % _BINS_2] += times[0, code]
        for k in range(18, 54):
            row[k] /= n
        row[54] *= 100.0 / n
        row[55] *= 100.0 / n
        row[56] = dark / n
        row[57] /= max(dark, 1)
        for c in range(0, 10, 2):
            first, second = smooth[c], smooth[c + 1]
            total_1 = total_2 = square_1 = square_2 = 0.0
            for k in range(begin, end):
                p = np.uint32(pixels[k])
                value_1, value_2 = np.float64(first[p]), np.float64(second[p])
                total_1 += value_1
                total_2 += value_2
                square_1 += value_1 * value_1
                square_2 += value_2 * value_2
            row[c], row[9 + c] = _moments(total_1, square_1, n)
            if c < 8:
                row[c + 1], row[10 + c] = _moments(total_2, square_2, n)
            else:
                row[58], row[59] = _moments(total_2, square_2, max(dark, 1))
        near, wide, steep = smooth[10], smooth[11], smooth[5]
        near_sum = near_steep = near_dark = wide_sum = wide_steep = wide_dark = all_steep = 0.0
        for k in range(begin, end):
            p = np.uint32(pixels[k])
            first_value, second_value, edge = np.float64(near[p]), np.float64(wide[p]), np.float64(steep[p])
            inside = coded[1, p] >> 6 & 1
            near_sum, wide_sum, all_steep = near_sum + first_value, wide_sum + second_value, all_steep + edge
            near_steep, wide_steep = near_steep + edge * first_value, wide_steep + edge * second_value
            near_dark, wide_dark = near_dark + inside * first_value, wide_dark + inside * second_value
        row[63], row[66] = near_sum / n, wide_sum / n
        row[64], row[67] = near_steep / max(all_steep, 1e-6), wide_steep / max(all_steep, 1e-6)
        row[65], row[68] = near_dark / max(dark, 1), wide_dark / max(dark, 1)
        row[60] = np.log(n)
        mx, my = sx / n, sy / n
        vx, vy, vxy = sxx / n - mx * mx + 1 / 12, syy / n - my * my + 1 / 12, sxy / n - float(sx) * sy / n / n
        gap = np.sqrt((vx - vy) ** 2 + 4 * vxy * vxy)
        row[61] = 1.0 - np.sqrt(max(vx + vy - gap, 0.0) / (vx + vy + gap))
        row[62] = (n - inner) / np.sqrt(n)


def describe(smooth: NDArray[np.float32], coded: NDArray[np.uint8], members: Members) -> NDArray[np.float16]:
    """Descriptors (K, len(NAMES)) float16 of the entities or bands in `members`."""
    rows, times = np.zeros((len(members), len(NAMES)), np.float32), np.empty((2, 256), np.int32)
    width = smooth.shape[2]
    _describe(smooth.reshape(LAYERS, -1), coded.reshape(2, -1), members.pixels, members.offsets, width, times, rows)
    return rows.astype(np.float16)
