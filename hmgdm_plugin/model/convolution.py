r"""One EHGNN layer: graph convolution on vertices, dual-hypergraph convolution on edges, edge gates between them.

Vertices: :math:`X'=\tilde D^{-1/2}\tilde A(w)\tilde D^{-1/2}X\Theta+b`, A weighted by gates w, with self-loops.
Edges: :math:`F'=D^{-1}HB^{-1}H^\top F\Psi+c` on the dual hypergraph (Jo et al. 2021), where edges are the vertices and
vertices the hyperedges; hyperedges of one edge are dropped and every edge gets one of its own. O(M).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import Linear, linears
from .topology import Topology


class EntityConvolution(nn.Module):
    """One layer on both streams.

    Parameters
    ----------
    hidden : int
        Width h.
    edges : bool
        Without the edge stream all gates are 1.
    gated : bool
        Vertex messages are weighed by ``2 * sigmoid(HConv(F))``, 1 on average at the start. The paper's code clamps
        tanh to [0, 1], which shuts 8-98 % of the edges for good at initialisation.
    residual : bool
        ``X + GCN(GELU(LayerNorm(X)))``; otherwise the bare convolution of the paper, to which the caller adds ReLU.
    """

    def __init__(self, hidden: int, *, edges: bool, gated: bool, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.vertex = _Stream(hidden, residual)
        self.edge = _Stream(hidden, residual) if edges else None
        self.gate = Linear(hidden, 1) if edges and gated else None

    def forward(self, x: Tensor, f: Tensor | None, topology: Topology) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """X (P, h), F (M, h) or None to the same, and the gates (M,) that weighed the vertex messages."""
        gate: Tensor | None = None
        if f is not None and self.edge is not None:
            sent, *logit = self.edge.project(f, self.gate)
            gate = 2 * topology.across_edges(logit[0]).squeeze(1).sigmoid() if logit else None
            f = topology.across_edges(sent, *self.edge.added(f))
        (sent,) = self.vertex.project(x)
        x = topology.across_vertices(sent, gate, *self.vertex.added(x))
        return x, f, gate


class _Stream(nn.Module):
    """Norm, weights and bias of one stream; the message passing between them is the caller's."""

    def __init__(self, hidden: int, residual: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden) if residual else None
        self.weight = Linear(hidden, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))

    def project(self, x: Tensor, gate: nn.Linear | None = None) -> tuple[Tensor, ...]:
        """X Theta of X (R, h), pre-activated in a residual layer (Li et al. 2020), and the `gate` of the same.

        In the parameters' precision also under autocast: sums over neighbours follow.
        """
        layers = [self.weight] if gate is None else [self.weight, gate]
        return linears(x, layers, self.norm, active=self.norm is not None, whole=True)

    def added(self, before: Tensor) -> tuple[Tensor | None, Tensor]:
        """What is added to the messages: in a residual layer the input, and the bias."""
        return None if self.norm is None else before, self.bias
