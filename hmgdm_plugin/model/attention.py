"""Multi-head attention and feed-forward, the attention inside each graph only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .slots import Slots


class GraphAttention(nn.Module):
    """Attention of packed query rows on packed key rows of the same graph.

    Parameters
    ----------
    hidden, heads : int
        Width h, a multiple of the heads.
    """

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(hidden, hidden, bias=False)  # a bias on keys would cancel in the softmax
        self.value = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, hidden)

    def forward(self, queries: Tensor, keys: Tensor, query_slots: Slots, key_slots: Slots) -> Tensor:
        """(Q, h) of queries (Q, h) and keys (K, h); cost is linear in the number of graphs."""
        q = query_slots.pad(self.query(queries), self.heads)
        k = key_slots.pad(self.key(keys), self.heads)
        v = key_slots.pad(self.value(keys), self.heads)
        return self.out(query_slots.pack(_attend(q, k, v, key_slots.mask)))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Softmax attention (B, heads, W, h / heads); in float32 on a processor, where bfloat16's backward is 4x slower."""
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)
    with torch.autocast("cpu", enabled=False):
        return scaled_dot_product_attention(q.float(), k.float(), v.float(), attn_mask=mask)


class FeedForward(nn.Module):
    """x + FF(LayerNorm(x)), width doubled inside."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(R, h) to (R, h)."""
        return x + self.layers(x)
