"""The rows of an evaluation that stand on entity graphs: trained here, or taken as they are, then ready to embed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..evaluation.graphmae import GraphMae
from ..model.batch import LatentBatch
from ..model.embedded import Embedding
from ..model.hmgdm import HMGDM
from ..model.kinds import KINDS
from ..model.readout import Readout
from ..schema.evaluation import RowSettings
from ..schema.settings import DiffusionSettings, PretrainSettings
from ..training import stages
from ..training.agreement import fit_directions, fit_readout
from ..training.loop import fit
from ..training.objective import Objective
from ..training.shards import Shards
from ..zoo.load import load
from .fronts import Front
from .ground import Ground

GRAPHMAE_RATE = 1e-3


@dataclass(frozen=True)
class Rival:
    """An embedding that is ready.

    Parameters
    ----------
    embed : callable
        Pixels (n, S, S, 3) uint8, or a `LatentBatch` where there is a front, to (n, d).
    front : Front, optional
        What makes the latent graphs.
    trained_s : float
        Seconds of one core that its training took, stage 1 included.
    parameters : int
        Weights that serve to embed a tile.
    """

    embed: Callable[[Any], Tensor]
    front: Front | None = None
    trained_s: float = 0.0
    parameters: int = 0


class Basis(NamedTuple):
    """What a row with graphs stands on: front, stage 2, recipe, and the seconds that its stage 1 was trained here."""

    front: Front
    diffusion: DiffusionSettings
    recipe: PretrainSettings
    spent_s: float


def with_graphs(ground: Ground, row: RowSettings, seed: int, key: str) -> Rival:
    """Train `row` with `seed`, or go on with it, or take it as it is; `key` names its checkpoint."""
    spread = (row.readout or ground.settings.readout) == "mean+spread"
    if row.kind == "model":
        return _encoded(load(ground.model(row)).encoder, basis_of(ground, row).front, 0.0, spread)
    basis = basis_of(ground, row if row.kind == "pretrain" else ground.settings.whose(row))
    if row.kind == "entities" and row.readout == "agreed":
        return _agreed(ground, basis)
    if row.kind == "entities":
        own = _by_kind if row.readout == "kinds" else partial(_attributes, spread=spread)
        return Rival(own, basis.front, basis.spent_s, size(basis.front.features))
    if row.kind == "graphmae":
        return _graphmae(ground, basis, spread, seed, key)
    parts, beside = basis.front.features.parts, basis.front.features.beside
    if row.kind == "random":
        torch.manual_seed(ground.settings.seed + seed)
        twin = HMGDM(basis.diffusion, parts, parts, beside)
        if row.fitted:
            fit_readout(twin, *_learnt_from(ground, basis), ground.settings.seed, ground.events)
        return _encoded(twin, basis.front, basis.spent_s, spread)
    recipe = basis.recipe.model_copy(update={"seed": basis.recipe.seed + seed})
    run = ground.run("diffusion", ground.folder / "rows" / key, key, recipe.seed)
    model, log = stages.diffusion_stage(ground.latents(basis.recipe, basis.front), parts, recipe, run, beside)
    fit_readout(model, *_learnt_from(ground, basis), recipe.seed, ground.events)
    return _encoded(model, basis.front, basis.spent_s + log.worked_s, spread)


def basis_of(ground: Ground, row: RowSettings) -> Basis:
    """What `row`, a model or one that is pre-trained here, stands on."""
    if row.kind == "pretrain":
        recipe = ground.recipe_of(row)
        front, spent_s = ground.front(recipe)
        return Basis(front, recipe.diffusion, recipe, spent_s)
    model = load(ground.model(row))
    graph = model.card.graph.model_dump(mode="json") | row.settings.get("graph", {})
    recipe = ground.recipe_of(row.model_copy(update={"settings": {"graph": graph}}))
    return Basis(Front(recipe.graph, model.features, ground.finders), model.card.diffusion, recipe, 0.0)


def size(module: nn.Module) -> int:
    """Weights of `module`."""
    return sum(value.numel() for value in module.parameters())


def _encoded(model: HMGDM, front: Front, spent_s: float, spread: bool) -> Rival:
    model.eval()

    def embed(graphs: LatentBatch) -> Tensor:
        embedding = model.embed(graphs)
        if model.readout is not None:
            return embedding.pooled()
        return torch.cat([embedding.pooled(), embedding.spread()], dim=1) if spread else embedding.pooled()

    return Rival(embed, front, spent_s, size(front.features) + size(model.encoder))


def _attributes(graphs: LatentBatch, spread: bool) -> Tensor:
    """Mean, and spread, of the entities' own attributes, without any network."""
    plain = Embedding(graphs.x, graphs.edge_attr, [], [], graphs)
    return torch.cat([plain.pooled(), plain.spread()], dim=1) if spread else plain.pooled()


def _by_kind(graphs: LatentBatch) -> Tensor:
    """Mean and spread of the attributes of superpixels and nuclei apart, and how many there are."""
    return Readout(0, 0, 0, graphs.x.shape[1], kinds=KINDS).embed(graphs.x, graphs)


def _learnt_from(ground: Ground, basis: Basis) -> tuple[Shards, Shards]:
    """The graphs that trained rows learn from, and the same with attributes."""
    return ground.graphs(basis.recipe)["training"], ground.latents(basis.recipe, basis.front)["training"]


def _agreed(ground: Ground, basis: Basis) -> Rival:
    """The reference's readout on the entities' own attributes: what is left of the model without its network."""
    features, diffusion = basis.front.features, basis.diffusion
    width = sum(features.parts)
    own = width - features.parts[-1], width + features.beside
    kinds = KINDS if diffusion.by_kind else 1
    readout = Readout(width, min(diffusion.readout, width), *own, diffusion.arrangement, kinds)
    learnt = _learnt_from(ground, basis)
    fit_directions(readout, lambda batch: batch.x[:, :width], *learnt, ground.settings.seed, ground.events)

    def embed(graphs: LatentBatch) -> Tensor:
        return readout.embed(readout(graphs.x, graphs.x[:, :width], graphs.kind), graphs)

    return Rival(embed, basis.front, basis.spent_s, size(basis.front.features) + readout.directions.numel())


def _graphmae(ground: Ground, basis: Basis, spread: bool, seed: int, key: str) -> Rival:
    front, recipe = basis.front, basis.recipe
    torch.manual_seed(ground.settings.seed + seed)
    network = GraphMae(sum(front.features.parts) + front.features.beside, basis.diffusion.hidden)
    latents = ground.latents(recipe, front)["training"]

    def load_graphs(numbers: NDArray[np.int64], rng: np.random.Generator) -> LatentBatch:
        return latents.latents([int(n) for n in numbers])

    def terms(batch: LatentBatch, generator: torch.Generator) -> dict[str, Tensor]:
        return {"error": network.error(batch, generator) * batch.num_graphs}

    def counts(batch: LatentBatch) -> dict[str, float]:
        return {"error": float(batch.num_graphs)}

    objective = Objective(load_graphs, lambda batch, device: batch.to(device), counts, terms, {"total": {"error": 1.0}})
    run = ground.run("graphmae", ground.folder / "rows" / key, key, ground.settings.seed + seed)
    log = fit(run, network, objective, latents, recipe.stage2.model_copy(update={"lr": GRAPHMAE_RATE}))

    def embed(graphs: LatentBatch) -> Tensor:
        return torch.cat(network.embed(graphs)[: 2 if spread else 1], dim=1)

    return Rival(embed, front, basis.spent_s + log.worked_s, size(front.features) + size(network.layers))
