"""Kaplan-Meier curves and the log-rank test: the door to lifelines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .concordance import Bools, Floats


@dataclass(frozen=True)
class Curve:
    """Share free of the event, a step at each of `times` (k,), with its 95 % interval (log-log, Greenwood)."""

    name: str
    times: Floats
    survival: Floats
    low: Floats
    high: Floats
    patients: int
    events: int


def kaplan_meier(name: str, time: Floats, event: Bools) -> Curve:
    """Kaplan-Meier estimate of the patients `time`, `event` (n,), n at least 1."""
    from lifelines import KaplanMeierFitter

    fitted = KaplanMeierFitter().fit(time, event)
    table = fitted.survival_function_
    bounds = fitted.confidence_interval_.to_numpy(np.float64)
    return Curve(
        name,
        table.index.to_numpy(np.float64),
        table.iloc[:, 0].to_numpy(np.float64),
        bounds[:, 0],
        bounds[:, 1],
        len(time),
        int(event.sum()),
    )


def at_times(curve: Curve, times: Floats) -> Floats:
    """Share free of the event (k,) at `times` (k,)."""
    place = np.searchsorted(curve.times, times, side="right") - 1
    return np.where(place < 0, 1.0, curve.survival[np.maximum(place, 0)])


def numbers_at_risk(time: Floats, ticks: Floats) -> NDArray[np.int64]:
    """Patients (ticks,) whose follow-up reaches each tick."""
    return (time[None, :] >= ticks[:, None]).sum(1)


def logrank_p(time: Floats, event: Bools, group: NDArray[np.integer]) -> float:
    """P value of the log-rank test between the groups (n,); NaN with fewer than two groups or no event."""
    from lifelines.statistics import multivariate_logrank_test

    if len(np.unique(group)) < 2 or not event.any():
        return float("nan")
    return float(multivariate_logrank_test(time, group, event).p_value)
