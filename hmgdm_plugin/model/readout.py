"""The readout: what a tile's tokens are, beside the bare last level of the encoder.

A token holds the entity's own attributes, which the encoder need not carry through its levels, and the directions
of the last level in which views of one tile (turned, mirrored, stained otherwise) agree most and tiles differ most:
Fisher's discriminant with tiles as classes, which needs no label. Whitening by that agreement leaves out what staining
and chance put into the width of the model, and a probe on a few dozen patients has fewer numbers to get lost in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .arrangement import NUMBERS, arrangement
from .batch import LatentBatch
from .segments import segment_mean, segment_std

RIDGE = 0.05  # share of the mean variance within tiles that is added to every direction
FLAT = 1e-6  # a deviation below which a feature says nothing


class Readout(nn.Module):
    """Directions of the encoder's last level, and which attributes stand beside them.

    Parameters
    ----------
    width : int
        w, numbers per vertex in which the directions are found: 2 h of the last level, its own and its edges' mean.
    size : int
        k, number of directions; random ones until `fit`.
    first, last : int
        Attributes `first` to before `last` become part of the token.
    arranged : int
        Directions, the first ones, whose `arrangement` becomes part of a tile's embedding.

    Attributes
    ----------
    centre : (w,)
    directions : (w, k)
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, width: int, size: int, first: int, last: int, arranged: int = 0) -> None:
        super().__init__()
        self.own, self.arranged = slice(first, last), arranged
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("directions", torch.randn(width, size) / width**0.5)

    @property
    def token_size(self) -> int:
        """Numbers per token."""
        return self.own.stop - self.own.start + self.directions.shape[1]

    @property
    def embedding_size(self) -> int:
        """Numbers per tile."""
        return 2 * self.token_size + NUMBERS * self.arranged

    def embed(self, tokens: Tensor, batch: LatentBatch) -> Tensor:
        """Embedding (B, embedding_size) of tiles: mean and spread of their tokens by area, and their arrangement."""
        owner, graphs, weight = batch.batch, batch.num_graphs, batch.weight()
        parts = [segment_mean(tokens, owner, graphs, weight), segment_std(tokens, owner, graphs, weight)]
        if self.arranged:
            first = self.own.stop - self.own.start
            parts.append(arrangement(tokens[:, first : first + self.arranged], batch))
        return torch.cat(parts, dim=1)

    def forward(self, attributes: Tensor, level: Tensor) -> Tensor:
        """Tokens (N, token_size) of attributes (N, dv) and the last level (N, w)."""
        return torch.cat([attributes[:, self.own], (level - self.centre) @ self.directions], dim=1)

    @torch.no_grad()
    def fit(self, tiles: Tensor, groups: Tensor) -> None:
        """Set the directions from mean last levels (T, w) of tiles and the group (T,) int64 of each tile's views.

        Without two views of any tile the directions are those of the largest variance, whitened.

        Raises
        ------
        ValueError
            Fewer than two tiles.
        """
        if len(tiles) < 2:
            raise ValueError("a readout needs two tiles or more")
        rows = tiles.double()
        centre, deviation = rows.mean(0), rows.std(0, correction=0)
        scale = torch.where(deviation > FLAT, 1 / deviation.clamp(min=FLAT), torch.zeros_like(deviation))
        z = (rows - centre) * scale
        total = z.T @ z / len(z)
        number = groups.unique(return_inverse=True)[1]
        count = torch.bincount(number)
        inside = z - segment_mean(z, number, len(count))[number]
        free = len(z) - len(count)
        within = inside.T @ inside / free if free else torch.zeros_like(total)
        level = within.diagonal().mean() if free else total.diagonal().mean()
        identity = torch.eye(len(total), dtype=total.dtype)
        values, vectors = torch.linalg.eigh(within + (RIDGE * level if free else 1.0) * identity)
        white = vectors / values.sqrt()
        strength, turned = torch.linalg.eigh(white.T @ total @ white)
        best = (white @ turned).flip(1)[:, : self.directions.shape[1]]
        if not free:
            best = best / strength.flip(0)[: best.shape[1]].clamp(min=FLAT).sqrt()
        best = best * torch.sign(best[best.abs().argmax(0), torch.arange(best.shape[1])])  # the same on every machine
        self.centre.copy_(centre)
        self.directions.copy_(scale[:, None] * best)
