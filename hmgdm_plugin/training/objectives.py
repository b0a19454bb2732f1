"""What the two stages minimise, as sums over windows or graphs, and the predictors that know next to nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..model.autoencoder import EntityAutoencoder
from ..model.batch import LatentBatch
from ..model.hmgdm import HMGDM
from ..model.restored import Restored
from ..model.segments import segment_mean
from .objective import Objective
from .order import Ints
from .shards import Shards


def windows_of(shards: Shards, numbers: Ints, per_graph: int, rng: np.random.Generator) -> Tensor:
    """Random windows (K, 4, S, S) uint8 of some graphs."""
    return torch.cat([shards.windows(int(n), per_graph, rng) for n in numbers])


def autoencoder_objective(model: EntityAutoencoder, graphs: Shards, per_graph: int) -> Objective[Tensor]:
    """Stage 1 on `per_graph` random windows of each graph; ``mean`` is what `colourless` reaches."""

    def load(numbers: Ints, rng: np.random.Generator) -> Tensor:
        return windows_of(graphs, numbers, per_graph, rng)

    def counts(windows: Tensor) -> dict[str, float]:
        return dict.fromkeys(("rgb", "mask", "kl", "rgb_mean", "mask_mean"), float(len(windows)))

    def terms(windows: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        means = {**model.loss(windows, generator), **colourless(windows)}
        return {key: value * len(windows) for key, value in means.items()}

    settings = model.settings
    total = {"rgb": 1.0, "mask": settings.mask_weight, "kl": settings.kl_weight}
    mixes = {"total": total, "mean": {"rgb_mean": 1.0, "mask_mean": settings.mask_weight}}
    return Objective(load, lambda windows, device: windows.to(device), counts, terms, mixes)


def colourless(windows: Tensor) -> dict[str, Tensor]:
    """L1 of painting windows (K, 4, S, S) uint8 in the mean colour and mask of all: ``rgb_mean``, ``mask_mean``."""
    wanted = windows.float() / 255
    mask = wanted[:, 3:]
    colour = (wanted[:, :3] * mask).sum((0, 2, 3)) / mask.sum().clamp(min=1.0)
    error = ((wanted[:, :3] - colour[:, None, None]).abs() * mask).sum((1, 2, 3))
    rgb = (error / (3 * mask.sum((1, 2, 3))).clamp(min=1.0)).mean()
    return {"rgb_mean": rgb, "mask_mean": (mask - mask.mean()).abs().mean()}


def diffusion_objective(model: HMGDM, latents: Shards) -> Objective[LatentBatch]:
    """Stage 2; ``trivial`` knows x_t only, ``mean`` guesses 0, both in the space of the target."""

    def load(numbers: Ints, rng: np.random.Generator) -> LatentBatch:
        return latents.latents([int(n) for n in numbers])

    def terms(batch: LatentBatch, generator: torch.Generator) -> dict[str, Tensor]:
        draw = model.draw(batch, generator)
        vertex, edge, kl = model.restore(batch, draw, generator)
        rows = vertex.rows
        mean = _guessed_zero(model, draw.steps, model.learnt(batch).x[rows], model.vertex_weight, batch.batch[rows])
        out = {"kl": kl * batch.num_graphs, **_sums("vertex", vertex, mean)}
        if edge is None:
            return out
        rows = edge.rows
        mean = _guessed_zero(model, draw.steps, batch.edge_attr[rows], model.edge_weight, batch.edge_batch[rows])
        return out | _sums("edge", edge, mean)

    shares = {"vertex": 0.5, "edge": 0.5} if model.settings.edges else {"vertex": 1.0}
    mixes = {"total": {**shares, "kl": model.settings.kl_weight}}
    for kind in ("trivial", "mean"):
        mixes[kind] = {f"{stream}_{kind}": share for stream, share in shares.items()}
    return Objective(load, lambda batch, device: batch.to(device), graph_counts, terms, mixes)


def graph_counts(batch: LatentBatch) -> dict[str, float]:
    """Graphs that count for each term: those of which something is hidden, which needs two entities."""
    vertices = float((torch.bincount(batch.batch, minlength=batch.num_graphs) > 1).sum())
    edges = float((torch.bincount(batch.edge_batch, minlength=batch.num_graphs) > 1).sum())
    out = {"kl": float(batch.num_graphs)}
    for stream, count in (("vertex", vertices), ("edge", edges)):
        out |= dict.fromkeys((stream, f"{stream}_trivial", f"{stream}_mean"), count)
    return out


def _sums(name: str, restored: Restored, mean: Tensor) -> dict[str, Tensor]:
    """Sums over graphs of the loss of one stream, and of the predictors without context."""
    return {name: restored.loss.sum(), f"{name}_trivial": restored.trivial.sum(), f"{name}_mean": mean.sum()}


@torch.no_grad()
def _guessed_zero(model: HMGDM, steps: Tensor, x0: Tensor, weight: Tensor, owner: Tensor) -> Tensor:
    """Loss per graph (B,) of the guess 0 for x_0 (R, d) of graphs `owner` (R,), in the space of the target."""
    squares = segment_mean((x0.square() * weight).sum(1, keepdim=True), owner, len(steps)).squeeze(1)
    return squares * model.noise.loss_weight[steps] / model.noise.sigma[steps].square()
