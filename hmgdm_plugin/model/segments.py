"""Means and spreads of the rows of each graph, as scatter."""

from __future__ import annotations

import torch
from torch import Tensor


def segment_sum(rows: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of the rows (R, d) of each segment: (size, d)."""
    return rows.new_zeros(size, rows.shape[1]).index_add(0, index, rows)


def segment_mean(rows: Tensor, index: Tensor, size: int, weight: Tensor | None = None) -> Tensor:
    """Mean of the rows (R, d) of each segment, by `weight` (R,) > 0 if given: (size, d); zeros where it is empty."""
    if weight is None:
        count = torch.bincount(index, minlength=size).clamp(min=1)
        return segment_sum(rows, index, size) / count.to(rows.dtype)[:, None]
    total = segment_sum(weight[:, None], index, size)
    return segment_sum(rows * weight[:, None], index, size) / torch.where(total > 0, total, torch.ones_like(total))


def segment_std(rows: Tensor, index: Tensor, size: int, weight: Tensor | None = None) -> Tensor:
    """Population standard deviation of the rows (R, d) of each segment: (size, d); 0 for one row or none."""
    centred = rows - segment_mean(rows, index, size, weight)[index]
    variance = segment_mean(centred.square(), index, size, weight)
    return torch.where(variance > 0, variance.clamp(min=1e-24).sqrt(), torch.zeros_like(variance))


def segment_softmax(scores: Tensor, index: Tensor, size: int) -> Tensor:
    """Softmax of the scores (R, d) over the rows of each segment: (R, d)."""
    rows = index[:, None].expand_as(scores)
    top = scores.new_zeros(size, scores.shape[1]).scatter_reduce(0, rows, scores.detach(), "amax", include_self=False)
    weight = (scores - top[index]).exp()
    return weight / segment_sum(weight, index, size)[index]
