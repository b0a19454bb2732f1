"""Which tiles speak for their slide on maps, scales and in medians: those that hold enough tissue.

An answer on a sliver of tissue rests on a few entities, is off by more, and its square of colour looks like a full
tile's. Such tiles keep their numbers in every table; they are outlined on the maps instead of coloured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..schema.space import Tile
    from ..slide.tissue import Tissue

UNTILED = 0.2  # of the tissue; compact pieces leave a twentieth


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


def left_untiled(tissue: Tissue, tiles: Sequence[Tile], least: float) -> str:
    """What is said where much of the tissue lies in no tile, for lack of a share `least`; empty elsewhere."""
    left = tissue.mask.copy()
    for tile in tiles:
        rows, columns = (
            slice(max(math.floor(at / tissue.downsample), 0), math.ceil((at + tile.side_px) / tissue.downsample))
            for at in (tile.y_px, tile.x_px)
        )
        left[rows, columns] = False
    share = float(left.sum()) / max(float(tissue.mask.sum()), 1.0)
    if share < UNTILED:
        return ""
    why = f"it lies where a tile would hold less than {100 * least:.3g} % tissue; lower --min-tissue"
    return f"{100 * share:.0f} % of the tissue was not looked at: {why}"


def blank(kept: NDArray[np.bool_], least: float) -> str:
    """The same in a legend's few words; empty where nothing was left out."""
    return "" if kept.all() else f"outlined: less than {100 * least:.3g} % tissue"
