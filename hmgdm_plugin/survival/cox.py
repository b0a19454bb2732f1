"""Cox's partial likelihood over the whole risk set, stable for any log-risk.

With ties, the d patients who have their event at one time leave the risk set one after the other in no known order:
Efron (1977) takes the k-th of them away from a sum that already lost k / d of all d; Breslow (1974) keeps the full sum.
Only differences of log-risks count, so a constant added to all changes nothing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ties = Literal["efron", "breslow"]
Floats = NDArray[np.float64]


def log_likelihood(risk: Tensor, time: Tensor, event: Tensor, ties: Ties = "efron") -> Tensor:
    """Log partial likelihood of all patients together.

    Parameters
    ----------
    risk : (n,) float
        Log-risk: unbounded, higher is earlier.
    time : (n,)
        Of the event or of the end of follow-up, in any unit.
    event : (n,) bool
        False: censored at `time`.
    ties : {"efron", "breslow"}

    Returns
    -------
    () float; 0 where nobody has an event.
    """
    order = torch.argsort(time, descending=True, stable=True)
    risk, time, event = risk[order], time[order], event[order]
    _, group, size = torch.unique_consecutive(time, return_inverse=True, return_counts=True)
    at_risk = torch.logcumsumexp(risk, 0)[size.cumsum(0) - 1]  # (groups,) log of the sum over the risk set
    own, group = risk[event], group[event]  # (d,)
    if own.numel() == 0:
        return risk.sum() * 0.0
    sums = at_risk[group]
    if ties == "efron":
        count = torch.bincount(group, minlength=len(size))
        rank = torch.arange(len(group), device=group.device) - (count.cumsum(0) - count)[group]
        gone = rank.to(own.dtype) / count[group]  # share of the tied events that has already left
        tied = _grouped_logsumexp(own, group, len(size))[group]
        sums = sums + torch.log1p(-gone * (tied - sums).clamp(max=0).exp())
    return own.sum() - sums.sum()


def cox_loss(risk: Tensor, time: Tensor, event: Tensor, ties: Ties = "efron") -> Tensor:
    """Negative log partial likelihood per event; arguments as `log_likelihood`."""
    return -log_likelihood(risk, time, event, ties) / event.sum().clamp(min=1)


def baseline_hazard(risk: Floats, time: Floats, event: NDArray[np.bool_], at: Floats) -> Floats:
    """Breslow's cumulative baseline hazard (times,) at the times `at`, of patients with log-risk (n,) as above."""
    moments = np.unique(time[event])
    shift = risk.max(initial=-np.inf) if len(risk) else 0.0
    powers = np.exp(risk - shift)
    deaths = np.array([(event & (time == moment)).sum() for moment in moments], np.float64)
    exposed = np.array([powers[time >= moment].sum() for moment in moments])
    total = np.concatenate([[0.0], np.cumsum(deaths / exposed)]) * np.exp(-shift)
    return total[np.searchsorted(moments, at, side="right")]


def predicted_survival(risk: Floats, hazard: Floats) -> Floats:
    """Chance (n, times) to be free of the event, of patients with log-risk (n,) under `baseline_hazard` (times,)."""
    return np.exp(-hazard[None, :] * np.exp(risk)[:, None])


def _grouped_logsumexp(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """Log of the sum of exponentials (groups,) of `values` (d,); groups without a value hold -inf."""
    top = values.new_full((groups,), -torch.inf).scatter_reduce(0, group, values.detach(), "amax")
    total = values.new_zeros(groups).index_add(0, group, (values - top[group]).exp())
    return torch.where(total > 0, total.clamp(min=torch.finfo(total.dtype).tiny).log() + top, top)
