"""Noise on wide rows, and the loss there, some rows at a time: no correction is ever kept for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .products import blocks, filled, product, times

NUMBERS = 1 << 18  # in a piece: it stays in the processor's cache


@dataclass(frozen=True)
class Mixture:
    """Rows ``a * x[rows] + b * other``, or ``x[rows]`` where `other` is None: kept as what they are made of.

    Parameters
    ----------
    x : (N, d)
    rows : (R,) int64
    other : (R, d), optional
    a, b : (R, 1), optional
        Given with `other`.
    """

    x: Tensor
    rows: Tensor
    other: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(R, d)."""
        return self.rows.shape[0], self.x.shape[1]

    @property
    def requires_grad(self) -> bool:
        """Whether anything that it is made of does."""
        parts = (self.x, self.other, self.a, self.b)
        return torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in parts)

    def piece(self, piece: slice) -> Tensor:
        """Some of the rows (r, d)."""
        x = self.x.index_select(0, self.rows[piece])
        if self.other is None or self.a is None or self.b is None:
            return x
        return (x * self.a[piece]).addcmul_(self.other[piece], self.b[piece])

    def all(self) -> Tensor:
        """All of them, (R, d)."""
        return self.piece(slice(0, self.shape[0]))


def squared_distance(
    h: Tensor, last: nn.Linear, x: Tensor, rows: Tensor, other: Tensor, a: Tensor, b: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum of ``weight`` (d,) times the squares of ``last(h) - y``, and of y, for ``y = a * x[rows] + b * other``.

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
        for wide, height in blocks(other.shape[0], other.shape[1], h.dtype):
            u = times(filled(h[wide], height, h.dtype), w, c)
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
        for wide, height in blocks(other.shape[0], other.shape[1], h.dtype):
            block, count = filled(h[wide], height, h.dtype), wide.stop - wide.start
            u = times(block, w, c)
            u[count:] = 0
            for piece, part in _inside(wide, other.shape[1]):
                y = x.index_select(0, rows[piece]).mul_(a[piece]).addcmul_(other[piece], b[piece])
                u[part] = y.sub_(u[part]).mul_(weight).mul_(-2 * grad[piece, None])
            to_h[wide] = product(u, w)[:count]
            to_w += product(u.t(), block)
            to_c += u.sum(0, dtype=x.dtype)
        return to_h, to_w.to(w.dtype), to_c.to(c.dtype), None, None, None, None, None, None


def _inside(wide: slice, width: int) -> Iterator[tuple[slice, slice]]:
    """Pieces of `NUMBERS` of the rows `wide`: among all rows, and among these."""
    step = max(NUMBERS // max(width, 1), 1)
    for first in range(wide.start, wide.stop, step):
        piece = slice(first, min(first + step, wide.stop))
        yield piece, slice(piece.start - wide.start, piece.stop - wide.start)
