"""What the encoder gives for whole graphs, and its task-free readouts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import LatentBatch
from .readout import Readout
from .segments import segment_mean, segment_std


@dataclass(frozen=True)
class Embedding:
    """Encoder features of every entity of a batch.

    Parameters
    ----------
    x : (N, h)
        Vertex features, level L.
    edges : (M, h)
        Edge features, level L; zeros in a model without edge stream.
    layers_x : list of (N, h)
        Vertex features of levels 1..L.
    gates : list of (M,)
        Weight of each edge in the vertex messages of levels 2..L.
    source : LatentBatch
        The batch embedded.
    readout : Readout, optional
        What tokens are made of; without one they are the last level as it is.
    """

    x: Tensor
    edges: Tensor
    layers_x: list[Tensor]
    gates: list[Tensor]
    source: LatentBatch
    readout: Readout | None = None

    def vertex_mean(self) -> Tensor:
        """(B, h); each vertex counts by its area, so that the mean is over tissue and not over its pieces."""
        return segment_mean(self.x, self.source.batch, self.source.num_graphs, self.source.weight())

    def edge_mean(self) -> Tensor:
        """(B, h); zeros for a graph without edges."""
        return segment_mean(self.edges, self.source.edge_batch, self.source.num_graphs)

    def pooled(self) -> Tensor:
        """Task-free embedding of each graph: mean of vertices, mean of edges (B, 2h).

        With a readout: what that makes of the tokens, (B, embedding_size).
        """
        if self.readout is None:
            return torch.cat([self.vertex_mean(), self.edge_mean()], dim=1)
        return self.readout.embed(self.tokens(), self.source)

    def spread(self) -> Tensor:
        """(B, 2h): standard deviation of vertices, by area, and of edges."""
        source = self.source
        vertices = segment_std(self.x, source.batch, source.num_graphs, source.weight())
        return torch.cat([vertices, segment_std(self.edges, source.edge_batch, source.num_graphs)], dim=1)

    def tokens(self) -> Tensor:
        """One row per vertex: `last_level`, (N, 2h), or what the readout makes of it, (N, token_size)."""
        level = self.last_level()
        return level if self.readout is None else self.readout(self.source.x, level, self.source.kind)

    def last_level(self) -> Tensor:
        """(N, 2h): each vertex beside the mean of its edges, zeros if it has none."""
        ends = self.source.edge_index
        incident = segment_mean(torch.cat([self.edges, self.edges]), ends.flatten(), self.x.shape[0])
        return torch.cat([self.x, incident], dim=1)
