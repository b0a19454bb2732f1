"""Matrix products in float32 on a processor, by the fastest library that torch carries.

torch multiplies float32 matrices by MKL, which keeps to half of the vector width of an AMD processor with AVX-512:
there oneDNN, by which torch convolves, is 2.4 times as fast. Other precisions and devices are left to torch.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

LEAST = 1 << 25  # multiply-adds from which on oneDNN pays, even if it has to compile for a new shape (0.3 to 0.7 ms)
NARROWEST = 16  # side of a matrix


class Linear(nn.Linear):
    """`torch.nn.Linear`, the same numbers but for rounding; rows (R, in) to (R, out)."""

    def forward(self, input: Tensor) -> Tensor:
        """X W^T + b."""
        if torch.is_autocast_enabled(input.device.type) or not _pays(input, self.weight.t()):
            return super().forward(input)
        return _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _by_rows(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        to_x, to_weight, to_bias = ctx.needs_input_grad
        return (
            product(grad, weight) if to_x else None,
            product(grad.t(), x) if to_weight else None,
            grad.sum(0) if to_bias else None,
        )


def product(a: Tensor, b: Tensor) -> Tensor:
    """A B of matrices (m, k) and (k, n); not differentiable."""
    if not _pays(a, b):
        return a @ b
    if a.stride(0) == 1:  # transposed: (B^T A^T)^T reads both along their rows
        return _by_rows(b.t(), a, None).t()
    return _by_rows(a, b.t(), None)


def _pays(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN is faster for the product of `a` (m, k) and `b` (k, n)."""
    if a.dtype != torch.float32 or b.dtype != torch.float32 or a.device.type != "cpu" or a.dim() != 2:
        return False
    sizes = *a.shape, b.shape[1]
    return min(sizes) >= NARROWEST and math.prod(sizes) >= LEAST and _has_onednn()


@cache
def _has_onednn() -> bool:
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """X W^T + b of (R, k), (n, k), (n,)."""
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(weight), bias, "none", [], "")


def _dense(a: Tensor) -> Tensor:
    """`a` (m, n) without gaps: with them, oneDNN has only a loop a thousand times as slow."""
    return a if a.is_contiguous() or a.t().is_contiguous() else a.contiguous()
