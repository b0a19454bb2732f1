"""One training step of stage 2: what chance decides, and what the decoder restored beside what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .decoder import RestorationHead
from .layout import Stream
from .noise import Noise
from .rows import Mixture
from .segments import segment_mean


@dataclass(frozen=True)
class Draw:
    """All chance of one training step: what is hidden (N,) and (M,) bool, steps (B,), noise of the hidden rows."""

    hide_vertices: Tensor
    hide_edges: Tensor
    steps: Tensor
    vertex_noise: Tensor
    edge_noise: Tensor


@dataclass(frozen=True)
class Restored:
    """Hidden vertices or edges after the decoder.

    `rows` (R,) of the batch; `mixture`, of which `noisy` is made; `features` (R, h), of which `last` makes the
    correction u; per graph (B,): `loss`, `trivial` (loss of the predictor without context), `counted` (False where
    nothing was hidden).
    """

    rows: Tensor
    mixture: Mixture
    features: Tensor
    last: nn.Linear
    loss: Tensor
    trivial: Tensor
    counted: Tensor

    @property
    def noisy(self) -> Tensor:
        """x_t (R, d); worked out when it is asked for."""
        return self.mixture.all()

    @property
    def correction(self) -> Tensor:
        """u (R, d), of which and `noisy` `Noise.clean` makes the estimate of x_0; worked out when it is asked for."""
        return self.last(self.features)

    @property
    def mean_loss(self) -> Tensor:
        """Mean over the graphs that count."""
        return self.loss.sum() / self.counted.sum().clamp(min=1)

    @property
    def mean_trivial(self) -> Tensor:
        """The same of the trivial predictor."""
        return self.trivial.sum() / self.counted.sum().clamp(min=1)

    @classmethod
    def of(
        cls,
        noise: Noise,
        x0: Tensor,
        stream: Stream,
        noisy: Mixture,
        given: tuple[Tensor, RestorationHead],
        eps: Tensor,
        steps: Tensor,
        weight: Tensor,
    ) -> Restored:
        """Loss per graph of the corrections that a head makes of rows (R, h), in the target's space."""
        graph, graphs = stream.hidden_batch, steps.shape[0]
        features, last = given[1].before_last(given[0]), given[1].last
        distance, trivial = noise.distances(features, last, x0, stream.hidden, eps, steps[graph], weight)

        def per_graph(rows: Tensor) -> Tensor:
            return noise.loss_weight[steps] * segment_mean(rows[:, None], graph, graphs).squeeze(1)

        counted = torch.bincount(graph, minlength=graphs) > 0
        return cls(stream.hidden, noisy, features, last, per_graph(distance), per_graph(trivial), counted)


def part_weight(parts: tuple[int, ...]) -> Tensor:
    """Weight of each dimension: mean inside a block, blocks equal; sums to 1."""
    return torch.cat([torch.full((size,), 1.0 / (size * len(parts))) for size in parts])
