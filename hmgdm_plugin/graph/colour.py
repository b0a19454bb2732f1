"""Colour planes of a tile: CIE Lab and haematoxylin / eosin optical densities, and Gaussian blur.

Lab follows CIE 1976 with the D65 white point; the stain vectors are Ruifrok and Johnston's (2001).
All planes are float32 (H, W); kernels are serial, so that the same pixels give the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

FloatPlane = NDArray[np.float32]

_CUBE_STEPS = 4096
_RGB_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
) / np.array([[0.95047], [1.0], [1.08883]])
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])


def _linear_table() -> FloatPlane:
    """SRGB byte > linear light."""
    s = np.arange(256) / 255.0
    return np.where(s > 0.04045, ((s + 0.055) / 1.055) ** 2.4, s / 12.92).astype(np.float32)


def _cube_table() -> FloatPlane:
    """f(t) of CIE Lab on [0, 1] in equal steps; one more entry for interpolation."""
    t = np.arange(_CUBE_STEPS + 2) / _CUBE_STEPS
    return np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16.0 / 116.0).astype(np.float32)


LINEAR, CUBE = _linear_table(), _cube_table()
DENSITY = (-np.log10(np.maximum(np.arange(256), 1) / 255.0)).astype(np.float32)
XYZ = _RGB_TO_XYZ.astype(np.float32)
UNMIX = np.linalg.inv(_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)).astype(np.float32)


@njit(cache=True, nogil=True)
def _lab_and_stains(rgb, linear, cube, xyz, density, unmix, out):  # type: ignore[no-untyped-def]
    """RGB (H, W, 3) uint8 as planes (5, H, W) in `out`: L, a, b, haematoxylin, eosin (optical density)."""
    top, one, next_k = np.float32(cube.size - 2), np.float32(1.0), np.uint32(1)
    for y in range(rgb.shape[0]):
        for x in range(rgb.shape[1]):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            lr, lg, lb = linear[r], linear[g], linear[b]
            t0 = min(xyz[0, 0] * lr + xyz[0, 1] * lg + xyz[0, 2] * lb, one) * top
            t1 = min(xyz[1, 0] * lr + xyz[1, 1] * lg + xyz[1, 2] * lb, one) * top
            t2 = min(xyz[2, 0] * lr + xyz[2, 1] * lg + xyz[2, 2] * lb, one) * top
            k0, k1, k2 = np.uint32(t0), np.uint32(t1), np.uint32(t2)
            f0 = cube[k0] + (t0 - np.float32(k0)) * (cube[k0 + next_k] - cube[k0])
            f1 = cube[k1] + (t1 - np.float32(k1)) * (cube[k1 + next_k] - cube[k1])
            f2 = cube[k2] + (t2 - np.float32(k2)) * (cube[k2 + next_k] - cube[k2])
            out[0, y, x] = np.float32(116.0) * f1 - np.float32(16.0)
            out[1, y, x] = np.float32(500.0) * (f0 - f1)
            out[2, y, x] = np.float32(200.0) * (f1 - f2)
            dr, dg, db = density[r], density[g], density[b]
            out[3, y, x] = dr * unmix[0, 0] + dg * unmix[1, 0] + db * unmix[2, 0]
            out[4, y, x] = dr * unmix[0, 1] + dg * unmix[1, 1] + db * unmix[2, 1]


@njit(cache=True, nogil=True)
def _blur(planes, taps, radius, line, rows, out):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Convolve planes (C, H, W) with `taps` along both axes into `out`; edges are repeated.

    The 2 radius + 1 taps are filled up with zeros to a multiple of four, `line` and `rows` are zeros as much longer.
    Unsigned indices in place of slices: a slice costs as much as weighing a row.
    """
    count, height, width = planes.shape
    none, one, two, three, four = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    wide, high, reach = np.uint64(width), np.uint64(height), np.uint64(taps.size)
    for c in range(count):
        for y in range(height):
            source = planes[c, y]
            for x in range(width):
                line[radius + x] = source[x]
            for x in range(radius):
                line[x], line[radius + width + x] = source[0], source[width - 1]
            row = rows[radius + y]
            for x in range(width):
                row[x] = np.float32(0.0)
            for k in range(none, reach, four):
                k1, k2, k3 = k + one, k + two, k + three
                t0, t1, t2, t3 = taps[k], taps[k1], taps[k2], taps[k3]
                for x in range(wide):
                    row[x] = row[x] + t0 * line[x + k] + t1 * line[x + k1] + t2 * line[x + k2] + t3 * line[x + k3]
        for y in range(radius):
            for x in range(width):
                rows[y, x] = rows[radius, x]
                rows[radius + height + y, x] = rows[radius + height - 1, x]
        for y in range(high):
            target = out[c, y]
            for x in range(width):
                target[x] = np.float32(0.0)
            for k in range(none, reach, four):
                t0, t1, t2, t3 = taps[k], taps[k + one], taps[k + two], taps[k + three]
                y0, y1, y2, y3 = y + k, y + k + one, y + k + two, y + k + three
                for x in range(wide):
                    target[x] = target[x] + t0 * rows[y0, x] + t1 * rows[y1, x] + t2 * rows[y2, x] + t3 * rows[y3, x]


def planes_of(rgb: NDArray[np.uint8], out: FloatPlane | None = None) -> FloatPlane:
    """RGB (H, W, 3) uint8 as float32 planes (5, H, W), in `out` where it is given: L, a, b, haematoxylin, eosin."""
    out = np.empty((5, *rgb.shape[:2]), np.float32) if out is None else out
    _lab_and_stains(np.ascontiguousarray(rgb), LINEAR, CUBE, XYZ, DENSITY, UNMIX, out)
    return out


def blur(planes: FloatPlane, sigma_px: float) -> FloatPlane:
    """Gaussian blur of planes (C, H, W), truncated at 3 sigma, edges repeated."""
    if sigma_px <= 0:
        return planes
    radius = math.ceil(3 * sigma_px)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    filled = np.zeros(math.ceil(taps.size / 4) * 4, np.float32)
    filled[: taps.size] = taps / taps.sum()
    height, width = planes.shape[1:]
    line, rows = np.zeros(width + filled.size, np.float32), np.zeros((height + filled.size, width), np.float32)
    out = np.empty_like(planes)
    _blur(np.ascontiguousarray(planes), filled, radius, line, rows, out)
    return out
