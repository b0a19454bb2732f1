"""Rows of many graphs in one padded block, so that attention stays inside each graph; worked out once per forward."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def rank_in_graph(batch: Tensor, count: Tensor, order: Tensor) -> Tensor:
    """Rank (N,) of each row inside its graph, where `order` (N,) sorts the rows by graph and then as wanted."""
    start = count.cumsum(0) - count
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=order.device) - start[batch[order]]
    return rank


@dataclass(frozen=True)
class Slots:
    """Where each of R packed rows lies in a (B, W) block; the same layout as `to_dense_batch`, reused by every layer.

    Parameters
    ----------
    flat : (R,) int64
        Slot of each row in the flattened block.
    mask : (B, 1, 1, W) bool
        Slots that attention may look at. The first slot of a graph without rows counts as one, holding zeros:
        a softmax over nothing is NaN.
    shape : (B, W)
    """

    flat: Tensor
    mask: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, batch: Tensor, num_graphs: int) -> Slots:
        """Lay out rows of the graphs `batch` (R,), in any order."""
        count = torch.bincount(batch, minlength=num_graphs)
        width = max(int(count.max()), 1)
        rank = rank_in_graph(batch, count, batch.argsort(stable=True))
        mask = torch.arange(width, device=batch.device) < count.clamp(min=1)[:, None]
        return cls(batch * width + rank, mask[:, None, None], (num_graphs, width))

    def pad(self, rows: Tensor, heads: int) -> Tensor:
        """(R, h) to (B, heads, W, h / heads), zeros in empty slots."""
        graphs, width = self.shape
        block = rows.new_zeros(graphs * width, rows.shape[1]).index_copy(0, self.flat, rows)
        return block.view(graphs, width, heads, -1).transpose(1, 2)

    def pack(self, block: Tensor) -> Tensor:
        """(B, heads, W, h / heads) back to (R, h)."""
        return block.transpose(1, 2).flatten(0, 1).flatten(1).index_select(0, self.flat)
