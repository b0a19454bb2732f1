"""How sure a number is: percentile bootstrap over patients (Efron 1979), alone and for paired differences.

Tiles of one patient are alike, so patients are drawn, not tiles. Two embeddings are compared on the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def resamples(patients: Sequence[str] | NDArray[np.str_], n: int = 2000, seed: int = 0) -> Floats:
    """Times that each row appears in the data and in each draw of as many patients.

    Returns
    -------
    (1 + n, rows) float64; row 0 is the data itself, all ones. The same seed gives the same draws.
    """
    unique, rows = np.unique(np.asarray(patients, str), return_inverse=True)
    share = np.full(len(unique), 1 / len(unique))
    counts = np.random.default_rng(seed).multinomial(len(unique), share, size=n)
    return np.vstack([np.ones((1, len(rows))), counts[:, rows]])


def interval(draws: Floats) -> Interval:
    """Value (draw 0, the data itself) and 95 % interval (the other draws) of a metric.

    Parameters
    ----------
    draws : (1 + n,)
        ``metric(truth, guess, weights)`` with a metric of `training.metrics` and weights of `resamples`. Draws without
        a patient of some class, for which the metric is undefined, are left out. The predictions stay as they are:
        the interval tells of the patients judged, not of those trained on.
    """
    defined = draws[1:][np.isfinite(draws[1:])]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined.size else (np.nan, np.nan)
    return Interval(float(draws[0]), float(low), float(high))


def paired(draws: Floats, reference: Floats) -> Interval:
    """Difference of two embeddings on the same draws of patients, with its interval; arguments as `interval`."""
    return interval(draws - reference)
