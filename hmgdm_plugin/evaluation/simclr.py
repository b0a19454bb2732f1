"""SimCLR (Chen et al. 2020) on pixels: two views of a tile are to be found again among those of other tiles.

A ResNet-18 of half the width, as transformers builds it, whose normalisation takes the batch as it comes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .pixels import normalised, quarters

WIDTHS, DEPTHS = (32, 64, 128, 256), (2, 2, 2, 2)
PROJECTED = 128
TEMPERATURE = 0.2


class Contrasted(nn.Module):
    """SimCLR on pairs of crops."""

    def __init__(self) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        self.resnet = ResNetModel(
            ResNetConfig(embedding_size=WIDTHS[0], hidden_sizes=list(WIDTHS), depths=list(DEPTHS), layer_type="basic")
        )
        self.projection = nn.Sequential(nn.Linear(WIDTHS[-1], WIDTHS[-1]), nn.ReLU(), nn.Linear(WIDTHS[-1], PROJECTED))

    def error(self, crops: Tensor, generator: torch.Generator) -> Tensor:
        """NT-Xent of crops (2 B, 3, H, W) uint8; crop k and crop B + k are views of one tile."""
        z = nn.functional.normalize(self.projection(self.resnet(normalised(crops)).pooler_output.flatten(1)), dim=1)
        alike = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)
        partner = torch.arange(len(z), device=z.device).roll(len(z) // 2)
        return nn.functional.cross_entropy(alike, partner)

    def embed(self, tiles: Tensor) -> Tensor:
        """Mean and spread of the last feature map of tiles (B, S, S, 3) uint8: (B, 2 WIDTHS[-1])."""
        crops = quarters(tiles)
        maps = self.resnet(crops.flatten(0, 1)).last_hidden_state  # (B K, C, h, w)
        places = maps.flatten(2).transpose(1, 2).reshape(len(tiles), -1, WIDTHS[-1])
        return torch.cat([places.mean(1), places.std(1)], dim=1)
