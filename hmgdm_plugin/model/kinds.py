"""Superpixels and nuclei apart: which vertices are summed up together, and how much there is of each kind.

A mean over both would say of nuclei only what their share of the tile lets through. Each kind is therefore summed up by
itself, and beside that stands how many nuclei there are and how much of the tile they cover.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .segments import segment_sum

KINDS = 2  # superpixels and nuclei
AMOUNTS = 2  # numbers for each kind but the first


@dataclass(frozen=True)
class Vertices:
    """Vertices that are read out by graph and kind.

    Parameters
    ----------
    batch : (N,) int64
        Graph of each.
    num_graphs : int
        B.
    area : (N,) float, optional
        Weight of each in its graph: the share of the tile's tissue that it covers. Equal weights where not given.
    kind : (N,) int64, optional
        0 superpixel, 1 nucleus; all superpixels where not given.
    tissue : (B,) float, optional
        Share of each tile that is tissue; all of it where not given.
    """

    batch: Tensor
    num_graphs: int
    area: Tensor | None = None
    kind: Tensor | None = None
    tissue: Tensor | None = None

    def weight(self) -> Tensor:
        """Weight of each vertex (N,); not normalised."""
        return torch.ones(len(self.batch), device=self.batch.device) if self.area is None else self.area

    def owner(self, kinds: int) -> Tensor:
        """Group (N,) of each vertex: graph by graph, each kind by itself where `kinds` is 2."""
        if kinds == 1:
            return self.batch
        return self.batch * kinds if self.kind is None else self.batch * kinds + self.kind

    def amounts(self, kinds: int) -> Tensor:
        """log(1 + number in a tile full of tissue) and area (B, AMOUNTS (kinds - 1)) of each kind but the first."""
        area = self.weight()
        sums = segment_sum(
            torch.stack([torch.ones_like(area), area], dim=1), self.owner(kinds), self.num_graphs * kinds
        )
        count, covered = sums.view(self.num_graphs, kinds, AMOUNTS)[:, 1:].unbind(2)
        return torch.cat([(count / self.share()).log1p(), covered], dim=1)

    def share(self) -> Tensor:
        """Share of each tile that is tissue, (B, 1)."""
        whole = torch.ones(self.num_graphs, device=self.batch.device)
        return (whole if self.tissue is None else self.tissue)[:, None]
