"""Numbers put into a sentence that a reader without statistics can act on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_BETTER = 1.25  # how much faster than chance the answer has to move for the picture to say anything


def faithfulness(removed: ArrayLike, ranked: ArrayLike, chance: ArrayLike) -> str:
    """What a deletion curve says about the explanation.

    Parameters
    ----------
    removed : array (n,)
        Share of entities removed, 0..1, rising.
    ranked, chance : array (n,)
        The answer when the most important entities go first, and when entities go in random order (its mean).

    Returns
    -------
    str
        Whether the explanation can be relied on for this slide. Compared is the mean distance of the answer from
        its value with all entities present (area over the deletion curve; Petsiuk et al., RISE, 2018).
    """
    moved, by_chance = _mean_change(removed, ranked), _mean_change(removed, chance)
    numbers = f"(mean change {moved:.3g} against {by_chance:.3g})"
    if moved > _BETTER * by_chance:
        return (
            "Removing the entities marked as most important changed the answer faster than removing entities at "
            f"random {numbers}: the marked entities did carry the answer."
        )
    return (
        "Removing the entities marked as most important did not change the answer clearly faster than removing "
        f"entities at random {numbers}: do not rely on this explanation."
    )


def _mean_change(removed: ArrayLike, answer: ArrayLike) -> float:
    x, y = np.asarray(removed, np.float64), np.asarray(answer, np.float64)
    change = np.abs(y - y[0])
    return float(np.sum((change[1:] + change[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))
