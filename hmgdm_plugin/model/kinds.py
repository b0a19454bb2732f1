"""Superpixels and nuclei apart: which entities are summed up together, and how much there is of each kind.

A mean over both would say of nuclei only what their share of the tile lets through. Each kind is therefore summed up by
itself, and beside that stands how many nuclei there are and how much of the tile they cover.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .segments import segment_sum

KINDS = 2  # superpixels and nuclei
AMOUNTS = 2  # numbers for each kind but the first


def owners(batch: Tensor, kind: Tensor | None, kinds: int) -> Tensor:
    """Group (N,) of vertices of the graphs `batch` (N,): graph by graph, each kind by itself where `kinds` is 2.

    Without `kind` (N,) all are superpixels.
    """
    if kinds == 1:
        return batch
    return batch * kinds if kind is None else batch * kinds + kind


def amounts(owner: Tensor, area: Tensor, num_graphs: int, kinds: int) -> Tensor:
    """log(1 + number) and area (B, AMOUNTS (kinds - 1)) of the vertices of each kind but the first.

    Parameters
    ----------
    owner, area : (N,)
        Group from `owners`, and share of the tile, of each vertex.
    """
    sums = segment_sum(torch.stack([torch.ones_like(area), area], dim=1), owner, num_graphs * kinds)
    count, covered = sums.view(num_graphs, kinds, AMOUNTS)[:, 1:].unbind(2)
    return torch.cat([count.log1p(), covered], dim=1)
