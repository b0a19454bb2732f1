"""The limits of a training step or an encoding: how long its multiply-adds take as bare products, and its traffic.

The products of all linear layers, forward and backward, are recorded as they run and done again with the same shapes
and precision, by `torch.mm` and, where that is faster, by oneDNN. Attention is counted by hand, each graph apart,
without padding or what a kernel works out twice: two products over its pairs forward, four backward; its count is timed
as products of rows with a square matrix. Norms, softmax, noise, loss, sums over neighbours and the optimiser are not in
this limit. *Traffic* is what they read and write as they are, operation by operation, at the speed of a plain copy;
their exponentials stay uncounted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.products import product
from hmgdm_plugin.model.restored import Draw

Shape = tuple[int, int, int]
ROWS = 4096  # of the product that stands for attention
UNMOVED = {"bmm", "baddbmm", "empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view"}  # or counted above


class Products(TorchDispatchMode):
    """Counts the products (m, k) x (k, n) of linear layers that run inside it, and what other operations move."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: Counter[Shape] = Counter()
        self.moved = 0  # bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Record and run."""
        out = func(*args, **(kwargs or {}))
        name = func._overloadpacket.__name__
        if name in ("mm", "addmm"):
            a, b = args[-2:]
            self.shapes[(a.shape[0], a.shape[1], b.shape[1])] += 1
        elif name == "_linear_pointwise":
            self.shapes[(args[0].shape[0], args[0].shape[1], args[1].shape[0])] += 1
        elif not func.is_view and name not in UNMOVED:
            tensors = [each for each in tree_leaves((args, out)) if isinstance(each, torch.Tensor)]
            self.moved += sum(each.numel() * each.element_size() for each in tensors)
        return out

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


def limits_s(products: Products, attention: int, width: int, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds that the products and `attention` operations take by `torch.mm`, and by the faster library."""
    square = product_s((ROWS, width, width), dtype)
    taken = [(attention / (2 * ROWS * width * width), square)] if attention else []
    taken += [(times, product_s(shape, dtype)) for shape, times in products.shapes.items()]
    return sum(times * plain for times, (plain, _) in taken), sum(times * min(each) for times, each in taken)


def product_s(shape: Shape, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds of one product by `torch.mm`, and by the model's own."""
    m, k, n = shape
    a, b, out = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype), torch.empty(m, n, dtype=dtype)
    return min(seconds(lambda: torch.mm(a, b, out=out), 0.02, 2)), min(seconds(lambda: product(a, b), 0.02, 2))


def traffic_s(products: Products, size: int) -> float:
    """Seconds to move what `products` counted, by copies of `size` bytes."""
    source = torch.empty(max(size // 4, 1))
    target = torch.empty_like(source)
    return products.moved / (2 * size) * min(seconds(lambda: target.copy_(source), 0.02, 3))


def seconds(run: Callable[[], Any], least_s: float, least: int) -> list[float]:
    """Time of calls: `least` of them and `least_s` at least, after one that does not count.

    With one thread it is processor time, so that other load matters less; else wall time.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    run()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < least_s:
        start_s = clock()
        run()
        taken.append(clock() - start_s)
    return taken
