"""Rows of many graphs in padded blocks, so that attention stays inside each graph; worked out once per forward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .ragged import Ragged

WASTE = 1.25  # a block may hold this many times the pairs that its graphs have
PAIRS = 1 << 18  # of queries and keys in a block of several graphs: enough to hide what starting a kernel costs


def rank_in_graph(batch: Tensor, count: Tensor, order: Tensor) -> Tensor:
    """Rank (N,) of each row inside its graph, where `order` (N,) sorts the rows by graph and then as wanted."""
    start = count.cumsum(0) - count
    rank = torch.empty_like(order)
    rank[order] = torch.arange(order.numel(), device=order.device) - start[batch[order]]
    return rank


@dataclass(frozen=True)
class Block:
    """Where the rows of G graphs lie in a padded (G, W) block.

    Parameters
    ----------
    rows : slice
        The block's rows among the sorted rows.
    slots : (rows,) int64, or None
        Slot of each row in the flattened block; None where no slot is empty.
    shape : (G, W)
    """

    rows: slice
    slots: Tensor | None
    shape: tuple[int, int]

    @classmethod
    def of(cls, count: Tensor, rows: slice, width: int) -> Block:
        """Block of graphs with `count` (G,) sorted rows each, `rows` in all."""
        graphs = count.shape[0]
        if rows.stop - rows.start == graphs * width:
            return cls(rows, None, (graphs, width))
        owner = torch.arange(graphs, device=count.device).repeat_interleave(count)
        rank = torch.arange(rows.stop - rows.start, device=count.device) - (count.cumsum(0) - count)[owner]
        return cls(rows, owner * width + rank, (graphs, width))

    def pad(self, rows: Tensor, heads: int) -> Tensor:
        """Sorted rows (R, h) of all blocks to this one's (G, heads, W, h / heads), zeros in empty slots."""
        graphs, width = self.shape
        block = rows[self.rows]
        if self.slots is not None:
            block = rows.new_zeros(graphs * width, rows.shape[1]).index_copy(0, self.slots, block)
        return block.view(graphs, width, heads, -1).transpose(1, 2)

    def pack(self, block: Tensor) -> Tensor:
        """(G, heads, W, h / heads) back to this block's rows (.., h)."""
        rows = block.transpose(1, 2).flatten(0, 1).flatten(1)
        return rows if self.slots is None else rows.index_select(0, self.slots)


@dataclass(frozen=True)
class Side:
    """Queries, or keys, of a `Pairing`: the order that sorts packed rows by block and graph, and the blocks.

    `order` and `inverse` (R,) int64 are None where the rows are sorted already.
    """

    order: Tensor | None
    inverse: Tensor | None
    blocks: list[Block]

    @classmethod
    def of(cls, batch: Tensor, count: Tensor, groups: list[Tensor], widths: list[int]) -> Side:
        """Side of rows of the graphs `batch` (R,), `count` (B,) each; `groups` are the graphs of each block."""
        place = torch.empty_like(count)
        place[torch.cat(groups)] = torch.arange(count.shape[0], device=count.device)
        place = place[batch]
        order = inverse = None
        if not bool((place[1:] >= place[:-1]).all()):
            order = place.argsort(stable=True)
            inverse = torch.empty_like(order)
            inverse[order] = torch.arange(order.numel(), device=order.device)
        blocks, start = [], 0
        for group, width in zip(groups, widths, strict=True):
            own = count[group]
            stop = start + int(own.sum())
            blocks.append(Block.of(own, slice(start, stop), width))
            start = stop
        return cls(order, inverse, blocks)

    def sort(self, rows: Tensor) -> Tensor:
        """Packed rows (R, h) by block and graph."""
        return rows if self.order is None else rows.index_select(0, self.order)

    def unsort(self, rows: Tensor) -> Tensor:
        """Sorted rows (R, h) back to packed ones."""
        return rows if self.inverse is None else rows.index_select(0, self.inverse)


@dataclass(frozen=True)
class Pairing:
    """Which query rows see which key rows: those of the same graph.

    Parameters
    ----------
    asking, asked : (Q,), (K,) int64
        Graphs of the queries and of the keys, in any order.
    num_graphs : int
    one_block : bool, optional
        All graphs side by side in one block. Otherwise, on a processor, those of similar size are, with little
        padding; elsewhere all are by default, since there the launch of a kernel costs more than the padding.
    """

    asking: Tensor
    asked: Tensor
    num_graphs: int
    one_block: bool | None = None

    @cached_property
    def ragged(self) -> Ragged:
        """Without padding."""
        return Ragged.of(self.asking, self.asked, self.num_graphs)

    @property
    def queries(self) -> Side:
        """The queries in padded blocks."""
        return self._padded[0]

    @property
    def keys(self) -> Side:
        """The keys in padded blocks, with the same graphs in each."""
        return self._padded[1]

    def blocks(self) -> Iterator[tuple[Block, Block, Tensor | None]]:
        """Block of queries, of keys, and mask (G, 1, 1, Wk), side by side.

        A mask tells the keys that are there; it is None where all are. The first slot of a graph without keys counts as
        one, holding zeros: a softmax over nothing is NaN.
        """
        return zip(self.queries.blocks, self.keys.blocks, self._padded[2], strict=True)

    @cached_property
    def _padded(self) -> tuple[Side, Side, list[Tensor | None]]:
        counts = [torch.bincount(side, minlength=self.num_graphs) for side in (self.asking, self.asked)]
        sizes = [count.clamp(min=1) for count in counts]
        if self.one_block or (self.one_block is None and self.asking.device.type != "cpu"):
            groups = [torch.arange(self.num_graphs, device=self.asking.device)]
        else:
            groups = list(_groups(sizes[0], sizes[1]))
        widths = [[int(size[group].max()) for group in groups] for size in sizes]
        masks = [
            None if bool((counts[1][group] == width).all()) else _mask(sizes[1][group], width)
            for group, width in zip(groups, widths[1], strict=True)
        ]
        queries = Side.of(self.asking, counts[0], groups, widths[0])
        return queries, Side.of(self.asked, counts[1], groups, widths[1]), masks


def _groups(queries: Tensor, keys: Tensor) -> Iterator[Tensor]:
    """Graphs with `queries` (B,) and `keys` (B,) rows, in groups that waste little."""
    order = (queries * keys).argsort(descending=True, stable=True)
    start, pairs, widest, longest = 0, 0, 0, 0
    sizes = torch.stack([queries, keys], dim=1)[order].tolist()
    for place, (q, k) in enumerate(sizes):
        widest, longest, pairs = max(widest, q), max(longest, k), pairs + q * k
        held = (place + 1 - start) * widest * longest
        if place > start and held > min(WASTE * pairs, PAIRS):
            yield order[start:place]
            start, pairs, widest, longest = place, q * k, q, k
    yield order[start:]


def _mask(size: Tensor, width: int) -> Tensor:
    return (torch.arange(width, device=size.device) < size[:, None])[:, None, None]
