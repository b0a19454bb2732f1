"""Accuracy at chosen times: time-dependent AUC and Brier score, weighted for those lost to follow-up.

Who is censored before a time is in neither group; those who stay known stand for them with one over the chance not to
be censored (IPCW), whose Kaplan-Meier curve comes from the training patients. AUC: cumulative cases against those still
free of the event (Uno et al. 2007). Brier score: Graf et al. 1999. Definitions as in scikit-survival.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .concordance import Bools, Floats, weighted_share


def free_of_censoring(time: Floats, event: Bools, at: Floats) -> Floats:
    """Kaplan-Meier chance (k,) not to be censored up to and at the times `at` (k,), of patients (n,).

    At equal times events come before censoring. Beyond the last follow-up the chance is that of the last.
    """
    moments = np.unique(time)
    lost = np.array([(~event & (time == moment)).sum() for moment in moments], np.float64)
    staying = np.array([((time > moment) | (~event & (time == moment))).sum() for moment in moments], np.float64)
    kept = 1 - np.divide(lost, staying, out=np.zeros_like(lost), where=staying > 0)
    return np.concatenate([[1.0], np.cumprod(kept)])[np.searchsorted(moments, at, side="right")]


def case_weights(train_time: Floats, train_event: Bools, time: Floats, event: Bools) -> Floats:
    """One over the chance not to be censored (n,), for patients with the event; 0 for others and where it is 0."""
    chance = free_of_censoring(train_time, train_event, time)
    return np.divide(1.0, chance, out=np.zeros_like(chance), where=event & (chance > 0))


def dynamic_auc(
    time: Floats,
    event: Bools,
    risk: Floats,
    ipcw: Floats,
    times: Floats,
    weights: Floats | None = None,
    strata: NDArray[np.integer] | None = None,
) -> Floats:
    """AUC at each time: the event up to then against none until later.

    Parameters
    ----------
    time, event, risk : (n,)
    ipcw : (n,)
        From `case_weights`.
    times : (k,)
    weights, strata
        As in `concordance.concordance`.

    Returns
    -------
    (b, k); NaN where a group is empty.
    """
    weights = np.ones((1, len(time))) if weights is None else weights
    same = np.ones((len(time), len(time))) if strata is None else (strata[:, None] == strata[None, :]) * 1.0
    columns = []
    for moment in times:
        cases = np.where(event & (time <= moment), ipcw, 0.0)
        columns.append(weighted_share(cases[:, None] * (time > moment)[None, :] * same, risk, weights))
    return np.stack(columns, axis=1)


def mean_auc(auc: Floats, survival: Floats) -> Floats:
    """Mean (b,) of `auc` (b, k) over the times, weighted by how far `survival` (k,) falls before each."""
    falls = -np.diff(np.concatenate([[1.0], survival]))
    known = np.isfinite(auc)
    total = (known * falls).sum(1)
    return np.divide((np.nan_to_num(auc) * falls).sum(1), total, out=np.full(len(auc), np.nan), where=total > 0)


def brier_terms(
    train_time: Floats, train_event: Bools, time: Floats, event: Bools, survival: Floats, times: Floats
) -> Floats:
    """Weighted squared error (n, k) of `survival` (n, k), the predicted chance to be free of the event at `times`.

    Its mean over patients is the Brier score of each time: 0 is perfect, 0.25 is what always saying 0.5 gives.
    """
    at_times = free_of_censoring(train_time, train_event, times)
    later = np.divide(1.0, at_times, out=np.zeros_like(at_times), where=at_times > 0)  # (k,)
    had = case_weights(train_time, train_event, time, event)  # (n,)
    gone = time[:, None] <= times[None, :]
    return np.where(gone, survival**2 * had[:, None], (1 - survival) ** 2 * later[None, :])


def integrated(scores: Floats, times: Floats) -> Floats:
    """Mean over the time between the first and the last of `times` (k,) of `scores` (b, k), by trapezoids: (b,)."""
    return np.trapezoid(scores, times, axis=1) / (times[-1] - times[0])
