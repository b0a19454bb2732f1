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


def weighted_mean(rows: Tensor, weight: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean of the rows (R, d) of each segment by `weight` (R,) > 0: (size, d); zeros where a segment is empty."""
    total = segment_sum(weight[:, None], index, size)
    return segment_sum(rows * weight[:, None], index, size) / total.clamp(min=1e-12)


def weighted_std(rows: Tensor, weight: Tensor, index: Tensor, size: int) -> Tensor:
    """Population standard deviation by `weight` (R,): (size, d); 0 for one row or none."""
    centred = rows - weighted_mean(rows, weight, index, size)[index]
    return weighted_mean(centred.square(), weight, index, size).clamp(min=0).sqrt()


def segment_std(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Population standard deviation of the rows (R, d) of each segment: (size, d); 0 for one row or none."""
    centred = rows - segment_mean(rows, index, size)[index]
    variance = segment_mean(centred.square(), index, size)
    return torch.where(variance > 0, variance.clamp(min=1e-24).sqrt(), torch.zeros_like(variance))
