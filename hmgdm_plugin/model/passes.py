"""Forward and backward passes of `layers`, over blocks of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

from .norms import normed
from .products import HIGHEST, NARROWEST, added, blocks, filled, product, times
from .rows import Mixture


@dataclass(frozen=True)
class Before:
    """What rows go through before the linear layers: a layer norm with `eps`, if that is not None, and a GELU."""

    eps: float | None
    gelu: bool


def outputs(
    rows: Tensor,
    before: Before,
    dtype: torch.dtype,
    whole: bool,
    scales: tuple[Tensor | None, Tensor | None],
    weights: Sequence[Tensor | None],
    kept: list[Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """What `Linears` gives; what its backward pass asks for is added to `kept`, of few rows all that lies between."""
    pairs, given = _cast(weights, dtype), torch.float32 if whole else dtype
    parts: list[list[Tensor]] = [[] for _ in pairs]
    for piece, height in blocks(rows.shape[0], dtype=dtype):
        entered, made, statistics = _prepared(rows[piece], before, *scales)
        block = filled(made, height, dtype)
        if kept is not None and rows.shape[0] <= HIGHEST:
            kept += [entered, made, block, *statistics]
        elif kept is not None and before.gelu:
            kept.append(block)
        for (weight, bias), each in zip(pairs, parts, strict=True):
            one = linear(made, weight, bias) if _narrow(weight) else times(block, weight, bias)[: made.shape[0]]
            each.append(one.to(given))
    return tuple(each[0] if len(each) == 1 else torch.cat(each) for each in parts)


class Linears(torch.autograd.Function):
    """``layer(GELU(norm(rows)))`` for several layers; what they are is said in `layers.linears`."""

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
        """The outputs."""
        ctx.before, ctx.dtype = before, dtype
        kept: list[Tensor] = []
        out = outputs(rows, before, dtype, whole, (scale, shift), weights, kept)
        ctx.save_for_backward(rows, scale, shift, *weights, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Gradients of rows, norm, weights and biases."""
        rows, scale, shift, *weights = ctx.saved_tensors
        before, dtype = ctx.before, ctx.dtype
        weights, kept = weights[: 2 * len(grads)], weights[2 * len(grads) :]
        pairs, to_norm = _cast(weights, dtype), scale is not None
        to_rows: list[Tensor] = []
        to_scales: list[Tensor | None] = [None, None]
        to_weights: list[Tensor | None] = [None for _ in pairs]
        for piece, height in blocks(rows.shape[0], dtype=dtype):
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
                if _narrow(weight):
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


class Taken(torch.autograd.Function):
    """One linear layer of rows that are put together where they are needed, and again in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, source: Mixture, dtype: torch.dtype, whole: bool, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        """The output alone is kept."""
        ctx.save_for_backward(weight, bias)
        ctx.source, ctx.dtype = source, dtype
        ((factor, shift),) = _cast((weight, bias), dtype)
        out = factor.new_empty(source.shape[0], weight.shape[0], dtype=torch.float32 if whole else dtype)
        for piece, height in blocks(source.shape[0], source.shape[1], dtype):
            block = filled(source.piece(piece), height, dtype)
            out[piece] = times(block, factor, shift)[: piece.stop - piece.start]
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of weight and bias."""
        total: Tensor | None = None
        for piece, height in blocks(ctx.source.shape[0], ctx.source.shape[1], ctx.dtype):
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


def _narrow(weight: Tensor) -> bool:
    """Whether `weight` (n, k) is too narrow for the library that multiplies wide ones."""
    return weight.shape[0] < NARROWEST


def _cast(weights: Sequence[Tensor | None], dtype: torch.dtype) -> list[tuple[Tensor, Tensor | None]]:
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
    if before.eps is None or scale is None or shift is None:
        return rows, ()
    out, *statistics = normed(rows, scale, shift, before.eps)
    return out, tuple(statistics)
