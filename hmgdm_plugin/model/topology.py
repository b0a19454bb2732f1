"""Who sends to whom between vertices and edges: index structures of one forward and the sums over them.

A sum over neighbours is one kernel that reads the senders sorted by receiver and stores nothing else; gathering and
scattering takes four to eight times as long. Both operators are symmetric but for their scales, so that the backward
passes are the same sums. On one thread of a processor a whole operator is one kernel (`sums`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .sums import around_edges, around_vertices, back_to_vertices

SUM = 0  # of the modes of `embedding_bag`


@dataclass(frozen=True)
class Incidence:
    """Which rows are summed into which receivers.

    Parameters
    ----------
    rows : (K,) int64
        Rows to read, sorted by receiver.
    starts : (S + 1,) int64
        Where those of each of S receivers begin in `rows`.
    """

    rows: Tensor
    starts: Tensor

    @classmethod
    def of(cls, rows: Tensor, receivers: Tensor, size: int) -> tuple[Incidence, Tensor]:
        """Row ``rows[k]`` goes to ``receivers[k]`` (K,) < `size`; also the order (K,) that sorts by receiver."""
        order = receivers.argsort(stable=True)
        ends = torch.bincount(receivers, minlength=size).cumsum(0)
        return cls(rows[order], torch.cat([ends.new_zeros(1), ends])), order

    def sum(self, rows: Tensor, weight: Tensor | None = None) -> Tensor:
        """Sums (S, h) of rows (R, h), each times its `weight` (K,); not differentiable."""
        if not self.rows.numel():
            return rows.new_zeros(self.starts.shape[0] - 1, rows.shape[1])
        bags = torch.embedding_bag(
            rows, self.rows, self.starts, mode=SUM, per_sample_weights=weight, include_last_offset=True
        )
        return bags[0]


@dataclass(frozen=True)
class Topology:
    """Index structures of one forward, shared by all layers.

    Parameters
    ----------
    share : (V, 1) float
        1 / edges at a vertex; 0 where its hyperedge is dropped.
    weight : (M, 1) float
        1 / hyperedges that hold an edge, its own included.
    edges_at, ends_of : Incidence
        Edges to the V vertices that they touch, and vertices to the M edges that they end: topology is public.
    links : (2, K) int64
        Ends of the edges that carry messages between vertices.
    carriers : (K,) int64
        Which of the M edges these are.
    neighbours : Incidence
        Vertices with features to those that they are linked to.
    along : (2 K,) int64
        The link that each of the rows in `neighbours` comes along.
    """

    share: Tensor
    weight: Tensor
    edges_at: Incidence
    ends_of: Incidence
    links: Tensor
    carriers: Tensor
    neighbours: Incidence
    along: Tensor

    @classmethod
    def of(cls, ends: Tensor, vertices: int, present: int, dtype: torch.dtype) -> Topology:
        """Topology of edges `ends` (2, M) among `vertices`, the first `present` of which have features."""
        numbers = torch.arange(2 * ends.shape[1] + 1, device=ends.device)
        edges_at, order = Incidence.of(numbers[: ends.shape[1]].repeat(2), ends.flatten(), vertices)
        ends_of = Incidence(ends.t().flatten(), numbers[::2].contiguous())
        degree = edges_at.starts.diff()
        kept = degree > 1
        share = kept.to(dtype) / degree.clamp(min=1)
        weight = 1 / (1 + kept[ends].sum(0)).to(dtype)
        if present == vertices:  # all edges carry messages: the two incidences are one
            carriers, links, along = numbers[: ends.shape[1]], ends, edges_at.rows
            neighbours = Incidence(ends.flip(0).flatten()[order], edges_at.starts)
        else:
            carriers = (ends < present).all(0).nonzero().squeeze(1)
            links = ends[:, carriers]
            neighbours, order = Incidence.of(links.flip(0).flatten(), links.flatten(), present)
            along = numbers[: carriers.shape[0]].repeat(2)[order]
        return cls(share[:, None], weight[:, None], edges_at, ends_of, links, carriers, neighbours, along)

    @property
    def heard(self) -> tuple[Tensor, Tensor, Tensor]:
        """Neighbours of each vertex, where they begin, and the link that each comes along."""
        return self.neighbours.rows, self.neighbours.starts, self.along

    def across_edges(self, f: Tensor, beside: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """D^-1 H B^-1 H^T f of edge features (M, h), plus `beside` (M, h) and `bias` (h,)."""
        return _AcrossEdges.apply(f, beside, bias, self)  # type: ignore[no-untyped-call]

    def across_vertices(
        self, x: Tensor, gate: Tensor | None, beside: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """Symmetrically normalised neighbourhood sum of vertex features (P, h); `gate` (M,) weighs the edges.

        Plus `beside` (P, h) and `bias` (h,).
        """
        w = x.new_ones(self.carriers.shape[0]) if gate is None else gate.index_select(0, self.carriers)
        return _AcrossVertices.apply(x, w, beside, bias, self)  # type: ignore[no-untyped-call]


class _AcrossEdges(torch.autograd.Function):
    """weight * (H share H^T + 1) f, plus what stands beside it."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, beside: Tensor | None, bias: Tensor | None, topology: Topology) -> Tensor:
        ctx.topology = topology
        if _compiled(f):
            return _around_compiled(f, topology, True, beside, bias)
        return _added(_around(f, topology).mul_(topology.weight), beside, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        topology: Topology = ctx.topology
        if _compiled(grad):
            to_f = _around_compiled(grad, topology, False, None, None)
        else:
            to_f = _around(grad * topology.weight, topology)
        return to_f, *_to_added(ctx.needs_input_grad[1:3], grad), None


def _around(f: Tensor, topology: Topology) -> Tensor:
    """(H share H^T + 1) f of edge features (M, h)."""
    mean = topology.edges_at.sum(f).mul_(topology.share)
    return topology.ends_of.sum(mean).add_(f)


def _around_compiled(f: Tensor, topology: Topology, last: bool, beside: Tensor | None, bias: Tensor | None) -> Tensor:
    """The same with the weight, `last` or first."""
    out, at, ends = f.new_empty(f.shape), topology.edges_at, topology.ends_of.rows
    given = f.contiguous(), at.rows, at.starts, ends, topology.share, topology.weight
    around_edges(last, *_arrays(*given, *_rows(f, beside, bias), out))
    return out


class _AcrossVertices(torch.autograd.Function):
    """s * (A(w) + 1) (s * x), s the inverse root of the degrees 1 + sum of w; differentiable in x and w."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, beside: Tensor | None, bias: Tensor | None, topology: Topology
    ) -> Tensor:
        ctx.topology = topology
        if _compiled(x):
            scale, (sent, got, out) = x.new_empty(len(x), 1), (x.new_empty(x.shape) for _ in range(3))
            given = x.contiguous(), w.contiguous(), *topology.heard, *_rows(x, beside, bias)
            around_vertices(*_arrays(*given, scale.squeeze(1), sent, got, out))
            ctx.save_for_backward(sent, w, scale, got)
            return out
        weight = w.index_select(0, topology.along)
        degree = topology.neighbours.sum(w.new_ones(x.shape[0], 1), weight).add_(1)
        scale = degree.rsqrt_()
        sent = x * scale
        got = topology.neighbours.sum(sent, weight).add_(sent)
        ctx.save_for_backward(sent, w, scale, got)
        return _added(got * scale, beside, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, w and what was added."""
        return *_to_vertices(ctx, grad), *_to_added(ctx.needs_input_grad[2:4], grad), None


def _to_vertices(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
    """Those of x and w."""
    topology: Topology = ctx.topology
    sent, w, scale, got = ctx.saved_tensors
    u, v = topology.links
    if _compiled(grad):
        to_x, to_w = grad.new_empty(grad.shape), w.new_empty(len(u) if ctx.needs_input_grad[1] else 0)
        given = grad.contiguous(), w.contiguous(), *topology.heard, topology.links
        back_to_vertices(*_arrays(*given, scale.squeeze(1), sent, got, to_x, to_w))
        return to_x, to_w if ctx.needs_input_grad[1] else None
    weight = w.index_select(0, topology.along)
    back = grad * scale
    to_sent = topology.neighbours.sum(back, weight).add_(back)
    if not ctx.needs_input_grad[1]:
        return to_sent * scale, None
    to_scale = (grad * got).sum(1) + (to_sent * sent).sum(1) / scale.squeeze(1)
    to_degree = to_scale * scale.squeeze(1).pow(3) * -0.5
    ends = torch.cat([back, sent], dim=1).index_select(0, u), torch.cat([sent, back], dim=1).index_select(0, v)
    to_w = (ends[0] * ends[1]).sum(1) + to_degree[u] + to_degree[v]
    return to_sent * scale, to_w


def _added(message: Tensor, beside: Tensor | None, bias: Tensor | None) -> Tensor:
    """`message` (R, h) plus those."""
    message = message if beside is None else message.add_(beside)
    return message if bias is None else message.add_(bias)


def _to_added(wanted: Sequence[bool], grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of what is added, where they are `wanted`."""
    return grad if wanted[0] else None, grad.sum(0) if wanted[1] else None


def _compiled(rows: Tensor) -> bool:
    """Whether the kernels of `sums` are for these."""
    return rows.device.type == "cpu" and rows.dtype == torch.float32 and torch.get_num_threads() == 1


def _rows(rows: Tensor, beside: Tensor | None, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """What is added to `rows`, empty where there is nothing."""
    return rows[:0] if beside is None else beside.contiguous(), rows.new_empty(0) if bias is None else bias


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(each.detach().numpy() for each in tensors)
