"""The arithmetic limit of a training step or an encoding: its multiply-adds, and how long they take as bare products.

The products of all linear layers, forward and backward, are recorded as they run and done again with the same shapes
and precision. Attention is counted by hand, each graph apart, without padding or what a kernel works out twice: two
products over its pairs forward, four backward; its count is timed as products of rows with a square matrix. Norms,
softmax, noise, loss, sums over neighbours and the optimiser are not in the limit: they are what takes longer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import Draw

Shape = tuple[int, int, int]
ROWS = 4096  # of the product that stands for attention


class Products(TorchDispatchMode):
    """Counts the products (m, k) x (k, n) of linear layers that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record and run."""
        if func._overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            a, b = args[-2:]
            self.shapes[(a.shape[0], a.shape[1], b.shape[1])] += 1
        return func(*args, **(kwargs or {}))

    def flops(self) -> int:
        """Floating-point operations: two for each multiply-add."""
        return sum(2 * m * k * n * times for (m, k, n), times in self.shapes.items())


def attention_flops(batch: LatentBatch, draw: Draw, hidden: int, layers: int) -> int:
    """Floating-point operations of attention in one training step, forward and backward, vertices and edges."""
    counts = [
        torch.bincount(owner[chosen], minlength=batch.num_graphs)
        for owner, hide in ((batch.batch, draw.hide_vertices), (batch.edge_batch, draw.hide_edges))
        for chosen in (hide, ~hide)
    ]
    looks = counts[0] * counts[1] + counts[2] * counts[3]  # hidden ones at visible ones, at every level
    pairs = torch.stack(counts).sum(0).square() + layers * looks
    return int(pairs.sum()) * hidden * 2 * (2 + 4)


def limit_s(products: Products, attention: int, width: int, dtype: torch.dtype) -> float:
    """Seconds that the products and `attention` operations take."""
    total = sum(times * product_s(shape, dtype) for shape, times in products.shapes.items())
    if attention:
        total += attention / (2 * ROWS * width * width) * product_s((ROWS, width, width), dtype)
    return total


def product_s(shape: Shape, dtype: torch.dtype) -> float:
    """Seconds of one product."""
    m, k, n = shape
    a, b, out = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype), torch.empty(m, n, dtype=dtype)
    return min(seconds(lambda: torch.mm(a, b, out=out), 0.02, 2))


def seconds(run: Callable[[], Any], least_s: float, least: int) -> list[float]:
    """Wall time of calls: `least` of them and `least_s` at least, after one that does not count."""
    run()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < least_s:
        start_s = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start_s)
    return taken
