"""How far from the truth an answer may lie: a margin that holds for patients who were never seen.

Tiles of a patient are alike, so patients are what is exchangeable. Every patient's errors count as one, and the patient
to come counts as one more of whom nothing is known: the pooled form of conformal prediction for groups (Dunn,
Wasserman and Ramdas 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def margin(errors: Floats, patients: Sequence[str] | NDArray[np.str_], share: float) -> float:
    """Size that the error on a tile of a new patient stays below in `share` of the cases.

    Parameters
    ----------
    errors : (n,)
        What out-of-fold answers were off by; the sign is not looked at.
    patients : (n,)
    share : float
        0..1.

    Returns
    -------
    float
        Infinite where there are too few patients to promise anything.
    """
    _, whose = np.unique(np.asarray(patients, str), return_inverse=True)
    counts = np.bincount(whose)
    size = np.abs(errors)
    order = np.argsort(size)
    reached = np.cumsum((1 / counts[whose])[order]) / (len(counts) + 1)
    place = int(np.searchsorted(reached, share - 1e-12))
    return float(size[order[place]]) if place < len(size) else float("inf")


def covered(errors: Floats, patients: Sequence[str] | NDArray[np.str_], share: float) -> Floats:
    """Whether each error (n,) stays within the margin that the other patients give: 1 or 0."""
    names = np.asarray(patients, str)
    out = np.zeros(len(errors))
    for patient in np.unique(names):
        own = names == patient
        out[own] = np.abs(errors[own]) <= margin(errors[~own], names[~own], share)
    return out
