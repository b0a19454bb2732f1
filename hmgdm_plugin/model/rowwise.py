"""Layer norm and GELU of float32 rows on a processor, both ways, compiled: for kernels that go on from there.

GELU is the exact one, its error function by Abramowitz and Stegun 7.1.26, 1.5e-7 off at most.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .mixing import power_of_2

FAST = {"contract", "reassoc", "nsz", "arcp"}  # what is not a number has to stay so
HALF_LOG2_E = np.float32(0.72134752)
AT = np.float32(0.3275911 / np.sqrt(2))
TAIL = tuple(np.float32(each / 2) for each in (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429))
DENSITY = np.float32(0.3989423)  # of the normal distribution at 0


@njit(cache=True, nogil=True, fastmath=FAST)
def _bell(x: Any) -> Any:
    """exp(-x²/2)."""
    return power_of_2(-x * x * HALF_LOG2_E)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _share(x: Any, bell: Any) -> Any:
    """Share of the normal distribution below x."""
    t = np.float32(1) / (np.float32(1) + AT * abs(x))
    tail = bell * t * (TAIL[0] + t * (TAIL[1] + t * (TAIL[2] + t * (TAIL[3] + t * TAIL[4]))))
    return np.float32(1) - tail if x > 0 else tail


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def centre(rows: Any, first: int, few: int, eps: Any, centres: Any) -> None:
    """Fill `centres` (2, R) with the mean of `few` rows and the inverse of their deviation."""
    width = rows.shape[1]
    for row in range(first, first + few):
        total = np.float32(0)
        for column in range(width):
            total += rows[row, column]
        mean, square = total / np.float32(width), np.float32(0)
        for column in range(width):
            square += (rows[row, column] - mean) ** 2
        centres[0, row] = mean
        centres[1, row] = np.float32(1) / np.sqrt(square / np.float32(width) + eps)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def prepare(
    rows: Any, first: int, few: int, norm: bool, active: bool, scales: Any, centres: Any, made: Any, slope: Any
) -> None:
    """Put ``GELU(norm(rows))`` of a block in `made` and, where `slope` has rows, the slope of the GELU in it."""
    width = rows.shape[1]
    for line in range(few):
        row = first + line
        if norm:
            mean, inverse = centres[0, row], centres[1, row]
            for column in range(width):
                made[line, column] = (rows[row, column] - mean) * inverse * scales[0, column] + scales[1, column]
        else:
            for column in range(width):
                made[line, column] = rows[row, column]
        if not active:
            continue
        if slope.shape[0]:
            for column in range(width):
                x = made[line, column]
                bell = _bell(x)
                below = _share(x, bell)
                made[line, column] = x * below
                slope[line, column] = below + x * bell * DENSITY
        else:
            for column in range(width):
                x = made[line, column]
                made[line, column] = x * _share(x, _bell(x))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def unprepare(
    rows: Any,
    first: int,
    few: int,
    norm: bool,
    active: bool,
    scales: Any,
    centres: Any,
    slope: Any,
    back: Any,
    to_scales: Any,
    to_rows: Any,
) -> None:
    """Put the gradient of a block of rows in `to_rows` from that of what `prepare` made, `back`, which is overwritten.

    Adds to the gradients of scale and shift, `to_scales` (2, k).
    """
    for line in range(few):
        row, own = first + line, back[line]
        if active:
            for column in range(len(own)):
                own[column] *= slope[line, column]
        if norm:
            _unnorm(rows[row], centres[0, row], centres[1, row], own, scales, to_scales, to_rows[row])
        else:
            for column in range(len(own)):
                to_rows[row, column] = own[column]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _unnorm(row: Any, mean: Any, inverse: Any, back: Any, scales: Any, to_scales: Any, to_row: Any) -> None:
    """Gradient of a row from that of its norm, `back`; adds to those of scale and shift."""
    width = row.shape[0]
    total, along = np.float32(0), np.float32(0)
    for column in range(width):
        change = back[column] * scales[0, column]
        total += change
        along += change * (row[column] - mean)
    for column in range(width):
        to_scales[0, column] += back[column] * ((row[column] - mean) * inverse)
        to_scales[1, column] += back[column]
    total, along = total / np.float32(width), along * inverse / np.float32(width)
    for column in range(width):
        unit = (row[column] - mean) * inverse
        to_row[column] = (back[column] * scales[0, column] - total - unit * along) * inverse
