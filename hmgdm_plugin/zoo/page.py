"""The page of a model for people: ``card.md``, generated from its card."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .card import CARD, About, Card, Data, Head, NucleiCard
from .measured import Novelty, NucleiScore, Score

PAGE = "card.md"


def page(card: Card | NucleiCard) -> str:
    """`card` as the Markdown page ``card.md``."""
    own = _nuclei_parts(card) if isinstance(card, NucleiCard) else _encoder_parts(card)
    parts = [
        f"# {card.title}",
        f"`{card.name}` {card.version}, {card.created}. Licence: {card.licence}.",
        card.description,
        "**For research use only. Not a medical device; not for diagnosis.**",
        f"## Intended use\n\n{card.intended_use}",
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in card.limits),
        *own[:-1],
        "## Learnt from\n\n" + _data(card.data),
        own[-1],
    ]
    return "\n\n".join(parts) + "\n"


def _encoder_parts(card: Card) -> list[str]:
    """Predictions, evaluation and recipe of an encoder."""
    graph = card.graph
    return [
        "## Predictions\n\n" + _heads(card.head),
        "## Evaluation\n\n" + _evaluation(card.evaluation),
        *_certainty(card),
        f"## Recipe\n\nTiles of {graph.tile_px} px at {graph.mpp:g} microns per pixel, cut into about {graph.segments} "
        f"superpixels; {card.descriptors} descriptors per entity; encoder of {card.diffusion.layers} layers, "
        f"{card.diffusion.hidden} wide. {_trained(card)} All settings: `{CARD}`.",
    ]


def _nuclei_parts(card: NucleiCard) -> list[str]:
    """Evaluation and recipe of a nucleus detector."""
    detector, network = card.detector, card.detector.network
    return [
        "## Evaluation\n\n" + _found(card.evaluation),
        f"## Recipe\n\nStarDist at {detector.mpp:g} microns per pixel: U-Net of depth {network.unet_n_depth}, "
        f"{network.unet_n_filter_base} filters wide at first, {network.n_rays} rays on a grid of {network.grid[0]} x "
        f"{network.grid[1]} pixels; a nucleus is what is likelier than {detector.prob_threshold:g} and overlaps no "
        f"likelier one by {detector.nms_threshold:g} of the smaller. {_trained(card)} All settings: `{CARD}`.",
    ]


def _trained(card: About) -> str:
    learnt = card.training
    if not learnt.steps:
        return "How it was trained is not known here."
    return (
        f"Trained for {learnt.epochs} epochs ({learnt.steps} steps, {learnt.minutes:.0f} minutes) on "
        f"{learnt.device or 'an unnamed device'}."
    )


def _found(scores: Sequence[NucleiScore]) -> str:
    if not scores:
        return "Not evaluated."
    rows = [
        (s.group, s.metric, f"{s.value:.3f}", f"{s.low:.3f} to {s.high:.3f}", s.patients, s.images, s.nuclei, s.note)
        for s in scores
    ]
    return table(("on", "metric", "value", "95 % interval", "patients", "images", "nuclei", "note"), rows)


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


def _certainty(card: Card) -> list[str]:
    """Temperatures, intervals, and when a tile is unlike the training data; none for a model without all of them."""
    lines = []
    for head in card.head:
        if head.temperature is not None:
            degrees = f"{head.temperature:.2f}"
            lines.append(
                f"- `{head.name}`: logits divided by {degrees}, the temperature that out-of-fold answers ask for."
            )
        if head.interval is not None:
            share, margin = f"{100 * head.interval.share:.0f} %", f"{head.interval.margin:.3g}"
            scale = " of log(1 + value)" if head.transform == "log" else ""
            lines.append(
                f"- `{head.name}`: the truth of {share} of the tiles of a new patient: within {margin}{scale}."
            )
    lines += [] if card.novelty is None else [_novelty(card.novelty)]
    return ["## How sure it is\n\n" + "\n".join(lines)] if lines else []


def _novelty(known: Novelty) -> str:
    alarms = f"{100 * known.false_alarms:.1f} % [{100 * known.low:.1f}, {100 * known.high:.1f}]"
    text = (
        f"- Novelty: distance of a tile from the training data in {known.reads}, over the limit ({known.limit:.4g}) "
        f"that {100 * known.quantile:.0f} % of the tiles of left-out patients stay below ({known.patients} patients, "
        f"{known.tiles} tiles). Of a patient left out, with the limit of the others, {alarms} of the tiles are called "
        f"novel. A warning appears above {100 * known.usual_share:.0f} %, as in one of ten of these patients."
    )
    found = [(how, f"{100 * share:.0f} %") for how, share in known.detected.items()]
    return text + "\n\n" + table(("tiles of left-out patients, spoilt", "called novel"), found) if found else text


def _data(sets: Sequence[Data]) -> str:
    if not sets:
        return "Not stated."
    rows = [(s.name, s.licence, s.images, s.patients or "not identified", s.tiles, s.use) for s in sets]
    return table(("set", "licence", "images", "patients", "tiles", "use"), rows)


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown table; a bar inside a cell is escaped."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
