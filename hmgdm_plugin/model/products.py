"""Matrix products in float32 on a processor, by tiles of our own or the fastest library that torch carries.

torch multiplies float32 matrices by MKL, which keeps to half of the vector width of an AMD processor with AVX-512:
there oneDNN, by which torch convolves, is 2.4 times as fast, as it is in bfloat16. It compiles for every new shape (0.2
to 0.7 ms), longer than a product takes where graphs are small and no two batches are alike: so rows come in blocks of
few heights, filled up with zeros. On an Intel processor MKL is as fast, and needs no such blocks. On one thread,
products of few rows are done by `tiles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from llvmlite.binding import get_host_cpu_name
from torch import Tensor
from torch.nn.functional import linear

from .tiles import HIGH, LANES, fill

NUMBERS = 1 << 21  # in a block, at most
HIGHEST = 4096  # rows in a block
STEPS = (64, 128)  # heights of blocks of up to 512 rows, and of more, are multiples of these
TILED = 2048  # rows, at most, that are multiplied by tiles
FEW = 1 << 14  # multiply-adds below which torch starts faster
LEAST = 1 << 20  # multiply-adds from which on oneDNN is faster
NARROWEST = 16  # side of a matrix


def product(a: Tensor, b: Tensor) -> Tensor:
    """A B of matrices (m, k) and (k, n); not differentiable."""
    return times(a, b.t())


def times(block: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """X W^T + b of (R, k), (n, k), (n,); not differentiable."""
    if _tiled(block, weight):
        return _by_tiles(block, weight, bias)
    return _by_rows(block, weight, bias) if _pays(block, weight) else linear(block, weight, bias)


def blocks(rows: int, width: int = 1, dtype: torch.dtype | None = None) -> Iterator[tuple[slice, int]]:
    """Pieces of `rows` rows of `width` numbers, and the height of the block for each: one of few heights.

    Rows of float32 keep their height where they are few, or multiplied by MKL.
    """
    few = rows <= TILED and torch.get_num_threads() == 1
    if dtype == torch.float32 and (few or not _onednn_is_faster()):
        most = max(NUMBERS // width, HIGH)
        yield from ((slice(at, min(at + most, rows)), min(most, rows - at)) for at in range(0, rows, most))
        return
    most = min(HIGHEST, max(NUMBERS // width // 128 * 128, 128))
    for first in range(0, rows, most):
        left = min(rows - first, most)
        step = STEPS[0] if left <= 512 else STEPS[1]
        yield slice(first, first + left), -(-left // step) * step


def filled(piece: Tensor, height: int, dtype: torch.dtype) -> Tensor:
    """The rows of `piece` (r, k) and zeros below them, (height, k)."""
    empty = height - piece.shape[0]
    if piece.dtype != dtype:
        piece = piece.to(dtype)
    return torch.constant_pad_nd(piece, (0, 0, 0, empty)) if empty else piece


def added(total: Tensor | None, part: Tensor) -> Tensor:
    """The sum of both in float32, in the memory of `total`."""
    return part.float() if total is None else total.add_(part)


def _tiled(a: Tensor, b: Tensor) -> bool:
    """Whether ``A B^T`` of `a` (m, k) and `b` (n, k) is for tiles."""
    if not a.dtype == b.dtype == torch.float32 or a.device.type != "cpu":
        return False
    size = a.shape[0] * a.shape[1] * b.shape[0]
    tall = a.shape[0] >= HIGH and max(a.shape) <= TILED and b.shape[0] >= LANES
    return tall and size >= FEW and torch.get_num_threads() == 1


def _by_tiles(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """``A B^T`` + b of (R, k), (n, k), (n,)."""
    out = a.new_empty(a.shape[0], b.shape[0])
    fill(out.numpy(), a.detach().numpy(), b.detach().t().contiguous().numpy())
    return out if bias is None else out.add_(bias)


def _pays(a: Tensor, b: Tensor) -> bool:
    """Whether oneDNN is faster for ``A B^T`` of `a` (m, k) and `b` (n, k), compiled already."""
    if a.dtype != torch.float32 or b.dtype != torch.float32 or a.device.type != "cpu":
        return False
    rows, inner = a.shape
    columns = b.shape[0]
    return min(rows, inner, columns) >= NARROWEST and rows * inner * columns >= LEAST and _onednn_is_faster()


@cache
def _onednn_is_faster() -> bool:
    """Of an AMD processor with AVX-512, and where torch has it."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512" and get_host_cpu_name().startswith("znver")
    return wide and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """X W^T + b of (R, k), (n, k), (n,)."""
    return torch.ops.mkldnn._linear_pointwise.default(_dense(x), _dense(weight), bias, "none", [], "")


def _dense(a: Tensor) -> Tensor:
    """`a` (m, n) without gaps: with them, oneDNN has only a loop a thousand times as slow."""
    return a if a.is_contiguous() or a.t().is_contiguous() else a.contiguous()
