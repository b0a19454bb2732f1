"""Metrics of out-of-fold predictions, with weights, so that a bootstrap is one matrix product.

Every metric is a function of `truth` (n,), `guess` (n,) or (n, classes) and `weights` (b, n), and gives (b,):
row b is the metric of the resample that holds row i of the data `weights[b, i]` times. NaN where it is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Metric = Callable[[Any, Floats, Floats], Floats]


def r2(truth: Floats, guess: Floats, weights: Floats) -> Floats:
    """Explained variance against the resample's own mean."""
    total = weights.sum(1)
    mean = weights @ truth / total
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - weights @ (truth - guess) ** 2 / (weights @ truth**2 - total * mean**2)


def mae(truth: Floats, guess: Floats, weights: Floats) -> Floats:
    """Mean absolute error, in the unit of `truth`."""
    return weights @ np.abs(truth - guess) / weights.sum(1)


def spearman(truth: Floats, guess: Floats, weights: Floats) -> Floats:
    """Rank correlation, ties at their middle rank."""
    a, b = (_rank(values, weights) for values in (truth, guess))
    total = weights.sum(1, keepdims=True)
    a, b = (r - (weights * r).sum(1, keepdims=True) / total for r in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights * a * b).sum(1) / np.sqrt((weights * a**2).sum(1) * (weights * b**2).sum(1))


def accuracy(truth: NDArray[np.int64], guess: Floats, weights: Floats) -> Floats:
    """Share of rows whose likeliest class is the true one; `guess` (n, classes)."""
    return weights @ (guess.argmax(1) == truth).astype(np.float64) / weights.sum(1)


def macro_f1(truth: NDArray[np.int64], guess: Floats, weights: Floats) -> Floats:
    """F1 averaged over the classes that the resample holds or guesses; `guess` (n, classes)."""
    classes = np.arange(guess.shape[1])
    true, said = (np.equal.outer(v, classes).astype(np.float64) for v in (truth, guess.argmax(1)))
    both, either = weights @ (true * said), weights @ (true + said)  # (b, classes)
    scores = np.divide(2 * both, either, out=np.full_like(both, np.nan), where=either > 0)
    return np.nanmean(scores, axis=1)


def auroc(truth: NDArray[np.int64], guess: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve, mean over the classes one against the rest; NaN where a class is absent."""
    classes = range(guess.shape[1]) if guess.shape[1] > 2 else (1,)
    return np.mean([_area((truth == c).astype(np.float64), guess[:, c], weights) for c in classes], axis=0)


def per_patient(
    truth: NDArray[np.int64], guess: Floats, patients: NDArray[np.str_]
) -> tuple[NDArray[np.int64], Floats, NDArray[np.str_]]:
    """Mean probability of each patient: truth (p,), guess (p, classes) and the patients (p,)."""
    unique, first, rows = np.unique(patients, return_index=True, return_inverse=True)
    total = np.zeros((len(unique), guess.shape[1]))
    np.add.at(total, rows, guess)
    return truth[first], total / np.bincount(rows)[:, None], unique


def mean_by_patient(values: Floats, patients: Sequence[str], weights: Floats) -> Floats:
    """Mean of `values` (n,) in each resample (b,), where every patient counts as one, however many rows it has."""
    _, whose = np.unique(np.asarray(patients, str), return_inverse=True)
    alike = weights / np.bincount(whose)[whose]
    return alike @ values / alike.sum(1)


def _area(positive: Floats, score: Floats, weights: Floats) -> Floats:
    """Chance that a positive scores above a negative, ties half."""
    yes, no = weights * positive, weights * (1 - positive)
    pairs = yes.sum(1) * no.sum(1)
    won = (yes * _rank(score, no)).sum(1)
    return np.divide(won, pairs, out=np.full_like(won, np.nan), where=pairs > 0)


def _rank(values: Floats, weights: Floats) -> Floats:
    """Weight below each value plus half of the weight at it, its own included: (b, n)."""
    order = np.argsort(values, kind="stable")
    _, first, place = np.unique(values[order], return_index=True, return_inverse=True)
    mass = np.add.reduceat(weights[:, order], first, axis=1)  # (b, distinct values)
    ranks = np.empty_like(weights)
    ranks[:, order] = (np.cumsum(mass, axis=1) - mass / 2)[:, place]
    return ranks
