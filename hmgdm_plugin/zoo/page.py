"""The page of a model for people: ``card.md``, generated from its card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .card import CARD, Card, Data, Head, Score

PAGE = "card.md"


def page(card: Card) -> str:
    """`card` as the Markdown page ``card.md``."""
    graph, learnt = card.graph, card.training
    parts = [
        f"# {card.title}",
        f"`{card.name}` {card.version}, {card.created}. Licence: {card.licence}.",
        card.description,
        "**For research use only. Not a medical device; not for diagnosis.**",
        f"## Intended use\n\n{card.intended_use}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in card.limits),
        "## Predictions\n\n" + _heads(card.head),
        "## Evaluation\n\n" + _evaluation(card.evaluation),
        "## Learnt from\n\n" + _data(card.data),
        f"## Recipe\n\nTiles of {graph.tile_px} px at {graph.mpp:g} microns per pixel, cut into about {graph.segments} "
        f"superpixels; {card.descriptors} descriptors per entity; encoder of {card.diffusion.layers} layers, "
        f"{card.diffusion.hidden} wide. Trained for {learnt.epochs} epochs ({learnt.steps} steps, "
        f"{learnt.minutes:.0f} minutes) on {learnt.device or 'an unnamed device'}. All settings: `{CARD}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _heads(heads: Sequence[Head]) -> str:
    if not heads:
        return "None: this model gives embeddings only."
    rows = []
    for head in heads:
        what = ", ".join(each.name for each in head.classes) or head.unit or "number"
        rows.append((f"`{head.name}`", head.title, head.kind, what, "yes" if head.default else "", head.caution))
    return table(("name", "what", "kind", "unit or classes", "default", "caution"), rows)


def _evaluation(scores: Sequence[Score]) -> str:
    if not scores:
        return "Not evaluated."
    rows = [
        (s.task, s.metric, s.embedding, f"{s.value:.3f}", f"{s.low:.3f} to {s.high:.3f}", s.patients, s.tiles, s.note)
        for s in scores
    ]
    return table(("task", "metric", "embedding", "value", "95 % interval", "patients", "tiles", "note"), rows)


def _data(sets: Sequence[Data]) -> str:
    if not sets:
        return "Not stated."
    rows = [(s.name, s.licence, s.images, s.patients or "not identified", s.tiles, s.use) for s in sets]
    return table(("set", "licence", "images", "patients", "tiles", "use"), rows)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown table; a bar inside a cell is escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
