"""What the heads say about a tile, what each entity added to it, and all of it gathered per slide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.space import Tile
from .mapped import mapped
from .measured import DENSITY, UNITS, Measured, parted, tissue_mm2, tissue_share

if TYPE_CHECKING:
    from ..zoo.card import Card, Head
    from ..zoo.load import LoadedModel
    from .encode import EncodedTile

TOP_ENTITIES = 8
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TileAnswer:
    """Answers on one tile.

    Parameters
    ----------
    values : dict of str to (outputs,) float64
        Per head: value in its own unit, class probabilities, or the number of the cluster.
    components : (3,) float64
        First whitened components of the embedding; zeros without a cluster head.
    contribution : (N,) float64
        What each entity adds to the raw answer of the head shown, in its standard deviations or logits.
    step : float
        As `step_of`, of the head shown.
    """

    values: dict[str, Floats]
    components: Floats
    contribution: Floats
    step: float = 1.0


@dataclass(frozen=True, slots=True)
class TopEntity:
    """One entity that raised the answer; `outline` in level-0 pixels.

    `effect`: its contribution times the `step_of` its tile, by which entities of several tiles are put in order; those
    of `sparse` tiles, which hold too little tissue to speak for the slide, come last.
    """

    contribution: float
    tile: Tile
    outline: shapely.Geometry
    effect: float
    sparse: bool = False


@dataclass
class SlideAnswers:
    """Answers on all tiles of a slide, in order; maps and medians take those with at least `least` tissue."""

    least: float = 0.0
    tiles: list[Tile] = field(default_factory=list)
    values: dict[str, list[Floats]] = field(default_factory=dict)
    components: list[Floats] = field(default_factory=list)
    top: list[TopEntity] = field(default_factory=list)
    novelty: list[float] = field(default_factory=list)
    tissue_mm2: float = 0.0
    nuclei: list[Measured] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def add(self, tile: EncodedTile, answer: TileAnswer, nuclei: Measured | None = None) -> None:
        """Append one tile; of its entities at most the one that raised the answer most is kept for the slide."""
        self.tiles.append(tile.tile)
        self.tissue_mm2 += tissue_mm2(tile)
        self.shares.append(tissue_share(tile))
        if nuclei is not None:
            self.nuclei.append(nuclei)
        self.components.append(answer.components)
        self.novelty.append(tile.novelty)
        for name, value in answer.values.items():
            self.values.setdefault(name, []).append(value)
        if len(answer.contribution) and tile.outlines is not None:
            best = int(answer.contribution.argmax())
            most = float(answer.contribution[best])
            sparse = self.shares[-1] < self.least
            self.top.append(TopEntity(most, tile.tile, tile.outlines[best], most * answer.step, sparse))
            self.top = strongest(self.top)

    def of(self, head: str) -> Floats:
        """Values (T, outputs) of a head."""
        return np.stack(self.values[head])

    @property
    def mapped(self) -> NDArray[np.bool_]:
        """Whether each tile (T,) is coloured on maps and counted in medians."""
        return mapped(self.shares, self.least)

    def beyond(self, model: LoadedModel, heads: Sequence[Head]) -> list[str]:
        """A sentence for each number that left the range its head learnt from, where it was kept at the limit."""
        from ..model.heads import GatedHead

        out = []
        for spec in heads:
            head = model.heads[spec.name]
            if spec.kind == "regression" and isinstance(head, GatedHead):
                values, low, high = self.of(spec.name)[:, 0], float(head.target_low[0]), float(head.target_high[0])
                count = int((np.isclose(values, low) | np.isclose(values, high)).sum())
                if count:
                    limits = f"{low:.3g} to {high:.3g} {spec.unit}".rstrip()
                    out.append(f"{spec.title}: {count} of {len(values)} tiles lie beyond what was learnt ({limits})")
        return out

    def parted(self, heads: Sequence[Head]) -> list[str]:
        """A sentence for each density that is predicted far from what was counted."""
        found = list(compress(self.nuclei, self.mapped))
        own = [head for head in heads if head.unit == UNITS[DENSITY]] if found else []
        said = (parted(head.title, self.of(head.name)[self.mapped, 0], found) for head in own)
        return [each for each in said if each]


def step_of(shown: Head, value: float) -> float:
    """How far a step of the raw answer goes in the answer's own unit at `value`, but for a factor that all tiles share.

    On a logarithm the one nucleus of an all but empty tile moves the answer further than any of a dense one.
    """
    return 1 + max(value, 0.0) if shown.transform == "log" else 1.0


def strongest(entities: Sequence[TopEntity]) -> list[TopEntity]:
    """The few that moved the answer furthest in its own unit, first one first."""
    return sorted(entities, key=lambda each: (each.sparse, -each.effect))[:TOP_ENTITIES]


def chosen(card: Card, names: Sequence[str], show: str) -> tuple[list[Head], Head]:
    """Heads to run, and the one to show and explain: the asked-for, or the defaults of the card.

    Raises
    ------
    InputError
        A head is not in the model, or the model has none that can be shown.
    """
    there = {head.name: head for head in card.head}
    for name in (*names, *((show,) if show else ())):
        if name not in there:
            raise InputError(f"{card.name}: has no head {name!r}", f"choose from {', '.join(there) or 'another model'}")
    heads = [there[name] for name in names] if names else [head for head in card.head if head.default]
    if show and there[show] not in heads:
        heads.append(there[show])
    gated = [head for head in heads if head.kind != "clusters"]
    if not gated or (show and there[show].kind == "clusters"):
        raise InputError(f"{card.name}: no head to show", "name a head that predicts a number or a class")
    return heads, there[show] if show else gated[0]


def answer(tile: EncodedTile, model: LoadedModel, heads: Sequence[Head], shown: Head, output: int = -1) -> TileAnswer:
    """Ask `heads` about a tile; contributions are to `output` of the head shown (-1: the likeliest class)."""
    import torch

    from ..model.heads import ClusterHead, GatedHead
    from ..model.importance import contribution

    values = {}
    components = np.zeros(3)
    added, step = np.zeros(len(tile.tokens)), 1.0
    with torch.no_grad():
        for spec in heads:
            head = model.heads[spec.name].cpu()
            if isinstance(head, ClusterHead):
                values[spec.name] = head(tile.pooled[None]).double().numpy()
                components = head.project(tile.pooled[None])[0].double().numpy()
                continue
            assert isinstance(head, GatedHead)
            value = head(tile.tokens, tile.latent.vertices).value[0].double().numpy()
            values[spec.name] = value
            if spec is shown:
                which = int(value.argmax()) if output < 0 else output
                parts = contribution(head, tile.tokens, tile.latent, which)
                added, step = parts.double().numpy(), step_of(shown, float(value[which]))
    return TileAnswer(values, components, added, step)
