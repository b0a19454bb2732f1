"""Norm, GELU and linear layers in one pass over blocks of rows (see `products`), and little kept of them.

Of many rows, the backward pass finds those that came in and what a GELU gave; norms and wide attributes are worked out
again. Of few rows everything is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm

from . import fused
from .fused import Fused, fits
from .passes import Before, Linears, Taken, outputs
from .rows import Mixture

FEWEST = 32  # rows from which on this is faster than torch's own layers in float32


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
            return Taken.apply(input, dtype, not mixed, self.weight, self.bias)  # type: ignore[no-untyped-call]


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
    scales = (None, None) if norm is None else (norm.weight, norm.bias)
    weights = [each for layer in layers for each in (layer.weight, layer.bias)]
    if dtype == rows.dtype == torch.float32 and fits(rows, [each.weight for each in layers]):
        eps = None if norm is None else norm.eps
        if torch.is_grad_enabled():
            return Fused.apply(rows, eps, active, *scales, *weights)  # type: ignore[no-untyped-call]
        return fused.outputs(rows.contiguous(), eps, active, (*scales, *weights))[0]
    if rows.shape[0] < (1 if mixed else FEWEST):
        return _plainly(rows, layers, norm, active, whole)
    if device != "cpu" or dtype not in (torch.float32, torch.bfloat16) or rows.dtype not in (torch.float32, dtype):
        return _plainly(rows, layers, norm, active, whole)
    before = Before(None if norm is None else norm.eps, active)
    with torch.autocast(device, enabled=False) if mixed else nullcontext():
        if not torch.is_grad_enabled():
            return outputs(rows, before, dtype, whole or not mixed, scales, weights)
        return Linears.apply(rows, before, dtype, whole or not mixed, *scales, *weights)  # type: ignore[no-untyped-call]


def _plainly(
    rows: Tensor, layers: Sequence[nn.Linear], norm: nn.LayerNorm | None, active: bool, whole: bool
) -> tuple[Tensor, ...]:
    """The same, by torch's own layers one after the other."""
    rows = rows if norm is None else layer_norm(rows, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    rows = gelu(rows) if active else rows
    out = [nn.functional.linear(rows, layer.weight, layer.bias) for layer in layers]
    return tuple(each.to(layer.weight.dtype) if whole else each for each, layer in zip(out, layers, strict=True))
