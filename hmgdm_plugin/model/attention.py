"""Multi-head attention and feed-forward, the attention inside each graph only."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from .halves import mix_halves, unmix_halves
from .layers import Linear, Mlp, linears
from .mixing import mix, unmix
from .ragged import Ragged
from .slots import Pairing
from .tiles import HALVES

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
    """Softmax attention (Q, h) of q (Q, h) on k, v (K, h), inside each graph."""
    if q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16):
        return attend_compiled(q, k, v, pairing, heads)
    return attend_fused(q, k, v, pairing, heads)


def attend_compiled(q: Tensor, k: Tensor, v: Tensor, pairing: Pairing, heads: int) -> Tensor:
    """The same by kernels of our own on a processor; in float32 where it has no products of bfloat16."""
    return _Compiled.apply(q, k, v, pairing.ragged, heads)  # type: ignore[no-untyped-call]


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


class _Compiled(torch.autograd.Function):
    """`mix` and `unmix`; the weights are worked out again in the backward pass, never stored."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, ragged: Ragged, heads: int) -> Tensor:
        ctx.halved = HALVES and q.dtype == k.dtype == v.dtype == torch.bfloat16 and q.shape[1] // heads % 2 == 0
        kernel, arrays, whole = (mix_halves, _words, q.dtype) if ctx.halved else (mix, _arrays, torch.float32)
        out, tops = q.new_zeros(q.shape, dtype=whole), q.new_empty(q.shape[0], heads, dtype=torch.float32)
        ragged.run(kernel, arrays(q, k, v), heads, (*arrays(out), tops.numpy()))
        out = out.to(q.dtype)
        ctx.save_for_backward(q, k, v, out, tops)
        ctx.ragged, ctx.heads = ragged, heads
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, tops = ctx.saved_tensors
        kernel, arrays, whole = (unmix_halves, _words, q.dtype) if ctx.halved else (unmix, _arrays, torch.float32)
        grads = [each.new_zeros(each.shape, dtype=whole) for each in (q, k, v)]
        ctx.ragged.run(
            kernel, arrays(q, k, v), ctx.heads, (*arrays(out), tops.numpy(), *arrays(grad.to(q.dtype), *grads))
        )
        return grads[0].to(q.dtype), grads[1].to(k.dtype), grads[2].to(v.dtype), None, None


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """As numpy arrays, float32; of float32, the same memory."""
    return tuple(each.detach().float().contiguous().numpy() for each in tensors)


def _words(*tensors: Tensor) -> tuple[Any, ...]:
    """The memory of bfloat16, two numbers that follow each other in a word."""
    return tuple(each.detach().contiguous().view(torch.int32).numpy() for each in tensors)


class FeedForward(nn.Module):
    """x + FF(LayerNorm(x)), width doubled inside."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.layers = Mlp(nn.LayerNorm(hidden), Linear(hidden, 2 * hidden), Linear(2 * hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        """(R, h) to (R, h)."""
        return x + self.layers(x)
