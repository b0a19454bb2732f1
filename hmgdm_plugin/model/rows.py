"""Noise on wide rows, and the loss there, some rows at a time: no correction is ever kept for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .products import product

NUMBERS = 1 << 18  # in a piece: it stays in the processor's cache
MULTIPLIED = 1 << 21  # in a piece that is also a factor of products: large enough for them


def pieces(rows: int, width: int, *, numbers: int) -> Iterator[slice]:
    """Cut `rows` rows of `width` numbers into pieces of about `numbers`."""
    step = max(numbers // max(width, 1), 1)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def mixed(x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a * x[rows] + b * other``, for x (N, d), rows (R,), other (R, d), and a, b (R, 1); (R, d)."""
    out = torch.empty_like(other)
    for piece in pieces(*other.shape, numbers=NUMBERS):
        out[piece] = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
    return out


def squared_distance(
    h: Tensor, last: nn.Linear, x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum of ``weight`` (d,) times the squares of ``last(h) - y``, and of y, for ``y = mixed(x, rows, other, a, b)``.

    Returns
    -------
    distance, size : (R,) float
        In the precision of `x`; differentiable in `h` (R, h) and the weights of `last` (h to d) alone.
    """
    half = torch.get_autocast_dtype(h.device.type) if torch.is_autocast_enabled(h.device.type) else last.weight.dtype
    factors = h.to(half), last.weight.to(half), last.bias.to(half)
    return _SquaredDistance.apply(*factors, x, rows, other, a, b, weight)  # type: ignore[no-untyped-call]


class _SquaredDistance(torch.autograd.Function):
    """``u = h W^T + c`` and y are worked out again in the backward pass instead of being stored."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        w: Tensor,
        c: Tensor,
        x: Tensor,
        rows: Tensor,
        other: Tensor,
        a: Tensor,
        b: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(h, w, c, x, rows, other, a, b, weight)
        distance, size = x.new_empty(2, rows.shape[0])
        for wide in pieces(*other.shape, numbers=MULTIPLIED):
            u = product(h[wide], w.t()).add_(c)
            for piece, part in _inside(wide, other.shape[1]):
                y = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
                torch.mv(y.square(), weight, out=size[piece])
                torch.mv(y.sub_(u[part]).square_(), weight, out=distance[piece])
        ctx.mark_non_differentiable(size)
        return distance, size

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        h, w, c, x, rows, other, a, b, weight = ctx.saved_tensors
        to_h, to_w = torch.empty_like(h), torch.zeros_like(w, dtype=x.dtype)
        to_c = torch.zeros_like(c, dtype=x.dtype)
        for wide in pieces(*other.shape, numbers=MULTIPLIED):
            u = product(h[wide], w.t()).add_(c)
            for piece, part in _inside(wide, other.shape[1]):
                y = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
                u[part] = y.sub_(u[part]).mul_(weight).mul_(-2 * grad[piece, None])
            to_h[wide] = product(u, w)
            to_w += product(u.t(), h[wide])
            to_c += u.sum(0, dtype=x.dtype)
        return to_h, to_w.to(w.dtype), to_c.to(c.dtype), None, None, None, None, None, None


def _inside(wide: slice, width: int) -> Iterator[tuple[slice, slice]]:
    """Pieces of `NUMBERS` of the rows `wide`: among all rows, and among these."""
    for part in pieces(wide.stop - wide.start, width, numbers=NUMBERS):
        yield slice(wide.start + part.start, wide.start + part.stop), part
