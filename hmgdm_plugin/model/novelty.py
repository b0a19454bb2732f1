"""How unlike the training data a tile is: its Mahalanobis distance from them, in shrunk principal components."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .batch import LatentBatch
from .segments import segment_mean, segment_std


def looks(graphs: LatentBatch) -> Tensor:
    """What of each graph the distance is measured on, (B, m): mean and spread, by area, of its superpixels' features.

    Nuclei are left out: where an image is unlike all others, what a detector finds in it means little.
    """
    tissue = graphs.weight() * (graphs.kind == 0)
    parts = [each(graphs.x, graphs.batch, graphs.num_graphs, tissue) for each in (segment_mean, segment_std)]
    return torch.cat(parts, dim=1)


class Novelty(nn.Module):
    """Distance of graphs from those learnt from, over the limit that most graphs of left-out patients stay below.

    Parameters
    ----------
    dim, components : int
        m, length of `looks`; p.

    Attributes
    ----------
    mean, scale : (m,)
        Standardisation.
    components : (m, p)
        Orthonormal columns.
    spread : (p,)
        Standard deviation along each, shrunk towards their mean.
    limit : (1,)
        Distance that counts as 1.
    """

    mean: Tensor
    scale: Tensor
    components: Tensor
    spread: Tensor
    limit: Tensor

    def __init__(self, dim: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("components", torch.eye(dim, components))
        self.register_buffer("spread", torch.ones(components))
        self.register_buffer("limit", torch.ones(1))

    def distance(self, looks: Tensor) -> Tensor:
        """Mahalanobis distance (B,) of `looks` (B, m)."""
        whitened = ((looks - self.mean) / self.scale) @ self.components / self.spread
        return whitened.square().sum(1).sqrt()

    def forward(self, graphs: LatentBatch) -> Tensor:
        """Novelty (B,) of `graphs`: above 1 is unlike the training data."""
        return self.distance(looks(graphs)) / self.limit
