"""The arithmetic limit of a training step or an encoding: its multiply-adds, and how long they take as bare products.

What `mm` and `addmm` do, forward and backward, is recorded call by call and done again with the same shapes. Attention
is counted by hand, for each graph apart and without padding or what a kernel works out twice: two products of q x k
pairs forward, four backward; it is timed as one product of the model's width. Nothing else is in the limit: norms,
softmax, noise, losses, sums over neighbours and the optimiser are what a step may take longer for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hmgdm_plugin.model.hmgdm import Draw
from hmgdm_plugin.model.batch import LatentBatch

Shape = tuple[int, int, int]
ROWS = 4096  # of the product that stands for attention


class Products(TorchDispatchMode):
    """Counts the matrix products (m, k) x (k, n) that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record and run."""
        if func._overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            a, b = args[-2:]
            self.shapes[(a.shape[0], a.shape[1], b.shape[1])] += 1
        return func(*args, **(kwargs or {}))


def attention_flops(batch: LatentBatch, draw: Draw, hidden: int, layers: int) -> int:
    """Floating-point operations of attention in one training step, forward and backward, both streams."""
    counts = [
        torch.bincount(owner[chosen], minlength=batch.num_graphs)
        for owner, hide in ((batch.batch, draw.hide_vertices), (batch.edge_batch, draw.hide_edges))
        for chosen in (hide, ~hide)
    ]
    vertices = counts[0] * counts[1]  # hidden ones look at visible ones
    edges = counts[2] * counts[3]
    pairs = (sum(counts) ** 2).sum() + layers * (vertices + edges).sum()  # type: ignore[attr-defined]
    return int(pairs) * hidden * 2 * (2 + 4)


def flops(shapes: Counter[Shape]) -> int:
    """Floating-point operations of products: two for each multiply-add."""
    return sum(2 * m * k * n * times for (m, k, n), times in shapes.items())


def limit_s(shapes: Counter[Shape], extra_flops: int, width: int, dtype: torch.dtype) -> float:
    """Seconds of CPU-bound wall time that the products alone take."""
    total = sum(times * product_s(shape, dtype) for shape, times in shapes.items())
    if extra_flops:
        total += extra_flops / (2 * ROWS * width * width) * product_s((ROWS, width, width), dtype)
    return total


def product_s(shape: Shape, dtype: torch.dtype) -> float:
    """Seconds of one matrix product, the least of several."""
    m, k, n = shape
    a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    out = torch.empty(m, n, dtype=dtype)
    return least(lambda: torch.mm(a, b, out=out), least_s=0.02)


def least(run: Callable[[], Any], least_s: float, times: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Least seconds of a call: at least `times` calls and `least_s` seconds of them, after one that does not count."""
    run()
    taken: list[float] = []
    while len(taken) < times or sum(taken) < least_s:
        start = clock()
        run()
        taken.append(clock() - start)
    return min(taken)


def numel(tensors: list[Tensor]) -> int:
    """Numbers in all tensors."""
    return sum(tensor.numel() for tensor in tensors)
