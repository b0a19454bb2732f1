"""Whether a probability means what it says: reliability, its error, and the temperature that mends it (Guo 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 10
HOTTEST = 20.0
SPREAD = 0.5


def temperature(truth: NDArray[np.int64], guess: Floats, patients: Sequence[str]) -> float:
    """What to divide the logarithms of `guess` (n, classes) by so that the log loss is least.

    Rows of a patient are alike, so every patient counts once; and a few patients cannot tell much, so the logarithm of
    the temperature has a normal prior around 0, of deviation `SPREAD`, which many patients outweigh.
    """
    from scipy.optimize import minimize_scalar

    _, whose = np.unique(np.asarray(patients, str), return_inverse=True)
    share = 1 / np.bincount(whose)[whose] if len(whose) else np.zeros(0)

    def loss(log_t: float) -> float:
        chances = tempered(guess, float(np.exp(log_t)))[np.arange(len(truth)), truth]
        return float(-(share * np.log(np.maximum(chances, 1e-12))).sum() + log_t**2 / (2 * SPREAD**2))

    limit = np.log(HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x))


def tempered(guess: Floats, degrees: float) -> Floats:
    """Probabilities (n, classes) after division of their logarithms by `degrees`."""
    logits = np.log(np.maximum(guess, 1e-12)) / degrees
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def tempered_by_others(
    truth: NDArray[np.int64], guess: Floats, patients: Sequence[str], folds: NDArray[np.int64]
) -> Floats:
    """`guess` (n, classes) tempered fold by fold, each with the temperature of the rows in the other folds."""
    names, out = np.asarray(patients, str), np.empty_like(guess)
    for fold in np.unique(folds):
        own = folds == fold
        out[own] = tempered(guess[own], temperature(truth[~own], guess[~own], list(names[~own])))
    return out


def reliability(truth: NDArray[np.int64], guess: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean confidence, share right and count of each of ten equal bins of confidence that holds any row."""
    sure, right, place = _binned(truth, guess)
    count = np.bincount(place, minlength=BINS).astype(np.float64)
    used = count > 0
    means = [np.bincount(place, each, minlength=BINS)[used] / count[used] for each in (sure, right)]
    return means[0], means[1], count[used]


def ece(truth: NDArray[np.int64], guess: Floats, weights: Floats) -> Floats:
    """Expected calibration error (b,): mean gap between confidence and share right; a `metrics.Metric`."""
    sure, right, place = _binned(truth, guess)
    gaps = weights @ (np.eye(BINS)[place] * (right - sure)[:, None])  # (b, bins)
    return np.abs(gaps).sum(1) / weights.sum(1)


def _binned(truth: NDArray[np.int64], guess: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    sure = guess.max(1)
    right = (guess.argmax(1) == truth).astype(np.float64)
    return sure, right, np.minimum((sure * BINS).astype(np.int64), BINS - 1)
