"""The random dual split: which vertices and edges are targets (S, hidden), the rest being the condition (visible)."""

from __future__ import annotations

import torch
from torch import Tensor

from .slots import rank_in_graph


def dual_split(batch: Tensor, num_graphs: int, ratio: float, generator: torch.Generator | None = None) -> Tensor:
    """Hide ``clamp(floor(ratio * n), 1, n - 1)`` random entities of every graph; a graph of one keeps it visible.

    Parameters
    ----------
    batch : (N,) int64
        Graph of each entity.
    num_graphs : int
        B.
    ratio : float
        Share to hide, in (0, 1).
    generator : torch.Generator, optional
        Drives the draw.

    Returns
    -------
    (N,) bool
        True where hidden.
    """
    where = generator.device if generator is not None else batch.device
    key = torch.rand(batch.numel(), generator=generator, dtype=torch.float64, device=where).to(batch.device)
    count = torch.bincount(batch, minlength=num_graphs)
    hide = torch.minimum((count.double() * ratio + 1e-9).floor().long().clamp(min=1), (count - 1).clamp(min=0))
    order = (key + 2.0 * batch).argsort()
    return rank_in_graph(batch, count, order) < hide[batch]
