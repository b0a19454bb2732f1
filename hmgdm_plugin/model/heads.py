"""Heads on frozen embeddings: gated pooling to values or classes, and clusters for what has no label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from .kinds import AMOUNTS, Vertices
from .segments import segment_softmax, segment_sum

EPSILON = 1e-6  # added to the gated variance: its root has a gradient also where all tokens are equal


@dataclass(frozen=True)
class HeadOutput:
    """Answer per graph.

    Parameters
    ----------
    value : (B, outputs)
        In the target's own units; class probabilities for classification.
    raw : (B, outputs)
        Before the link: standardised (log) target, or logits.
    gate : (N,)
        Weight of each vertex in its graph; sums to 1 per graph, and per kind where kinds are told apart.
    """

    value: Tensor
    raw: Tensor
    gate: Tensor


@dataclass(frozen=True)
class Pooled:
    """Gated moments of the standardised tokens of each graph, or of each of its kinds, graph by graph.

    `mean`, `std` (G, d), G = B kinds; `owner` (N,), which of the G a vertex belongs to; `gate` (N,); `z` (N, d);
    `amounts` (B, a), standardised.
    """

    mean: Tensor
    std: Tensor
    owner: Tensor
    gate: Tensor
    z: Tensor
    amounts: Tensor

    def rows(self) -> Tensor:
        """What the linear layer takes: means, amounts, spreads, (B, 2 kinds d + a)."""
        graphs = len(self.amounts)
        return torch.cat([self.mean.view(graphs, -1), self.amounts, self.std.view(graphs, -1)], dim=1)


class GatedHead(nn.Module):
    """Attention pooling (Ilse et al. 2018) of vertex tokens, then one linear layer on [gated mean | gated std].

    Where kinds are told apart, each is pooled by itself, and their `amounts` stand between the means and the spreads.
    Gate logits are exactly 0 at the start, which is mean pooling (by area where areas are given); so are the linear
    weights, which is the mean target.

    Parameters
    ----------
    dim : int
        d, token length: `HMGDM.token_size`.
    outputs : int
        Values, or classes.
    kind : {"regression", "classification"}
    transform : {"none", "log"}
        "log": the target enters as log(1 + target). Regression only.
    gate_hidden : int
        Width of the gate network.
    kinds : {1, 2}
        2: superpixels and nuclei apart.

    Attributes
    ----------
    token_mean, token_std : (d,), or (kinds, d)
        Standardisation of the tokens.
    amount_mean, amount_std : (a,)
        Standardisation of the amounts; none where kinds are not told apart.
    target_mean, target_std : (outputs,)
        Standardisation of the transformed target.
    target_low, target_high : (outputs,)
        Range of the targets learnt from, in their own unit; regression values are kept inside it.
    """

    token_mean: Tensor
    token_std: Tensor
    amount_mean: Tensor
    amount_std: Tensor
    target_mean: Tensor
    target_std: Tensor
    target_low: Tensor
    target_high: Tensor

    def __init__(
        self,
        dim: int,
        outputs: int,
        kind: Literal["regression", "classification"],
        transform: Literal["none", "log"] = "none",
        gate_hidden: int = 16,
        kinds: int = 1,
    ) -> None:
        super().__init__()
        self.kind, self.transform, self.kinds = kind, transform, kinds
        counted = AMOUNTS * (kinds - 1)
        gate_out = nn.Linear(gate_hidden, 1, bias=False)  # a bias would cancel in the softmax
        self.linear = nn.Linear(2 * kinds * dim + counted, outputs)
        for weight in (gate_out.weight, self.linear.weight, self.linear.bias):
            nn.init.zeros_(weight)
        self.gate = nn.Sequential(nn.Linear(dim, gate_hidden), nn.Tanh(), gate_out)
        apart = (dim,) if kinds == 1 else (kinds, dim)
        for name, size in (("token", apart), ("amount", (counted,)), ("target", (outputs,))):
            if counted or name != "amount":
                self.register_buffer(f"{name}_mean", torch.zeros(size))
                self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("target_low", torch.full((outputs,), -torch.inf))
        self.register_buffer("target_high", torch.full((outputs,), torch.inf))

    def pool(self, tokens: Tensor, vertices: Vertices) -> Pooled:
        """Gate and pool tokens (N, d); the area is the gate before it has learnt."""
        owner, groups = vertices.owner(self.kinds), vertices.num_graphs * self.kinds
        of = owner % self.kinds
        z = (tokens - self.token_mean.view(self.kinds, -1)[of]) / self.token_std.view(self.kinds, -1)[of]
        prior = 0.0 if vertices.area is None else vertices.area.clamp(min=1e-9).log()[:, None]
        gate = segment_softmax(self.gate(z) + prior, owner, groups)  # (N, 1)
        mean = segment_sum(gate * z, owner, groups)
        variance = segment_sum(gate * (z - mean[owner]).square(), owner, groups)
        amount = self.scaled(vertices.amounts(self.kinds))
        return Pooled(mean, (variance + EPSILON).sqrt(), owner, gate.squeeze(1), z, amount)

    def scaled(self, amount: Tensor) -> Tensor:
        """Amounts (B, a), standardised."""
        return (amount - self.amount_mean) / self.amount_std if self.kinds > 1 else amount

    def forward(self, tokens: Tensor, vertices: Vertices) -> HeadOutput:
        """Answer for the graphs whose vertices have the tokens (N, d)."""
        pooled = self.pool(tokens, vertices)
        raw = self.linear(pooled.rows())
        return HeadOutput(self._value(raw), raw, pooled.gate)

    def loss(self, output: HeadOutput, target: Tensor) -> Tensor:
        """Mean squared error of the standardised target (B, outputs), or cross-entropy of classes (B,) int64."""
        if self.kind == "classification":
            return nn.functional.cross_entropy(output.raw, target)
        wanted = target.log1p() if self.transform == "log" else target
        return nn.functional.mse_loss(output.raw, (wanted - self.target_mean) / self.target_std)

    def _value(self, raw: Tensor) -> Tensor:
        if self.kind == "classification":
            return raw.softmax(dim=1)
        value = raw * self.target_std + self.target_mean
        value = value.expm1() if self.transform == "log" else value
        return torch.minimum(torch.maximum(value, self.target_low), self.target_high)


class ClusterHead(nn.Module):
    """Nearest of K centroids in a whitened PCA space of pooled embeddings.

    Parameters
    ----------
    dim, components, clusters : int
        d, p, K.

    Attributes
    ----------
    mean : (d,)
    components : (d, p)
        Orthonormal columns, by falling variance.
    scale : (p,)
        Standard deviation along each.
    centroids : (K, p)
    """

    mean: Tensor
    components: Tensor
    scale: Tensor
    centroids: Tensor

    def __init__(self, dim: int, components: int, clusters: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("components", torch.eye(dim, components))
        self.register_buffer("scale", torch.ones(components))
        self.register_buffer("centroids", torch.zeros(clusters, components))

    def project(self, pooled: Tensor, k: int = 3) -> Tensor:
        """First `k` whitened components (B, k) of pooled embeddings (B, d): a colour, for a picture."""
        return (pooled - self.mean) @ self.components[:, :k] / self.scale[:k]

    def forward(self, pooled: Tensor) -> Tensor:
        """Cluster (B,) int64 of pooled embeddings (B, d)."""
        return torch.cdist(self.project(pooled, self.scale.numel()), self.centroids).argmin(dim=1)
