"""Norm, GELU and linear layers in float32 on one thread by `blockwise`: no product, norm or sum of torch in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .blockwise import ahead, behind
from .tiles import LANES


class Fused(torch.autograd.Function):
    """``layer(GELU(norm(rows)))`` for several layers; what they are is said in `layers.linears`."""

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, eps: float | None, active: bool, *scales_and_weights: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The outputs; scale and shift of the norm come first, then weight and bias of each layer."""
        rows = rows.contiguous()
        out, centres = outputs(rows, eps, active, scales_and_weights)
        ctx.save_for_backward(rows, centres, *scales_and_weights)
        ctx.norm, ctx.active = eps is not None, active
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        """Gradients of rows, norm, weights and biases."""
        rows, centres, *given = ctx.saved_tensors
        found = [None if each is None else torch.empty_like(each) for each in (rows, *given)]
        grads = tuple(each.contiguous() for each in grads)
        places = [rows, *given[:2], centres, *found[:3]]
        for number, grad in enumerate(grads):
            places += [*given[2 + 2 * number : 4 + 2 * number], grad, *found[3 + 2 * number : 5 + 2 * number]]
        count, width = rows.shape
        sizes, widest = _widths(given[2::2])
        behind(_addresses(places), sizes, widest, count, width, ctx.norm, ctx.active)
        return found[0], None, None, *found[1:]


def outputs(
    rows: Tensor, eps: float | None, active: bool, given: Sequence[Tensor | None]
) -> tuple[tuple[Tensor, ...], Tensor]:
    """What `Fused` gives of contiguous rows, and means and inverse deviations (2, R)."""
    out = tuple(rows.new_empty(rows.shape[0], weight.shape[0]) for weight in given[2::2] if weight is not None)
    centres = rows.new_empty(2, 0 if eps is None else rows.shape[0])
    places = [rows, *given[:2], centres, None, None, None]
    for number, each in enumerate(out):
        places += [*given[2 + 2 * number : 4 + 2 * number], each, None, None]
    count, width = rows.shape
    sizes, widest = _widths(given[2::2])
    ahead(_addresses(places), sizes, widest, count, width, np.float32(eps or 0), eps is not None, active)
    return out, centres


def fits(rows: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether these kernels are for rows (R, k) and weights (n, k): float32, whole vectors, one thread."""
    if rows.device.type != "cpu" or not len(rows) or torch.get_num_threads() > 1:
        return False
    if rows.shape[1] % LANES and torch.is_grad_enabled():  # `ahead` takes any width
        return False
    sizes = all(each.shape[0] % LANES == 0 or each.shape[0] < LANES for each in weights)
    return sizes and all(each.dtype == torch.float32 and each.is_contiguous() for each in weights)


def _addresses(tensors: Sequence[Tensor | None]) -> Any:
    return np.array([0 if each is None else each.data_ptr() for each in tensors], np.int64)


def _widths(weights: Sequence[Tensor | None]) -> tuple[Any, int]:
    """Numbers of each output, and the most, no less than `LANES`."""
    sizes = [each.shape[0] for each in weights if each is not None]
    return np.array(sizes, np.int64), max(*sizes, LANES)
