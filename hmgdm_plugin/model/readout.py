"""The readout: what a tile's tokens are, beside the bare last level of the encoder.

A token holds the entity's own attributes, which the encoder need not carry through its levels, and the directions
of the last level in which views of one tile (turned, mirrored, stained otherwise) agree most and tiles of one slide
differ most: Fisher's discriminant with tiles as classes, which needs no label. What tells slides apart is not asked
for: such directions name the patient, and a probe that sees few patients learns them by heart. Whitening by that
agreement leaves out what staining and chance put into the width of the model, and a probe on a few dozen patients has
fewer numbers to get lost in.

Where kinds are told apart, superpixels and nuclei have directions of their own and are summed up apart; the arrangement
is that of the superpixels, which cover the tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .arrangement import NUMBERS, arrangement
from .batch import LatentBatch, subgraph
from .kinds import AMOUNTS
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
    kinds : {1, 2}
        2: superpixels and nuclei apart.

    Attributes
    ----------
    centre : (w,), or (kinds, w)
    directions : (w, k), or (kinds, w, k)
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, width: int, size: int, first: int, last: int, arranged: int = 0, kinds: int = 1) -> None:
        super().__init__()
        self.own, self.arranged, self.kinds, self.size = slice(first, last), arranged, kinds, size
        apart = () if kinds == 1 else (kinds,)
        self.register_buffer("centre", torch.zeros(*apart, width))
        self.register_buffer("directions", torch.randn(*apart, width, size) / width**0.5)

    @property
    def token_size(self) -> int:
        """Numbers per token."""
        return self.own.stop - self.own.start + self.size

    @property
    def embedding_size(self) -> int:
        """Numbers per tile."""
        return 2 * self.kinds * self.token_size + AMOUNTS * (self.kinds - 1) + NUMBERS * self.arranged

    def embed(self, tokens: Tensor, batch: LatentBatch) -> Tensor:
        """Embedding (B, embedding_size) of tiles: mean and spread of their tokens by area, and their arrangement."""
        graphs, kinds, weight = batch.num_graphs, self.kinds, batch.weight()
        owner = batch.vertices.owner(kinds)
        means, spreads = (of(tokens, owner, graphs * kinds, weight) for of in (segment_mean, segment_std))
        parts = [means.view(graphs, -1), spreads.view(graphs, -1)]
        parts.append(batch.vertices.amounts(kinds))
        if self.arranged:
            first = self.own.stop - self.own.start
            values = tokens[:, first : first + self.arranged]
            if kinds == 1:
                parts.append(arrangement(values, batch))
            else:
                tissue = batch.kind == 0
                parts.append(arrangement(values[tissue], subgraph(batch, tissue)))
        return torch.cat(parts, dim=1)

    def forward(self, attributes: Tensor, level: Tensor, kind: Tensor) -> Tensor:
        """Tokens (N, token_size) of attributes (N, dv), the last level (N, w) and the kind (N,) of vertices."""
        if self.kinds == 1:
            turned = (level - self.centre) @ self.directions
        else:
            each = ((level - centre) @ own for centre, own in zip(self.centre, self.directions, strict=True))
            turned = torch.stack([*each]).gather(0, kind[None, :, None].expand(1, -1, self.size)).squeeze(0)
        return torch.cat([attributes[:, self.own], turned], dim=1)

    @torch.no_grad()
    def fit(self, tiles: Tensor, groups: Tensor, kind: int = 0, slides: Tensor | None = None) -> None:
        """Set the directions from mean last levels (T, w) of tiles and the group (T,) int64 of each tile's views.

        Where kinds are told apart: those of `kind`, from tiles that hold some. With the slide (T,) int64 of each tile,
        it is tiles of one slide that are to differ, unless no slide has two.

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
        spread = z
        if slides is not None and len(groups.unique()) > len(slides.unique()):
            spread = z - segment_mean(z, slides, int(slides.max()) + 1)[slides]
        total = spread.T @ spread / len(z)
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
        best = (white @ turned).flip(1)[:, : self.size]
        if not free:
            best = best / strength.flip(0)[: best.shape[1]].clamp(min=FLAT).sqrt()
        best = best * torch.sign(best[best.abs().argmax(0), torch.arange(best.shape[1])])  # the same on every machine
        for own, found in ((self.centre, centre), (self.directions, scale[:, None] * best)):
            (own if self.kinds == 1 else own[kind]).copy_(found)
