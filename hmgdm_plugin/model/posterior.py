"""The optional variational head of stage 2 (`kl_weight` > 0): the encoder's last level as a distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .encoder import Encoded
from .layers import Linear
from .layout import Layout
from .segments import segment_mean

LIMIT = 10.0  # of the log-variance


class Posterior(nn.Module):
    """Means and log-variances of X_L and F_L, by separate linear heads without activation.

    The mean starts as the identity and the log-variance as a constant -4, so that early training is close to the
    model without this head.
    """

    def __init__(self, hidden: int, *, edges: bool) -> None:
        super().__init__()
        self.vertex = _Gaussian(hidden)
        self.edge = _Gaussian(hidden) if edges else None

    def mean(self, x: Tensor, f: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior means of X_L (P, h) and F_L (Q, h)."""
        return self.vertex.mean(x), f if self.edge is None else self.edge.mean(f)

    def sample(
        self, encoded: Encoded, layout: Layout, num_graphs: int, generator: torch.Generator | None
    ) -> tuple[Encoded, Tensor]:
        """Replace the last level by a sample; the KL is a mean over dimensions, entities, graphs, streams added."""
        x, kl = self.vertex(encoded.x[-1], layout.vertices.visible_batch, num_graphs, generator)
        levels_f = encoded.f
        if self.edge is not None:
            f, kl_f = self.edge(encoded.f[-1], layout.edges.visible_batch, num_graphs, generator)
            levels_f, kl = [*encoded.f[:-1], f], kl + kl_f
        return Encoded([*encoded.x[:-1], x], levels_f, encoded.gates), kl


class _Gaussian(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.mean = Linear(hidden, hidden)
        self.log_var = Linear(hidden, hidden)
        nn.init.eye_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)
        nn.init.normal_(self.log_var.weight, std=1e-3)
        nn.init.constant_(self.log_var.bias, -4.0)

    def forward(
        self, rows: Tensor, batch: Tensor, num_graphs: int, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """A sample (R, h) and the KL, mean over graphs that have rows."""
        mean = self.mean(rows).to(rows.dtype)
        log_var = self.log_var(rows).to(rows.dtype).clamp(-LIMIT, LIMIT)
        where = generator.device if generator is not None else rows.device
        unit = torch.randn(rows.shape, generator=generator, device=where, dtype=rows.dtype).to(rows.device)
        kl = 0.5 * (log_var.exp() + mean.square() - 1 - log_var).mean(1, keepdim=True)
        graphs = (torch.bincount(batch, minlength=num_graphs) > 0).sum().clamp(min=1)
        return mean + (0.5 * log_var).exp() * unit, segment_mean(kl, batch, num_graphs).sum() / graphs
