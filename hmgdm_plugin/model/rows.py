"""Noise on wide rows, and the loss there, a few rows at a time: what passes between two steps stays in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

NUMBERS = 1 << 18  # per piece


def pieces(rows: int, width: int) -> Iterator[slice]:
    """Cut `rows` rows of `width` numbers into pieces of about `NUMBERS`."""
    step = max(NUMBERS // max(width, 1), 1)
    return (slice(first, min(first + step, rows)) for first in range(0, rows, step))


def mixed(x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``a * x[rows] + b * other``, for x (N, d), rows (R,), other (R, d), and a, b (R, 1); (R, d)."""
    out = torch.empty_like(other)
    for piece in pieces(*other.shape):
        out[piece] = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
    return out


def squared_distance(
    u: Tensor, x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum of ``weight`` (d,) times the squares of ``u - y``, and of y, for ``y = mixed(x, rows, other, a, b)``.

    Returns
    -------
    distance, size : (R,) float
        In the precision of `x`; differentiable in `u` (R, d) alone.
    """
    return _SquaredDistance.apply(u, x, rows, other, a, b, weight)  # type: ignore[no-untyped-call]


class _SquaredDistance(torch.autograd.Function):
    """y is worked out again in the backward pass instead of being stored."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(u, x, rows, other, a, b, weight)
        distance, size = x.new_empty(2, rows.shape[0])
        for piece in pieces(*other.shape):
            y = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
            torch.mv(y.square(), weight, out=size[piece])
            torch.mv(y.sub_(u[piece]).square_(), weight, out=distance[piece])
        ctx.mark_non_differentiable(size)
        return distance, size

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None, None, None]:
        u, x, rows, other, a, b, weight = ctx.saved_tensors
        to_u = torch.empty_like(u)
        for piece in pieces(*u.shape):
            y = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
            to_u[piece] = y.sub_(u[piece]).mul_(weight).mul_(-2 * grad[piece, None])
        return to_u, None, None, None, None, None, None
