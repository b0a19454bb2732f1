"""E_L, the tissue graph encoder: visible entities in, one pair of features (X_l, F_l) per level out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..schema.settings import DiffusionSettings
from .batch import LatentBatch
from .convolution import EntityConvolution
from .inputs import EntityEmbedding
from .rows import Mixture
from .topology import Topology


@dataclass(frozen=True)
class Encoded:
    """Levels 1..L: `x` (P, h) each, `f` (Q, h) each (empty without edge stream), and the L - 1 `gates` (Q,)."""

    x: list[Tensor]
    f: list[Tensor]
    gates: list[Tensor]


class TissueEncoder(nn.Module):
    """L layers of `EntityConvolution` over the visible vertices and edges.

    Hidden attributes are never read: rows are picked before the embedding. Vertex messages go over visible edges
    with both ends visible; edge messages over visible edges that share any end, since topology is public.

    Parameters
    ----------
    settings : DiffusionSettings
        `hidden`, `layers`, `edges`, `position`, and `encoder`: "residual" (pre-activated residual layers) or "plain"
        (method 1.3 but for the gate, see `EntityConvolution`).
    vertex_dim, edge_dim : int
        Attribute lengths dv, de.
    """

    def __init__(self, settings: DiffusionSettings, vertex_dim: int, edge_dim: int) -> None:
        super().__init__()
        hidden, residual = settings.hidden, settings.encoder == "residual"
        self.residual = residual
        self.vertex = EntityEmbedding(vertex_dim, hidden, position=settings.position, kinds=True, plain=not residual)
        self.edge = (
            EntityEmbedding(edge_dim, hidden, position=settings.position, kinds=False, plain=not residual)
            if settings.edges
            else None
        )
        self.layers = nn.ModuleList(
            EntityConvolution(hidden, edges=settings.edges, gated=level > 0, residual=residual)
            for level in range(settings.layers)
        )

    def forward(self, batch: LatentBatch, vertices: Tensor | None, edges: Tensor | None, topology: Topology) -> Encoded:
        """Encode the visible `vertices` (P,) and `edges` (Q,) of `batch`, or all; `topology` is in their order."""
        x = self.vertex(_taken(batch.x, vertices), *(_pick(each, vertices) for each in (batch.pos, batch.kind)))
        f = None if self.edge is None else self.edge(_taken(batch.edge_attr, edges), _pick(batch.edge_pos, edges))
        encoded = Encoded([], [], [])
        for level, layer in enumerate(self.layers):
            x, f, gate = layer(x, f, topology)
            if not self.residual and level + 1 < len(self.layers):
                x, f = torch.relu(x), None if f is None else torch.relu(f)
            encoded.x.append(x)
            if f is not None:
                encoded.f.append(f)
            if level > 0:
                encoded.gates.append(x.new_ones(topology.weight.shape[0]) if gate is None else gate)
        return encoded


def _pick(values: Tensor, rows: Tensor | None) -> Tensor:
    """The `rows` (R,) of values (N, ...), or all."""
    return values if rows is None else values.index_select(0, rows)


def _taken(attributes: Tensor, rows: Tensor | None) -> Tensor | Mixture:
    """The same of attributes (N, d), which are wide: put together where they are needed."""
    return attributes if rows is None else Mixture(attributes, rows)
