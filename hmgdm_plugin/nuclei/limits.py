"""What becomes 0 and 1: percentiles of each channel, from counts, so that a slide's tiles can be added up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def histogram(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Pixels of each value in each channel: (3, 256), of (H, W, 3) uint8; histograms of tiles add up."""
    return np.stack([np.bincount(rgb[..., channel].reshape(-1), minlength=256) for channel in range(3)])


def limits_of(counts: NDArray[np.int64], percentiles: tuple[float, float]) -> NDArray[np.float32]:
    """Percentiles of each channel, as `numpy.percentile` finds them: (2, 3), of a histogram (3, 256) of any pixel."""
    at = np.array(percentiles) / 100 * (counts[0].sum() - 1)  # where the percentiles stand among the sorted pixels
    below = np.floor(at)
    cumulated = counts.cumsum(axis=1)  # (3, 256)
    low, high = (
        np.stack([np.searchsorted(channel, place, side="right") for channel in cumulated], axis=1)
        for place in (below, np.ceil(at))
    )
    return (low + (high - low) * (at - below)[:, None]).astype(np.float32)
