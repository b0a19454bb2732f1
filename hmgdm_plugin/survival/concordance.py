"""How well a risk orders patients: Harrell's C, with weights, so that a bootstrap is one matrix product.

A pair counts where it is known who came first: the earlier of the two had the event; of two at the same time, the one
with the event came before the one censored. Risks of different folds come from different models on different scales:
with `strata`, only pairs within a fold count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def concordance(
    time: Floats,
    event: Bools,
    risk: Floats,
    weights: Floats | None = None,
    strata: NDArray[np.integer] | None = None,
) -> Floats:
    """Share of comparable pairs whose earlier patient has the higher risk; equal risks count half.

    Parameters
    ----------
    time, event, risk : (n,)
        Log-risk: higher is earlier.
    weights : (b, n), optional
        Row b: how often the b-th resample holds each patient.
    strata : (n,), optional
        Only pairs of one stratum count.

    Returns
    -------
    (b,) or (1,) without weights; NaN where no pair is comparable.
    """
    pairs = comparable(time, event)
    if strata is not None:
        pairs &= strata[:, None] == strata[None, :]
    return weighted_share(pairs.astype(np.float64), risk, np.ones((1, len(time))) if weights is None else weights)


def comparable(time: Floats, event: Bools) -> Bools:
    """Whether patient i is known to have come before patient j: (n, n)."""
    before = time[:, None] < time[None, :]
    tied = (time[:, None] == time[None, :]) & ~event[None, :]
    return event[:, None] & (before | tied)


def weighted_share(pairs: Floats, risk: Floats, weights: Floats) -> Floats:
    """Share (b,) of the `pairs` (n, n), each with its own weight, in which risk i is above risk j; equal ones half."""
    above = (risk[:, None] > risk[None, :]) + 0.5 * (risk[:, None] == risk[None, :])
    won = np.einsum("bi,bi->b", weights @ (pairs * above), weights)
    total = np.einsum("bi,bi->b", weights @ pairs, weights)
    return np.divide(won, total, out=np.full_like(won, np.nan), where=total > 0)
