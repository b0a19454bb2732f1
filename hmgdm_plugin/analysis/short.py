"""The model's card in short, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import __version__
from ..report import page

if TYPE_CHECKING:
    from ..zoo.card import Card, Head
    from ..zoo.load import LoadedModel
    from ..zoo.measured import Score

SHIPPED = "this model"


def in_short(card: Card, heads: Sequence[Head]) -> page.Card:
    """What the page says about the model: data, validated numbers of the heads in use, limits."""
    data = [f"{d.name}: {d.images} images, {d.patients} patients ({d.licence}); {d.use}" for d in card.data]
    names = {head.name for head in heads}
    scores = [score for score in card.evaluation if score.task in names and score.embedding == SHIPPED]
    cautions = [f"{head.title}: {head.caution}" for head in heads if head.caution]
    return page.Card(
        f"{card.title} {card.version}",
        card.licence,
        card.intended_use,
        data,
        [(f"{score.task}, {score.metric}", _number(score)) for score in scores],
        [*card.limits, *cautions],
    )


def validated_error(card: Card, head: Head) -> str:
    """Cross-validated mean absolute error of a head with its unit; empty where the card has none."""
    for score in card.evaluation:
        if score.task == head.name and score.metric == "MAE" and score.embedding == SHIPPED:
            rounded = float(f"{score.value:.3g}")
            return f"± {rounded:g} {head.unit}"
    return ""


def around(head: Head, value: float) -> str:
    """Where the truth of a tile lies of which `head` says `value`; empty where its card does not know."""
    if head.interval is None:
        return ""
    low, high = head.interval.around(value, head.transform)
    return f"{page.number(low)} to {page.number(high)} ({100 * head.interval.share:.0f} %)"


def facts_of(model: LoadedModel) -> dict[str, str]:
    """Footer of the page."""
    return {"H-MGDM": __version__, "model": f"{model.card.name} {model.card.version}", "digest": model.digest[:16]} | {
        "device": str(model.device)
    }


def _number(score: Score) -> str:
    return f"{score.value:.2f} [{score.low:.2f}, {score.high:.2f}], {score.patients} patients"
