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
def lab_and_stains(rgb, linear, cube, xyz, density, unmix):  # type: ignore[no-untyped-def]
    """RGB (H, W, 3) uint8 as planes (5, H, W): L, a, b, haematoxylin, eosin (optical density)."""
    height, width = rgb.shape[0], rgb.shape[1]
    out = np.empty((5, height, width), np.float32)
    top = np.float32(cube.size - 2)
    f = np.empty(3, np.float32)
    for y in range(height):
        for x in range(width):
            r, g, b = rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2]
            for i in range(3):
                t = min(xyz[i, 0] * linear[r] + xyz[i, 1] * linear[g] + xyz[i, 2] * linear[b], np.float32(1.0)) * top
                k = int(t)
                f[i] = cube[k] + (t - np.float32(k)) * (cube[k + 1] - cube[k])
            out[0, y, x] = np.float32(116.0) * f[1] - np.float32(16.0)
            out[1, y, x] = np.float32(500.0) * (f[0] - f[1])
            out[2, y, x] = np.float32(200.0) * (f[1] - f[2])
            for s in range(2):
                out[3 + s, y, x] = density[r] * unmix[0, s] + density[g] * unmix[1, s] + density[b] * unmix[2, s]
    return out


@njit(cache=True, nogil=True)
def _blur(planes, taps):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Convolve planes (C, H, W) with symmetric `taps` along both axes; edges are repeated."""
    count, height, width = planes.shape
    radius = taps.size // 2
    out = np.empty_like(planes)
    rows = np.empty((height + 2 * radius, width), np.float32)
    line = np.empty(width + 2 * radius, np.float32)
    for c in range(count):
        for y in range(height):
            for x in range(width + 2 * radius):
                line[x] = planes[c, y, min(max(x - radius, 0), width - 1)]
            row = rows[y + radius]
            for x in range(width):
                row[x] = np.float32(0.0)
            for k in range(taps.size):
                weight = taps[k]
                for x in range(width):
                    row[x] += weight * line[x + k]
        for y in range(radius):
            for x in range(width):
                rows[y, x] = rows[radius, x]
                rows[radius + height + y, x] = rows[radius + height - 1, x]
        for y in range(height):
            target = out[c, y]
            for x in range(width):
                target[x] = np.float32(0.0)
            for k in range(taps.size):
                weight, source = taps[k], rows[y + k]
                for x in range(width):
                    target[x] += weight * source[x]
    return out


def planes_of(rgb: NDArray[np.uint8]) -> FloatPlane:
    """RGB (H, W, 3) uint8 as float32 planes (5, H, W): L, a, b, haematoxylin, eosin."""
    planes: FloatPlane = lab_and_stains(np.ascontiguousarray(rgb), LINEAR, CUBE, XYZ, DENSITY, UNMIX)
    return planes


def blur(planes: FloatPlane, sigma_px: float) -> FloatPlane:
    """Gaussian blur of planes (C, H, W), truncated at 3 sigma, edges repeated."""
    if sigma_px <= 0:
        return planes
    radius = math.ceil(3 * sigma_px)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma_px) ** 2)
    blurred: FloatPlane = _blur(np.ascontiguousarray(planes), (taps / taps.sum()).astype(np.float32))
    return blurred
