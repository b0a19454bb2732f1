"""What the ends of a colour scale stand for: the same in the report, in the window and in QuPath (Scale.groovy)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

LOWEST, HIGHEST = 2, 98  # percentiles: one stray tile must not swallow the colours
LEAST = 0.1  # of the larger value: what differs by less looks alike, as it is, instead of filling the whole scale


def shades(values: ArrayLike) -> tuple[float, float]:
    """Ends of the scale for `values` (any shape): their 2nd and 98th percentile, at least a tenth of the larger apart.

    A map of 7.0 to 7.1 would otherwise look as dramatic as one of 1 to 100. NaN and infinite values do not count;
    without any value the scale is 0 to 1, and zero everywhere lies in the middle of a scale that is 1 long.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(each) for each in np.percentile(known, (LOWEST, HIGHEST)))
    least = LEAST * max(abs(low), abs(high))
    if high - low >= least > 0:
        return low, high
    middle, half = (low + high) / 2, (least or 1.0) / 2
    return middle - half, middle + half


def signed(values: ArrayLike) -> bool:
    """Whether `values` get two colours, with zero in the middle of the scale: one of them at least lies below zero."""
    known = np.asarray(values, np.float64)
    return bool((known[np.isfinite(known)] < 0).any())


def scale(values: ArrayLike) -> tuple[float, float]:
    """Ends of the scale as it is drawn: `shades`, even around zero where the values are `signed`."""
    low, high = shades(values)
    if not signed(values):
        return low, high
    end = max(-low, high)
    return -end, end
