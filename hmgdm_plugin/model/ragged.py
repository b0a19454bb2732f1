"""Rows of many graphs without padding, for kernels that run over one graph after the other, shared out over threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .threads import together

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Which query rows and which key rows belong to each of B graphs.

    Parameters
    ----------
    asking, asked : (Q,), (K,)
        Rows, sorted by graph.
    starts, bounds : (B + 1,)
        Where those of each graph begin in `asking` and `asked`.
    """

    asking: Ints
    starts: Ints
    asked: Ints
    bounds: Ints

    @classmethod
    def of(cls, asking: Tensor, asked: Tensor, num_graphs: int) -> Ragged:
        """From the graph of each row, (Q,) and (K,)."""
        return cls(*_sorted(asking, num_graphs), *_sorted(asked, num_graphs))

    def run(self, kernel: Callable[..., None], values: tuple[Any, ...], heads: int, more: tuple[Any, ...]) -> None:
        """``kernel(*values, asking, starts, asked, bounds, heads, items, *more)`` on as many threads as torch has.

        Each thread gets its own part of all graphs times `heads`, with as many pairs as the others.
        """
        rows = (self.asking, self.starts, self.asked, self.bounds)
        pairs = np.cumsum(np.repeat(np.diff(self.starts) * np.diff(self.bounds) + 1, heads))
        if not len(pairs):
            return
        threads = min(torch.get_num_threads(), len(pairs))
        cuts = np.searchsorted(pairs, pairs[-1] * np.arange(1, threads) / threads)
        parts = [np.array(part) for part in zip([0, *cuts], [*cuts, len(pairs)], strict=True)]
        together([partial(kernel, *values, *rows, heads, part, *more) for part in parts])


def _sorted(owners: Tensor, count: int) -> tuple[Ints, Ints]:
    """Rows sorted by their owner, and where those of each begin."""
    starts = torch.zeros(count + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(owners, minlength=count), 0, out=starts[1:])
    return owners.argsort(stable=True).numpy(), starts.numpy()
