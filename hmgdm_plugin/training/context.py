r"""Is the encoder asked at all? Losses of stage 2 at several noise levels, beside those that need no context.

Four numbers per level, all squared errors of :math:`\hat x_0` in units of the attributes' variance, so that targets and
schedules compare: the model's own; the same decoder given the encoder output of another tile; the linear denoiser
:math:`\sqrt{\bar\alpha_t}x_t`; and the mean, 0. What another tile's context costs, over the own loss, is the share that
the visible part is worth. Each visible entity gets what the encoder says of the other tile's entity nearest to the same
place: only content changes, not position.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..model.batch import LatentBatch
from ..model.encoder import Encoded
from ..model.hmgdm import HMGDM
from ..model.layout import Layout, Stream
from ..model.restored import Draw
from ..model.segments import segment_mean
from .log import Row
from .shards import Shards

LEVELS = 4  # of noise, equal stretches of the schedule
BATCH = 16
KINDS = ("loss", "other", "trivial", "mean")


class Asked:
    """Evaluate a model on fixed graphs with fixed chance.

    Parameters
    ----------
    model : HMGDM
    sets : name > batches, as `pairs` makes them
    seed : int
    device : torch.device
    """

    def __init__(
        self, model: HMGDM, sets: Mapping[str, Sequence[LatentBatch]], seed: int, device: torch.device
    ) -> None:
        self._model, self._sets, self._seed, self._device = model, sets, seed, device

    @torch.no_grad()
    def __call__(self) -> list[Row]:
        """One row per set and noise level, and one over all levels: ``graphs``, ``noise``, `KINDS`, ``context``."""
        rows: list[Row] = []
        for name, batches in self._sets.items():
            levels = noise_levels(self._model)
            means = self._means(batches, levels)
            named = {f"{low}-{high - 1}": mean for (low, high), mean in zip(levels, means, strict=True)}
            for level, mean in {**named, "all": torch.stack(means).mean(0)}.items():
                values = dict(zip(KINDS, mean.tolist(), strict=True))
                share = (values["other"] - values["loss"]) / max(values["loss"], 1e-12)
                rows.append({"graphs": name, "noise": level, **values, "context": share})
        return rows

    def _means(self, batches: Sequence[LatentBatch], levels: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Mean of each kind of loss (4,) at each level, over graphs, of vertices and edges in equal shares."""
        sums = [torch.zeros(2, len(KINDS) + 1, dtype=torch.float64) for _ in levels]
        for number, batch in enumerate(batches):
            for own, sum_ in zip(self._levels(batch.to(self._device), number, levels), sums, strict=True):
                sum_ += own
        streams = 2 if self._model.settings.edges else 1
        return [(own[:streams, :-1] / own[:streams, -1:].clamp(min=1)).mean(0) for own in sums]

    def _levels(self, batch: LatentBatch, number: int, levels: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Sums of losses and graphs that count, (2, 5) each, at every level, for one split of `batch`."""
        model = self._model
        batch = model.learnt(batch)
        generator = torch.Generator().manual_seed(self._seed + number)
        draw = model.draw(batch, generator)
        layout = Layout.of(batch, draw.hide_vertices, draw.hide_edges, with_edges=model.settings.edges)
        encoded = model.encode(batch, layout)
        if model.posterior is not None:
            x, f = model.posterior.mean(encoded.x[-1], encoded.f[-1] if encoded.f else encoded.x[-1])
            encoded = Encoded([*encoded.x[:-1], x], [*encoded.f[:-1], f] if encoded.f else [], encoded.gates)
        foreign = exchanged(batch, encoded, layout)
        out = []
        for low, high in levels:
            steps = torch.randint(low, high, (batch.num_graphs,), generator=generator).to(draw.steps.device)
            out.append(_losses(model, batch, (encoded, foreign), layout, replace(draw, steps=steps)))
        return out


def _losses(model: HMGDM, batch: LatentBatch, contexts: tuple[Encoded, Encoded], layout: Layout, draw: Draw) -> Tensor:
    """(2, 5): vertices and edges; the sums of `KINDS` over graphs, and the number of graphs."""
    streams = [(batch.x, layout.vertices, draw.vertex_noise, model.vertex_weight)]
    streams.append((batch.edge_attr, layout.edges, draw.edge_noise, model.edge_weight))
    clean = [x0[stream.hidden] for x0, stream, _, _ in streams]
    steps = [draw.steps[stream.hidden_batch] for _, stream, _, _ in streams]
    noisy = [model.noise.sample(x0, noise, t) for x0, t, (_, _, noise, _) in zip(clean, steps, streams, strict=True)]
    guesses = [model.decode(batch, context, noisy[0], noisy[1], draw.steps, layout) for context in contexts]
    out = torch.zeros(2, len(KINDS) + 1, dtype=torch.float64)
    for row, (x0, xt, t, (_, stream, _, weight)) in enumerate(zip(clean, noisy, steps, streams, strict=True)):
        corrections = [guess[row] for guess in guesses]
        if any(u is None for u in corrections):
            continue
        restored = [model.noise.clean(xt, u, t) for u in corrections if u is not None]
        restored += [model.noise.clean(xt, torch.zeros_like(xt), t), torch.zeros_like(xt)]
        errors = torch.stack([((each - x0).square() * weight).sum(1) for each in restored], dim=1)
        out[row, :-1] = segment_mean(errors, stream.hidden_batch, batch.num_graphs).double().sum(0).cpu()
        out[row, -1] = len(torch.unique(stream.hidden_batch))
    return out


def noise_levels(model: HMGDM) -> list[tuple[int, int]]:
    """Stretches of the schedule, from the first to before the second step; one where the noise never changes."""
    if model.noise.fixed is not None:
        return [(model.noise.fixed, model.noise.fixed + 1)]
    bounds = np.linspace(0, model.noise.steps, min(LEVELS, model.noise.steps) + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def exchanged(batch: LatentBatch, encoded: Encoded, layout: Layout) -> Encoded:
    """The encoder's output with every graph's rows taken from the graph half a batch away."""
    x = _nearest(batch.pos, layout.vertices, batch.num_graphs)
    f = _nearest(batch.edge_pos, layout.edges, batch.num_graphs)
    return Encoded([level[x] for level in encoded.x], [level[f] for level in encoded.f], encoded.gates)


def _nearest(pos: Tensor, stream: Stream, num_graphs: int) -> Tensor:
    """For each visible row (P,), the nearest visible row of the other graph; itself where that has none."""
    own = pos[stream.visible]
    other = (stream.visible_batch + num_graphs // 2) % num_graphs
    distance = torch.cdist(own, own).masked_fill(other[:, None] != stream.visible_batch[None], torch.inf)
    if not own.shape[0]:
        return stream.visible_batch
    nearest, row = distance.min(1)
    return torch.where(nearest.isfinite(), row, torch.arange(len(row), device=row.device))


def pairs(latents: Shards, count: int, seed: int) -> list[LatentBatch]:
    """Batches of about `count` random graphs in which graphs half a batch apart are of different patients, if any."""
    some = np.random.default_rng((seed, 13)).choice(len(latents), min(count, len(latents)), replace=False)
    numbers = sorted((int(n) for n in some), key=lambda n: (latents.patient(n), n))
    half = len(numbers) // 2
    if half == 0:
        return []
    cuts = [slice(k, min(k + BATCH // 2, half)) for k in range(0, half, BATCH // 2)]
    return [latents.latents([*numbers[:half][cut], *numbers[half : 2 * half][cut]]) for cut in cuts]
