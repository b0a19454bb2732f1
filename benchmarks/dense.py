"""The plain way to do attention on a batch of graphs: all pairs of the whole batch, those of different graphs masked.

It is what the published code does, quadratic in the entities of a batch; here the rest of the network stays the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hmgdm_plugin.model.attention import GraphAttention, Norms
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.slots import Pairing, Side

LIVE = 4  # matrices of all pairs and heads that live at once in a backward pass


class DenseAttention(nn.Module):
    """`GraphAttention` over all pairs of the batch, with the weights of `blocks`."""

    def __init__(self, blocks: GraphAttention) -> None:
        super().__init__()
        self.blocks = blocks

    def forward(self, queries: Tensor, keys: Tensor, pairing: Pairing, norms: Norms) -> Tensor:
        """(Q, h) of queries (Q, h) and keys (K, h)."""
        heads = self.blocks.heads
        q, k, v = (
            rows.view(rows.shape[0], heads, -1).transpose(0, 1) for rows in self.blocks.project(queries, keys, norms)
        )
        same = owners(pairing.queries)[:, None] == owners(pairing.keys)[None]
        logits = (q @ k.transpose(1, 2)) / q.shape[2] ** 0.5
        weights = logits.masked_fill(~same, torch.finfo(logits.dtype).min).softmax(-1)
        return self.blocks.out((weights @ v).transpose(0, 1).flatten(1))


def owners(side: Side) -> Tensor:
    """A number for each row (R,), the same for rows of one graph."""
    first, found = 0, []
    for block in side.blocks:
        graphs, width = block.shape
        number = torch.arange(first, first + graphs).view(-1, 1, 1, 1).expand(-1, 1, width, 1)
        found.append(block.pack(number))
        first += graphs
    return side.unsort(torch.cat(found)).squeeze(1)


def dense(model: HMGDM) -> HMGDM:
    """`model` with dense attention, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, GraphAttention) and not isinstance(module, DenseAttention):
                setattr(module, name, DenseAttention(child))
    return model


def need_bytes(entities: int, heads: int) -> int:
    """Memory of the joint attention of a batch of `entities`, in float32, at its peak."""
    return LIVE * heads * 4 * entities**2
