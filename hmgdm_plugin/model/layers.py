"""Norm, GELU and linear layers in one pass over blocks of rows (see `products`), and little kept of them.

Of many rows, the backward pass finds those that came in and what a GELU gave; norms and wide attributes are worked out
again. Of few rows everything is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear

from .products import HIGHEST, NARROWEST, added, blocks, filled, product, times
from .rows import Mixture

FEWEST = 256  # rows from which on this is faster than torch's own layers in float32


class Linear(nn.Linear):
    """`torch.nn.Linear`, the same numbers but for rounding; rows (R, in) to (R, out)."""

    def forward(self, input: Tensor | Mixture) -> Tensor:
        """X W^T + b."""
        if isinstance(input, Tensor):
            return linears(input, [self])[0]
        if input.requires_grad or input.x.device.type != "cpu" or input.x.dtype != torch.float32:
            return linears(input.all(), [self])[0]
        mixed = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if mixed else self.weight.dtype
        with torch.autocast("cpu", enabled=False):
            return _Taken.apply(input, dtype, not mixed, self.weight, self.bias)  # type: ignore[no-untyped-call]


class Mlp(nn.Sequential):
    """``last(GELU(first(norm(rows))))``; rows (R, in) to (R, out)."""

    def __init__(self, norm: nn.LayerNorm, first: nn.Linear, last: nn.Linear) -> None:
        super().__init__(norm, first, nn.GELU(), last)

    def forward(self, input: Tensor) -> Tensor:
        """All of it."""
        return linears(self.inner(input), [self.last], active=True)[0]

    def inner(self, rows: Tensor) -> Tensor:
        """What enters the GELU."""
        return linears(rows, [cast(nn.Linear, self[1])], cast(nn.LayerNorm, self[0]))[0]

    @property
    def last(self) -> nn.Linear:
        """The last layer."""
        return cast(nn.Linear, self[3])


@dataclass(frozen=True)
class Before:
    """What rows go through before the linear layers: a layer norm with `eps`, if that is not None, and a GELU."""

    eps: float | None
    gelu: bool


def linears(
    rows: Tensor,
    layers: Sequence[nn.Linear],
    norm: nn.LayerNorm | None = None,
    *,
    active: bool = False,
    whole: bool = False,
) -> tuple[Tensor, ...]:
    """``layer(GELU(norm(rows)))`` of rows (R, k) for each of the `layers`, (R, n) each.

    Parameters
    ----------
    rows : (R, k)
    layers : sequence of nn.Linear
    norm : nn.LayerNorm, optional
    active : bool
        With the GELU.
    whole : bool
        Outputs in the precision of the weights, also under autocast.
    """
    device = rows.device.type
    mixed = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if mixed else layers[0].weight.dtype
    if rows.shape[0] < (1 if mixed else FEWEST):
        return _plainly(rows, layers, norm, active, whole)
    if device != "cpu" or dtype not in (torch.float32, torch.bfloat16) or rows.dtype not in (torch.float32, dtype):
        return _plainly(rows, layers, norm, active, whole)
    before = Before(None if norm is None else norm.eps, active)
    scales = (None, None) if norm is None else (norm.weight, norm.bias)
    weights = [each for layer in layers for each in (layer.weight, layer.bias)]
    with torch.autocast(device, enabled=False):
        return _Linears.apply(rows, before, dtype, whole or not mixed, *scales, *weights)  # type: ignore[no-untyped-call]


def _plainly(
    rows: Tensor, layers: Sequence[nn.Linear], norm: nn.LayerNorm | None, active: bool, whole: bool
) -> tuple[Tensor, ...]:
    """The same, by torch's own layers one after the other."""
    rows = rows if norm is None else layer_norm(rows, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    rows = gelu(rows) if active else rows
    out = [nn.functional.linear(rows, layer.weight, layer.bias) for layer in layers]
    return tuple(each.to(layer.weight.dtype) if whole else each for each, layer in zip(out, layers, strict=True))


class _Linears(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        before: Before,
        dtype: torch.dtype,
        whole: bool,
        scale: Tensor | None,
        shift: Tensor | None,
        *weights: Tensor | None,
    ) -> tuple[Tensor, ...]:
        ctx.before, ctx.dtype = before, dtype
        kept: list[Tensor] = []
        pairs, given = _cast(weights, dtype), torch.float32 if whole else dtype
        parts: list[list[Tensor]] = [[] for _ in pairs]
        for piece, height in blocks(rows.shape[0]):
            entered, made, statistics = _prepared(rows[piece], before, scale, shift)
            block = filled(made, height, dtype)
            if rows.shape[0] <= HIGHEST:
                kept = [entered, made, block, *statistics]
            elif before.gelu:
                kept.append(block)
            for (weight, bias), each in zip(pairs, parts, strict=True):
                one = linear(made, weight, bias) if narrow(weight) else times(block, weight, bias)[: made.shape[0]]
                each.append(one.to(given))
        ctx.save_for_backward(rows, scale, shift, *weights, *kept)
        return tuple(each[0] if len(each) == 1 else torch.cat(each) for each in parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        rows, scale, shift, *weights = ctx.saved_tensors
        before, dtype = ctx.before, ctx.dtype
        weights, kept = weights[: 2 * len(grads)], weights[2 * len(grads) :]
        pairs, to_norm = _cast(weights, dtype), scale is not None
        to_rows: list[Tensor] = []
        to_scales: list[Tensor | None] = [None, None]
        to_weights: list[Tensor | None] = [None for _ in pairs]
        for piece, height in blocks(rows.shape[0]):
            if rows.shape[0] <= HIGHEST:
                entered, made, block, *statistics = kept
            elif kept:
                entered, statistics = _normed(rows[piece], before, scale, shift)
                block = kept.pop(0)
                made = block[: entered.shape[0]]
            else:
                entered, made, statistics = _prepared(rows[piece], before, scale, shift)
                block = filled(made, height, dtype)
            back: Tensor | None = None
            for number, ((weight, _), grad) in enumerate(zip(pairs, grads, strict=True)):
                if narrow(weight):
                    own = grad[piece]
                    to_weights[number] = added(to_weights[number], own.t() @ made.to(own.dtype))
                    one = own @ weight
                else:
                    own = filled(grad[piece], height, dtype)
                    to_weights[number] = added(to_weights[number], product(own.t(), block))
                    one = times(own, weight.t())[: made.shape[0]]
                back = one.to(entered.dtype) if back is None else back.add_(one)
            assert back is not None
            if before.gelu:
                back = torch.ops.aten.gelu_backward(back, entered)
            if to_norm:
                back, *own_scales = torch.ops.aten.native_layer_norm_backward(
                    back, rows[piece], scale.shape, *statistics, scale, shift, [True, True, True]
                )
                to_scales = [added(total, each) for total, each in zip(to_scales, own_scales, strict=True)]
            to_rows.append(back)
        joined = to_rows[0] if len(to_rows) == 1 else torch.cat(to_rows) if to_rows else torch.zeros_like(rows)
        return joined, None, None, None, *to_scales, *_of_weights(weights, to_weights, grads)


class _Taken(torch.autograd.Function):
    """One linear layer of rows that are put together where they are needed, and again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, source: Mixture, dtype: torch.dtype, whole: bool, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(weight, bias)
        ctx.source, ctx.dtype = source, dtype
        ((factor, shift),) = _cast((weight, bias), dtype)
        out = factor.new_empty(source.shape[0], weight.shape[0], dtype=torch.float32 if whole else dtype)
        for piece, height in blocks(*source.shape):
            block = filled(source.piece(piece), height, dtype)
            out[piece] = times(block, factor, shift)[: piece.stop - piece.start]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        total: Tensor | None = None
        for piece, height in blocks(*ctx.source.shape):
            block = filled(ctx.source.piece(piece), height, ctx.dtype)
            total = added(total, product(filled(grad[piece], height, ctx.dtype).t(), block))
        return None, None, None, *_of_weights(ctx.saved_tensors, [total], (grad,))


def _of_weights(
    weights: Sequence[Tensor | None], found: Sequence[Tensor | None], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """Gradients of weights and biases, in turn, from what was `found` for the weights and the gradients of outputs."""
    out: list[Tensor | None] = []
    for weight, bias, total, grad in zip(weights[::2], weights[1::2], found, grads, strict=True):
        out.append(torch.zeros_like(weight) if total is None and weight is not None else total)
        out.append(None if bias is None else grad.sum(0, dtype=bias.dtype))
    return out


def narrow(weight: Tensor) -> bool:
    """Whether `weight` (n, k) is too narrow for the library that multiplies wide ones."""
    return weight.shape[0] < NARROWEST


def _sum(parts: list[Tensor], like: Tensor) -> Tensor:
    """Sum of the parts of a gradient, in the precision of what it is the gradient of."""
    out = parts[0].to(like.dtype) if parts else torch.zeros_like(like)
    for part in parts[1:]:
        out = out.add_(part) if out is not parts[0] else out + part
    return out


def _cast(weights: tuple[Tensor | None, ...], dtype: torch.dtype) -> list[tuple[Tensor, Tensor | None]]:
    """Weights and biases, of the narrowest layers as they are, of the others in the precision of the products."""
    out = []
    for weight, bias in zip(weights[::2], weights[1::2], strict=True):
        assert weight is not None
        wanted = weight.dtype if weight.shape[0] < NARROWEST else dtype
        out.append((weight.to(wanted), None if bias is None else bias.to(wanted)))
    return out


def _prepared(
    rows: Tensor, before: Before, scale: Tensor | None, shift: Tensor | None
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """What enters the GELU, what the linear layers take, and mean and inverse deviation of the norm."""
    entered, statistics = _normed(rows, before, scale, shift)
    return entered, gelu(entered) if before.gelu else entered, statistics


def _normed(
    rows: Tensor, before: Before, scale: Tensor | None, shift: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if before.eps is None or scale is None:
        return rows, ()
    out, *statistics = torch.native_layer_norm(rows, scale.shape, scale, shift, before.eps)
    return out, tuple(statistics)
