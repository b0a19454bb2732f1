r"""One EHGNN layer: graph convolution on vertices, dual-hypergraph convolution on edges, edge gates between them.

Vertices: :math:`X'=\tilde D^{-1/2}\tilde A(w)\tilde D^{-1/2}X\Theta+b`, A weighted by gates w, with self-loops.
Edges: :math:`F'=D^{-1}HB^{-1}H^\top F\Psi+c` on the dual hypergraph (Jo et al. 2021), where edges are the vertices and
vertices the hyperedges; hyperedges of one edge are dropped and every edge gets one of its own. O(M).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .products import Linear
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
            before = self.edge.activate(f)
            gate = self._gates(before, topology)
            f = self.edge(f, topology.across_edges(self.edge.project(before)))
        x = self.vertex(x, topology.across_vertices(self.vertex.project(self.vertex.activate(x)), gate))
        return x, f, gate

    def _gates(self, activated: Tensor, topology: Topology) -> Tensor | None:
        if self.gate is None:
            return None
        logit = topology.across_edges(self.gate(activated).to(activated.dtype))
        return 2 * logit.squeeze(1).sigmoid()


class _Stream(nn.Module):
    """Norm, weights and bias of one stream; the message passing between them is the caller's."""

    def __init__(self, hidden: int, residual: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden) if residual else None
        self.weight = Linear(hidden, hidden, bias=False)
        self.bias = nn.Parameter(torch.zeros(hidden))

    def activate(self, x: Tensor) -> Tensor:
        """What is convolved: pre-activated in a residual layer (Li et al. 2020), else as it is."""
        return x if self.norm is None else nn.functional.gelu(self.norm(x))

    def project(self, x: Tensor) -> Tensor:
        """X Theta, in the parameters' precision also under autocast: sums over neighbours follow."""
        return self.weight(x).to(self.bias.dtype)

    def forward(self, before: Tensor, message: Tensor) -> Tensor:
        """Add bias and, in a residual layer, the input."""
        return message + self.bias if self.norm is None else before + message + self.bias
