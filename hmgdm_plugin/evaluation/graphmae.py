"""GraphMAE (Hou et al. 2022) on the same entity graphs: hidden vertices, a graph network, their attributes restored.

Half of the vertices of each graph are hidden behind a learnt token, a two-layer network of torch-geometric encodes the
graph, the hidden ones are hidden again, one layer decodes, and the scaled cosine error is minimised. Edges have no
content here: what H-MGDM knows of contacts, this rival does not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.batch import LatentBatch
from ..model.segments import segment_mean, segment_std
from ..model.split import dual_split

LAYERS, SHARPNESS, HIDDEN = 2, 2.0, 0.5


class GraphMae(nn.Module):
    """GraphMAE on vertex attributes (N, dim), `width` wide."""

    def __init__(self, dim: int, width: int) -> None:
        from torch_geometric.nn import GINConv

        super().__init__()
        self.token, self.again = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(width))
        sizes = (dim, *[width] * LAYERS)
        self.layers = nn.ModuleList(GINConv(_mlp(sizes[k], width), train_eps=True) for k in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(LAYERS))
        self.between = nn.Linear(width, width, bias=False)
        self.decoder = GINConv(_mlp(width, dim), train_eps=True)

    def error(self, batch: LatentBatch, generator: torch.Generator) -> Tensor:
        """Scaled cosine error of the hidden vertices."""
        hidden = dual_split(batch.batch, batch.num_graphs, HIDDEN, generator)
        edges = both_ways(batch)
        coded = self.between(self._encode(torch.where(hidden[:, None], self.token, batch.x), edges))
        restored = self.decoder(torch.where(hidden[:, None], self.again, coded), edges)
        alike = nn.functional.cosine_similarity(restored[hidden], batch.x[hidden], dim=1)
        return (1 - alike).pow(SHARPNESS).mean()

    def embed(self, batch: LatentBatch) -> tuple[Tensor, Tensor]:
        """Mean and spread of the vertices of each graph, by area: (B, width) each."""
        x = self._encode(batch.x, both_ways(batch))
        where = (batch.batch, batch.num_graphs, batch.weight())
        return segment_mean(x, *where), segment_std(x, *where)

    def _encode(self, x: Tensor, edges: Tensor) -> Tensor:
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x, edges)))
        return x


def both_ways(batch: LatentBatch) -> Tensor:
    """Edges (2, 2 M) in both directions."""
    return torch.cat([batch.edge_index, batch.edge_index.flip(0)], dim=1)


def _mlp(dim: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, width))
