"""What a person should look at before believing the results of a slide: focus, pen, hardly any tissue, unlike tissue.

Focus: spread of the finest detail over that of detail four times as coarse, in tiles of tissue. On 27 breast fields of
BreakHis, 30 fields of MoNuSeg and a scan, all at 0.5 microns, it lay at 0.30 to 0.79 as they are, and at 0.16 to 0.24
when blurred with a sigma of 0.75 microns, which a person sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .novel import COLUMN, warning

if TYPE_CHECKING:
    from ..zoo.card import Card
    from .plan import Plan

SHARPEST_BLUR, FOCUS_UM = 0.22, 0.5
SAMPLED = 16  # tiles
FLAGS = {"out_of_focus_share": ("out of focus", 0.3), "pen_share": ("pen", 0.02)}  # in words, and from where on
LEAST_MM2 = 0.5
UNLIKE = "unlike the training data"
UNKNOWN = "not available: the model's card has no limit for it"


def quality_of(plan: Plan, card: Card, novel: float | None) -> dict[str, Any]:
    """Numbers of a slide by name, and under ``flags`` what a person should look at, in words.

    Parameters
    ----------
    card : Card
        Of the model, which says how much is usual.
    novel : float or None
        Share of the tiles that are unlike the training data; None where the model cannot tell.
    """
    from ..slide.tissue import ink_share

    slide, tiles = plan.slide, plan.tiles
    area = sum(tile.area_mm2 for tile in tiles)
    sampled = tiles[:: -(-len(tiles) // SAMPLED)]
    sharp = [sharpness(slide.read(t.x_px, t.y_px, t.side_px, round(t.size_px * t.mpp / FOCUS_UM))) for t in sampled]
    numbers = {
        "out_of_focus_share": round(float(np.mean(np.array(sharp) < SHARPEST_BLUR)), 4),
        "pen_share": round(ink_share(plan.thumbnail, slide.frame.mpp * plan.downsample), 4),
    }
    flags = [word for name, (word, least) in FLAGS.items() if numbers[name] >= least]
    flags += ["hardly any tissue"] if area < LEAST_MM2 else []
    if novel is None:
        return {**numbers, "unlike_training_data": UNKNOWN, "flags": flags}
    flags += [UNLIKE] if warning(card, novel) else []
    return {**numbers, COLUMN: round(novel, 4), "flags": flags}


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Spread of the finest detail of an image (h, w, 3) over that of detail four times as coarse."""
    from scipy import ndimage

    grey = rgb.astype(np.float32).mean(2)
    fine, coarse = (ndimage.gaussian_filter(grey, sigma) for sigma in (1.0, 4.0))
    return float((grey - fine).std() / max(float((fine - coarse).std()), 1e-3))
