"""Means and spreads of the rows of each graph, as scatter."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_sum(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of the rows (R, d) of each segment: (size, d)."""
    return rows.new_zeros(size, rows.shape[1]).index_add(0, index, rows)


def segment_mean(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of the rows (R, d) of each segment: (size, d); zeros where a segment is empty."""
    count = torch.bincount(index, minlength=size).clamp(min=1)
    return segment_sum(rows, index, size) / count.to(rows.dtype)[:, None]


def segment_std(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Population standard deviation of the rows (R, d) of each segment: (size, d); 0 for one row or none."""
    centred = rows - segment_mean(rows, index, size)[index]
    variance = segment_mean(centred.square(), index, size)
    return torch.where(variance > 0, variance.clamp(min=1e-24).sqrt(), torch.zeros_like(variance))
