"""Which tiles speak for their slide on maps, scales and in medians: those that hold enough tissue.

An answer on a sliver of tissue rests on a few entities, is off by more, and its square of colour looks like a full
tile's. Such tiles keep their numbers in every table; they are outlined on the maps instead of coloured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def mapped(shares: Sequence[float], least: float) -> NDArray[np.bool_]:
    """Whether each tile is coloured and counted.

    Parameters
    ----------
    shares : sequence of float
        Share of each tile's area that is tissue on the slide.
    least : float
        Share from which a tile counts; where no tile reaches it, all do.

    Returns
    -------
    array (T,) bool
    """
    enough = np.asarray(shares, np.float64) >= least
    return enough if enough.any() else np.ones_like(enough)


def sentence(kept: NDArray[np.bool_], least: float) -> str:
    """What was left out, for people; empty where nothing was."""
    count = int((~kept).sum())
    if not count:
        return ""
    return (
        f"{count} of {len(kept)} tiles hold less than {100 * least:.3g} % tissue (--map-tissue): they are outlined "
        "instead of coloured, and left out of scales, medians and shares, but not of the tables."
    )


def warning(shares: Sequence[float], least: float) -> str:
    """What is said where no tile holds enough; empty elsewhere."""
    if max(shares) >= least:
        return ""
    return f"no tile holds {100 * least:.3g} % tissue (--map-tissue): maps and medians take all, and are rough"


def blank(kept: NDArray[np.bool_], least: float) -> str:
    """The same in a legend's few words; empty where nothing was left out."""
    return "" if kept.all() else f"outlined: less than {100 * least:.3g} % tissue"
