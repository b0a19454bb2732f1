"""Multi-head attention and feed-forward, the attention inside each graph only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .layers import Linear, Mlp, linears
from .slots import Pairing

SCRATCH = 1 << 20  # pairs weighed at a time: they stay in the processor's cache
Norms = tuple[nn.LayerNorm | None, nn.LayerNorm | None]  # of queries and of keys


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
        self.query = Linear(hidden, hidden)
        self.key = Linear(hidden, hidden, bias=False)  # a bias on keys would cancel in the softmax
        self.value = Linear(hidden, hidden)
        self.out = Linear(hidden, hidden)

    def forward(self, queries: Tensor, keys: Tensor, pairing: Pairing, norms: Norms = (None, None)) -> Tensor:
        """(Q, h) of queries (Q, h) and keys (K, h), each after its norm; cost is linear in the number of graphs."""
        return self.out(attend(*self.project(queries, keys, norms), pairing, self.heads))

    def project(self, queries: Tensor, keys: Tensor, norms: Norms) -> tuple[Tensor, Tensor, Tensor]:
        """What is compared, with what, and what is mixed: (Q, h), (K, h), (K, h)."""
        if queries is keys and norms[0] is norms[1]:
            q, k, v = linears(queries, [self.query, self.key, self.value], norms[0])
            return q, k, v
        (q,) = linears(queries, [self.query], norms[0])
        k, v = linears(keys, [self.key, self.value], norms[1])
        return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, pairing: Pairing, heads: int) -> Tensor:
    """Softmax attention (Q, h) of q (Q, h) on k, v (K, h), inside each graph.

    In bfloat16 on a processor by plain products: its fused kernel works in float32 there.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        return attend_by_products(q, k, v, pairing, heads)
    return attend_fused(q, k, v, pairing, heads)


def attend_by_products(q: Tensor, k: Tensor, v: Tensor, pairing: Pairing, heads: int) -> Tensor:
    """The same, in the precision of q, k and v, by plain products of a few heads at a time."""
    return _Attention.apply(q, k, v, pairing, heads)  # type: ignore[no-untyped-call]


def attend_fused(q: Tensor, k: Tensor, v: Tensor, pairing: Pairing, heads: int) -> Tensor:
    """The same by the fused kernel of the device."""
    q, k, v = pairing.queries.sort(q), pairing.keys.sort(k), pairing.keys.sort(v)
    mixed = [
        queries.pack(
            scaled_dot_product_attention(queries.pad(q, heads), keys.pad(k, heads), keys.pad(v, heads), attn_mask=mask)
        )
        for queries, keys, mask in pairing.blocks()
    ]
    return pairing.queries.unsort(torch.cat(mixed))


class _Attention(torch.autograd.Function):
    """Blocks of graphs, a few heads at a time; the weights are worked out again in the backward pass, never stored."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pairing: Pairing, heads: int) -> Tensor:
        q, k, v = pairing.queries.sort(q), pairing.keys.sort(k), pairing.keys.sort(v)
        ctx.save_for_backward(q, k, v)
        ctx.pairing, ctx.heads = pairing, heads
        out = torch.empty_like(q)
        for query_block, key_block, mask in pairing.blocks():
            qs, ks, vs = query_block.pad(q, heads), key_block.pad(k, heads), key_block.pad(v, heads)
            mixed = torch.empty_like(qs, memory_format=torch.contiguous_format)
            qs, ks, vs, items = (each.flatten(0, 1) for each in (qs, ks, vs, mixed))
            for part, weights in _weights(qs, ks, mask, heads):
                torch.bmm(weights, vs[part], out=items[part])
            out[query_block.rows] = query_block.pack(mixed)
        return pairing.queries.unsort(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v = ctx.saved_tensors
        pairing, heads = ctx.pairing, ctx.heads
        grad = pairing.queries.sort(grad)
        grads = [torch.empty_like(each) for each in (q, k, v)]
        for query_block, key_block, mask in pairing.blocks():
            blocks = query_block, key_block, key_block
            qs, ks, vs = (block.pad(each, heads) for block, each in zip(blocks, (q, k, v), strict=True))
            parts = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in (qs, ks, vs)]
            given = tuple(each.flatten(0, 1) for each in (qs, ks, vs, query_block.pad(grad, heads)))
            _backward(given, tuple(each.flatten(0, 1) for each in parts), mask, heads)
            for block, whole, part in zip(blocks, grads, parts, strict=True):
                whole[block.rows] = block.pack(part)
        sides = pairing.queries, pairing.keys, pairing.keys
        unsorted = [side.unsort(each) for side, each in zip(sides, grads, strict=True)]
        return unsorted[0], unsorted[1], unsorted[2], None, None


def _weights(q: Tensor, k: Tensor, mask: Tensor | None, heads: int) -> Iterator[tuple[slice, Tensor]]:
    """Softmax of q k^T (n, Wq, Wk) for a few of the items (G * heads, W, d) at a time; the next overwrites the last."""
    items, scale = q.shape[0], q.shape[2] ** -0.5
    pairs = q.shape[1] * k.shape[1]
    size = max(min(SCRATCH // pairs, items), 1)
    scratch = q.new_empty(size, q.shape[1], k.shape[1])
    shut = None
    if mask is not None:
        shut = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, -torch.inf)
        shut = shut.expand(-1, heads, -1, -1).flatten(0, 1)
    for first in range(0, items, size):
        part = slice(first, min(first + size, items))
        logits = scratch[: part.stop - first]
        torch.baddbmm(logits, q[part], k[part].transpose(1, 2), beta=0, alpha=scale, out=logits)
        if shut is not None:
            logits.add_(shut[part])
        yield part, torch.softmax(logits, -1, out=logits)


def _backward(given: tuple[Tensor, ...], wanted: tuple[Tensor, ...], mask: Tensor | None, heads: int) -> None:
    """From q, k, v and the gradient of the mixed values, fill the gradients of q, k and v; all (G * heads, W, d)."""
    (q, k, v, grad), (dq, dk, dv) = given, wanted
    scratch = None
    for part, weights in _weights(q, k, mask, heads):
        scratch = torch.empty_like(weights) if scratch is None else scratch
        torch.bmm(weights.transpose(1, 2), grad[part], out=dv[part])
        change = torch.bmm(grad[part], v[part].transpose(1, 2), out=scratch[: weights.shape[0]])
        torch._softmax_backward_data(change, weights, -1, change.dtype, grad_input=change)
        torch.bmm(change, k[part], out=dq[part])
        torch.bmm(change.transpose(1, 2), q[part], out=dk[part])
    scale = q.shape[2] ** -0.5
    dq.mul_(scale)
    dk.mul_(scale)


class FeedForward(nn.Module):
    """x + FF(LayerNorm(x)), width doubled inside."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = Mlp(nn.LayerNorm(hidden), Linear(hidden, 2 * hidden), Linear(2 * hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(R, h) to (R, h)."""
        return x + self.layers(x)
