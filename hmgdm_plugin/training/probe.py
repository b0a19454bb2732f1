"""Probes of frozen embeddings: ridge and logistic regression, judged by patient.

Features are standardised by the training fold. How strong to regularise is chosen on the training patients alone: for
ridge by leaving out each of them in turn, in closed form from one decomposition (the held-out residual of a block g is
(I - H_gg)^-1 r_g); for logistic regression in inner folds of patients, all strengths and inner folds in one batch.
The logistic solver works in singular directions, where Boehning's bound (1992) on the curvature is a diagonal, and
steps with Nesterov's momentum, restarted; it minimises sum(loss) + |w|^2 / (2 C), as scikit-learn does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .folds import Ints, patient_folds

ALPHAS = tuple(float(10**k) for k in range(6))
STRENGTHS = tuple(float(10**k) for k in range(-4, 1))  # C
INNER_FOLDS = 5
ITERATIONS = 300
TOLERANCE = 1e-5

Floats = NDArray[np.float64]


def repeated(
    fit: Callable[[Ints], Floats],
    patients: Sequence[str],
    n_folds: int,
    repeats: int = 5,
    seed: int = 0,
    classes: Sequence[str | float] | None = None,
) -> Floats:
    """Mean of `fit(folds)` over reshuffled patient folds; `fit` maps folds (n,) to out-of-fold predictions."""
    shuffles = (patient_folds(patients, n_folds, seed + i, classes) for i in range(repeats))
    return np.mean([fit(folds) for folds in shuffles], axis=0)


def ridge_by_patient(
    x: NDArray[np.floating],
    y: Floats,
    patients: Sequence[str],
    folds: Ints,
    alphas: Sequence[float] = ALPHAS,
) -> Floats:
    """Out-of-fold predictions of ridge regression.

    Parameters
    ----------
    x : (n, d) embeddings
    y : (n,) or (n, targets); each target has its own penalty
    patients : (n,) names
    folds : (n,) from `patient_folds`
    alphas : penalties to choose from, on standardised features

    Returns
    -------
    Predictions of the shape of `y`, kept within what the fold's training patients had, as heads do: a single blank tile
    would decide the score otherwise. A fold never sees its own patients, not even to choose its penalty.
    """
    names, targets = np.asarray(patients, str), y.reshape(len(y), -1).astype(np.float64)
    out = np.empty_like(targets)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        weight, bias = ridge_fit(x[train], targets[train], names[train], alphas)
        out[test] = np.clip(x[test] @ weight.T + bias, targets[train].min(0), targets[train].max(0))
    return out.reshape(y.shape)


def ridge_fit(
    x: NDArray[np.floating], y: Floats, patients: Sequence[str] | NDArray[np.str_], alphas: Sequence[float] = ALPHAS
) -> tuple[Floats, Floats]:
    """Ridge regression of `y` (n, targets): weights (targets, d) and bias (targets,) on the columns as they come.

    The penalty of each target is the one with the least error on left-out patients.
    """
    seen, centre, scale = _standardised(x)
    mean = y.mean(0)
    u, s2 = _decomposed(seen)
    best = _best_alpha(u, s2, y - mean, np.asarray(patients, str), alphas)  # (targets,)
    weight = (seen.T @ (u @ ((u.T @ (y - mean)) / (s2[:, None] + best)))).T * scale
    return weight, mean - weight @ centre


def logistic_by_patient(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    patients: Sequence[str],
    folds: Ints,
    strengths: Sequence[float] = STRENGTHS,
) -> Floats:
    """Out-of-fold class probabilities (n, classes) of multinomial logistic regression; `y` (n,) is 0..classes - 1.

    Inner folds are as many as the rarest class has training patients, at most 5. Other arguments as `ridge_by_patient`.
    """
    names = np.asarray(patients, str)
    out = np.empty((len(y), int(y.max()) + 1))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        weight, bias = logistic_fit(x[train], y[train], names[train], out.shape[1], strengths)
        out[test] = _softmax(x[test] @ weight.T + bias)
    return out


def logistic_fit(
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    patients: Sequence[str] | NDArray[np.str_],
    classes: int,
    strengths: Sequence[float] = STRENGTHS,
    balanced: bool = False,
) -> tuple[Floats, Floats]:
    """Multinomial logistic regression: weights (classes, d) and bias (classes,) on the columns as they come.

    The strength is the one with the least log loss on inner folds by patient. `balanced`: every class weighs as much as
    the rarest one, however many rows it has.
    """
    names, hot = np.asarray(patients, str), np.eye(classes)[y]
    seen, centre, scale = _standardised(x)
    u, s2 = _decomposed(seen)
    rotation = seen.T @ u / np.sqrt(s2)  # (d, r)
    inner = _inner_folds(names, y)
    weights = np.stack([*(inner != f for f in np.unique(inner)), np.ones(len(inner), bool)]).astype(np.float64)
    rows = class_weights(y, classes)[y] if balanced else np.ones(len(y))
    weights *= rows  # at most 1, so that the bound on the curvature still holds
    w = _logistic(seen @ rotation, s2, hot, weights, np.asarray(strengths))
    best = _best_strength(_with_bias(seen @ rotation), w, hot * rows[:, None], inner)
    weight = (rotation @ w[:-1, :, -1, best]).T * scale
    return weight, w[-1, :, -1, best] - weight @ centre


def class_weights(y: NDArray[np.integer], classes: int) -> Floats:
    """Weight of each class (classes,): the size of the rarest class that occurs over its own; 0 where it does not."""
    counts = np.bincount(y, minlength=classes).astype(np.float64)
    return np.divide(counts[counts > 0].min(), counts, out=np.zeros_like(counts), where=counts > 0)


def _standardised(x: NDArray[np.floating]) -> tuple[Floats, Floats, Floats]:
    """Rows by their own mean and deviation, that mean, and 1 / deviation; a feature constant to float32 becomes 0."""
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-5 * (np.abs(mean) + 1e-3))
    return (x - mean) * scale, mean, scale


def _decomposed(x: Floats) -> tuple[Floats, Floats]:
    """Left singular vectors (n, r) and squared singular values (r,), by the smaller Gram matrix."""
    wide = x.shape[1] > x.shape[0]
    s2, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    keep = s2 > 1e-9 * max(float(s2[-1]), 1e-30)
    u = vectors[:, keep] if wide else x @ vectors[:, keep] / np.sqrt(s2[keep])
    return u, s2[keep]


def _best_alpha(u: Floats, s2: Floats, y: Floats, patients: NDArray[np.str_], alphas: Sequence[float]) -> Floats:
    """Penalty of each target with the least squared error on left-out patients."""
    shrink = s2 / (s2 + np.asarray(alphas)[:, None])  # (a, r)
    fitted = np.einsum("nr,ar,rt->ant", u, shrink, u.T @ y, optimize=True)
    errors = np.zeros((len(alphas), y.shape[1]))
    for patient in np.unique(patients):
        g = patients == patient
        hat = np.einsum("ir,ar,jr->aij", u[g], shrink, u[g], optimize=True) + 1 / len(y)  # 1 / n: the intercept
        residual = np.linalg.solve(np.eye(int(g.sum())) - hat, y[g] - fitted[:, g])
        errors += (residual**2).sum(1)
    return np.asarray(alphas)[errors.argmin(0)]


def _inner_folds(patients: NDArray[np.str_], y: NDArray[np.integer]) -> Ints:
    rarest = min(len(np.unique(patients[y == c])) for c in np.unique(y))
    return patient_folds(list(patients), max(2, min(INNER_FOLDS, rarest)), 0, list(y.astype(float)))


def _logistic(x: Floats, s2: Floats, hot: Floats, weights: Floats, strengths: Floats) -> Floats:
    """Fit all strengths on all weightings of the rows at once.

    Parameters
    ----------
    x : (n, r) centred, with orthogonal columns of squared length `s2`
    hot : (n, k) one-hot classes
    weights : (f, n), 0 to 1
    strengths : (c,)

    Returns
    -------
    (r + 1, k, f, c); the last row is the bias.
    """
    single = np.float32  # twice as fast, and far below TOLERANCE
    shape = (x.shape[1] + 1, hot.shape[1], len(weights), len(strengths))
    x1, truth, counted = _with_bias(x).astype(single), hot.astype(single)[..., None, None], weights.T.astype(single)
    penalty = np.append(np.ones(x.shape[1]), 0.0)[:, None, None, None] / strengths  # (r + 1, 1, 1, c): the bias is free
    step = (1 / (np.append(s2, len(x))[:, None, None, None] / 2 + penalty)).astype(single)
    penalty = penalty.astype(single)
    w, momentum, push = np.zeros(shape, single), np.zeros(shape, single), 1.0
    for _ in range(ITERATIONS):
        logits = (x1 @ momentum.reshape(len(momentum), -1)).reshape(-1, *shape[1:])  # (n, k, f, c)
        error = (_softmax(logits) - truth) * counted[:, None, :, None]
        slope = (x1.T @ error.reshape(len(error), -1)).reshape(shape) + penalty * momentum
        new = momentum - step * slope
        push, last = (1 + (1 + 4 * push**2) ** 0.5) / 2, push
        if float((slope * (new - w)).sum()) > 0:  # overshot: forget the momentum
            push, last = 1.0, 1.0
        momentum, w, change = new + (last - 1) / push * (new - w), new, float(np.abs(new - w).max())
        if change < TOLERANCE * float(np.abs(new).max()):
            break
    return w.astype(np.float64)


def _best_strength(x1: Floats, w: Floats, hot: Floats, inner: Ints) -> int:
    """Place of the strength with the least log loss on held-out inner folds; `w` as from `_logistic`."""
    loss = np.zeros(w.shape[-1])
    for i, fold in enumerate(np.unique(inner)):
        held = inner == fold
        chances = _softmax(np.einsum("nr,rkc->nkc", x1[held], w[:, :, i], optimize=True))
        loss -= np.log(np.maximum((chances * hot[held, :, None]).sum(1), 1e-12)).sum(0)
    return int(loss.argmin())


def _with_bias(x: Floats) -> Floats:
    return np.hstack([x, np.ones((len(x), 1))])


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Softmax over axis 1, the classes."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    powers /= powers.sum(1, keepdims=True)
    return powers
