"""Importance of one tile's entities, and the check of it: deletion and insertion against chance.

The curves follow RISE (Petsiuk et al., 2018): entities go out (or come in) in order of what they added to the answer,
highest first; the answer should fall (or rise) faster than in random order. Graphs are re-encoded at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from ..model.heads import GatedHead
    from ..zoo.card import Head
    from ..zoo.load import LoadedModel
    from .encode import EncodedTile

STEPS = 10
RANDOM_ORDERS = 3
ORDERS = ("contribution", "gradient x input", "gate", "random")
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Explained:
    """Importance in one tile, all signed but the gate.

    Parameters
    ----------
    value, output : float, int
        The answer in its unit, and which output it is.
    gate, contribution, gradient : (N,) float64
        Weight in the pooling; by how much the answer falls without the entity in it; gradient x input. The last two of
        the raw answer, or of the log-odds of a class against the others.
    contacts : (M,) float64
        Gradient x input of the contacts.
    """

    value: float
    output: int
    gate: Floats
    contribution: Floats
    gradient: Floats
    contacts: Floats

    def order(self, name: str) -> Floats:
        """Scores (N,) of one of `ORDERS` but random."""
        return {"contribution": self.contribution, "gradient x input": self.gradient, "gate": self.gate}[name]


def explained(tile: EncodedTile, model: LoadedModel, shown: Head, output: int) -> Explained:
    """Importance of the entities and contacts of `tile` for `output` of the head (-1: the likeliest class)."""
    import torch

    from ..model.importance import contribution, gradient_x_input

    head, latent, device = _head(model, shown), tile.latent, model.device
    with torch.no_grad():
        tokens, on_device = tile.tokens.to(device), latent.to(device)
        said = head(tokens, on_device.vertices)
        which = int(said.value[0].argmax()) if output < 0 else output
        added = contribution(head, tokens, on_device, which)
    vertices, edges = gradient_x_input(model.encoder, head, on_device, which)
    parts = [_numpy(each) for each in (said.gate, added, vertices, edges)]
    return Explained(float(said.value[0, which]), which, *parts)


def score_without(
    tile: EncodedTile, model: LoadedModel, shown: Head, said: Explained, gone: Sequence[int]
) -> dict[str, Any]:
    """The answer on `tile` with the entities `gone` taken out and the graph encoded again."""
    import torch

    from ..model.batch import subgraph

    keep = torch.ones(len(tile.tokens), dtype=torch.bool)
    keep[list(gone)] = False
    if not keep.any():
        return {"tile": tile.key, "removed": len(gone), "before": said.value, "after": None}
    head = _head(model, shown)
    with torch.no_grad():
        rest = subgraph(tile.latent, keep).to(model.device)
        value = head(model.encoder.embed(rest).tokens(), rest.vertices).value[0, said.output]
    return {"tile": tile.key, "removed": len(gone), "before": said.value, "after": float(value)}


class Faithfulness:
    """Deletion and insertion curves over some tiles of a slide.

    Parameters
    ----------
    seed : int
        Of the random orders.
    """

    most = 24  # tiles that are deleted from, spread over the slide

    def __init__(self, model: LoadedModel, shown: Head, seed: int) -> None:
        self._model, self._shown = model, shown
        self._rng = np.random.default_rng(seed)
        self._rows: dict[tuple[str, str], list[Floats]] = {
            (way, name): [] for way in ("deletion", "insertion") for name in ORDERS
        }

    def add(self, tile: EncodedTile, said: Explained) -> None:
        """Delete from and insert into one tile in every order."""
        from ..model.importance import both_curves

        n = len(tile.tokens)
        if n < 2:
            return
        head, latent = _head(self._model, self._shown), tile.latent.to(self._model.device)
        orders = {name: [np.argsort(-said.order(name), kind="stable")] for name in ORDERS if name != "random"}
        orders["random"] = [self._rng.permutation(n) for _ in range(RANDOM_ORDERS)]
        every = [_long(order) for own in orders.values() for order in own]
        both = both_curves(self._model.encoder, head, latent, every, STEPS)
        for way, curves in zip(("deletion", "insertion"), both, strict=True):
            rest = iter(_numpy(curves[:, :, said.output]))
            for name, own in orders.items():
                self._rows[way, name].append(np.mean([next(rest) for _ in own], axis=0))

    def curves(self) -> dict[str, dict[str, list[float]]]:
        """Mean answer per way, order and step; ``share`` holds the steps."""
        out: dict[str, dict[str, list[float]]] = {"deletion": {}, "insertion": {}}
        for (way, name), rows in self._rows.items():
            out[way][name] = [float(v) for v in np.mean(rows, axis=0)] if rows else []
        return {**out, "share": {"share": [k / STEPS for k in range(STEPS + 1)]}}

    def band(self, way: str, name: str) -> tuple[Floats, Floats, Floats]:
        """Mean over the tiles and its 95 % interval, each (STEPS + 1,), as change from the whole graph (deletion)."""
        rows = np.stack(self._rows[way, name])
        rows = rows - rows[:, :1] if way == "deletion" else rows - rows[:, -1:]
        mean, error = rows.mean(axis=0), 1.96 * rows.std(axis=0) / max(len(rows), 1) ** 0.5
        return mean, mean - error, mean + error

    def numbers(self) -> dict[str, Any]:
        """How far the answer lies below the random order while deleting, per order, with its interval over tiles."""
        out: dict[str, Any] = {"tiles_tested": len(self._rows["deletion", "random"])}
        for name in ORDERS[:-1]:
            rows = self._rows["deletion", name]
            if rows:
                gap = (np.stack(self._rows["deletion", "random"]) - np.stack(rows))[:, 1:-1].mean(axis=1)
                error = 1.96 * gap.std() / len(gap) ** 0.5
                out[name] = {
                    "below_random": float(gap.mean()),
                    "low": float(gap.mean() - error),
                    "high": float(gap.mean() + error),
                }
        return out


def _head(model: LoadedModel, shown: Head) -> GatedHead:
    from ..model.heads import GatedHead

    head = model.heads[shown.name]
    assert isinstance(head, GatedHead)
    return head.to(model.device)


def _numpy(values: Tensor) -> Floats:
    return values.detach().cpu().double().numpy()


def _long(order: NDArray[np.intp]) -> Tensor:
    import torch

    return torch.from_numpy(order.astype(np.int64))
