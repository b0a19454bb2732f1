"""Where visible and hidden entities of a batch lie: worked out once per forward, used by encoder and decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import LatentBatch
from .slots import Pairing
from .topology import Topology


@dataclass(frozen=True)
class Stream:
    """Vertices, or edges, of a batch: P visible rows first, then R hidden ones.

    Parameters
    ----------
    visible, hidden : (P,), (R,) int64
        Rows of the batch.
    visible_batch, hidden_batch : (P,), (R,) int64
        Their graphs.
    pairing : Pairing
        Hidden rows look at visible ones.
    """

    visible: Tensor
    hidden: Tensor
    visible_batch: Tensor
    hidden_batch: Tensor
    pairing: Pairing

    @classmethod
    def of(cls, hide: Tensor, batch: Tensor, num_graphs: int) -> Stream:
        """Layout for the mask `hide` (N,) bool of entities of the graphs `batch` (N,)."""
        visible, hidden = (~hide).nonzero().squeeze(1), hide.nonzero().squeeze(1)
        graphs = batch[visible], batch[hidden]
        return cls(visible, hidden, *graphs, Pairing(graphs[1], graphs[0], num_graphs))

    @property
    def present(self) -> int:
        """P: the first hidden row."""
        return self.visible.shape[0]


@dataclass(frozen=True)
class Layout:
    """Both streams, the topology that each half of the model may use, and a graph's rows together.

    Parameters
    ----------
    vertices, edges : Stream
    visible : Topology
        Of the encoder: visible edges; vertex messages where both ends are visible too.
    whole : Topology
        Of the decoder: everything.
    joint : Pairing
        All vertices and edges of a graph look at each other; vertices only if `with_edges` was not asked for.
    """

    vertices: Stream
    edges: Stream
    visible: Topology
    whole: Topology
    joint: Pairing

    @classmethod
    def of(cls, batch: LatentBatch, hide_vertices: Tensor, hide_edges: Tensor, *, with_edges: bool) -> Layout:
        """Layout of `batch` with the vertices (N,) bool and edges (M,) bool hidden."""
        vertices = Stream.of(hide_vertices, batch.batch, batch.num_graphs)
        edges = Stream.of(hide_edges, batch.edge_batch, batch.num_graphs)
        total = hide_vertices.shape[0]
        rank = torch.empty_like(batch.batch)
        rank[torch.cat([vertices.visible, vertices.hidden])] = torch.arange(total, device=rank.device)
        ends = rank[batch.edge_index[:, torch.cat([edges.visible, edges.hidden])]]
        streams = (vertices, edges) if with_edges else (vertices,)
        rows = torch.cat([part for each in streams for part in (each.visible_batch, each.hidden_batch)])
        dtype = batch.x.dtype
        return cls(
            vertices,
            edges,
            visible=Topology.of(ends[:, : edges.present], total, vertices.present, dtype),
            whole=Topology.of(ends, total, total, dtype),
            joint=Pairing(rows, rows, batch.num_graphs),
        )
