"""How much of a slide is unlike what the model learnt from, and whether that is worth a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..report.sentences import unlike

if TYPE_CHECKING:
    from ..zoo.card import Card

COLUMN = "novel_share"  # of summary.csv, run records and slide.json: tiles whose novelty is above 1
NAMES, RGBS = ("like the training data", "unlike it"), ((110, 110, 110), (213, 94, 0))


def novel_share(novelty: Sequence[float]) -> float | None:
    """Share of the tiles whose novelty lies above 1, its limit; None where the model has no measure of it."""
    if not novelty or math.isnan(novelty[0]):
        return None
    return float((np.asarray(novelty) > 1).mean())


def sentence(card: Card, share: float | None) -> str:
    """What share of a slide is novel and what was found when the limit was set; empty where the model has none."""
    known = card.novelty
    if known is None or share is None:
        return ""
    return warning(card, share) or (
        f"{100 * share:.0f} % of the tiles are unlike the training data, which is nothing unusual: of patients that "
        f"were left out it was {100 * known.false_alarms:.0f} % on average."
    )


def warning(card: Card, share: float | None) -> str:
    """A sentence where more of a slide is novel than is usual for patients that the model had not seen; else empty."""
    if card.novelty is None or share is None or share <= card.novelty.usual_share:
        return ""
    return unlike(share, card.novelty.usual_share)
