"""In which order graphs are learnt from: shuffled shards, a few of them mixed, cut into batches, dealt in parts.

An epoch takes the shards in a new order, `mixed_shards` at a time; the graphs of these are shuffled together. With no
more shards than that, it is a plain shuffle. Everything follows from (seed, epoch, group), so that a run goes on at any
place without remembering more than the place, and memory does not grow with the number of graphs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..schema.settings import TrainingSettings

Ints = NDArray[np.int64]


class Corpus(Protocol):
    """What is learnt from, numbered over files: graphs, latents (`shards.Shards`), or pixels."""

    first: Ints  # items before each file, (files + 1,)
    entities: int  # of all items

    def __len__(self) -> int:
        """Items."""

    @property
    def files(self) -> int:
        """Number of files."""

    def sizes(self, shard: int) -> Ints:
        """Entities of each item of a file."""


@dataclass(frozen=True)
class Place:
    """Where a run stands: the next batch, and how many graphs have been seen before it."""

    epoch: int = 0
    group: int = 0
    batch: int = 0
    seen: int = 0


@dataclass(frozen=True)
class Drawn:
    """One batch: the graphs of each part, the place after it."""

    parts: tuple[Ints, ...]
    after: Place


class Order:
    """The batches of a run.

    Parameters
    ----------
    shards : Corpus
    settings : TrainingSettings
        `batch` graphs a step, or as many as `entities` holds; `sorted_batches`; `epochs`.
    seed, mixed_shards : int
    parts : int
        Parts of each batch, of about equal numbers of entities.
    """

    def __init__(self, shards: Corpus, settings: TrainingSettings, seed: int, mixed_shards: int, parts: int) -> None:
        self._shards, self._settings, self._seed = shards, settings, seed
        self._mixed, self._parts = mixed_shards, parts
        self.graphs = len(shards) * settings.epochs
        self._epochs = sys.maxsize if settings.minutes else settings.epochs  # time ends it, not the epochs

    @property
    def steps(self) -> int:
        """About how many batches there will be; exact for batches of graphs of one group."""
        settings, shards = self._settings, self._shards
        whole = shards.entities / settings.entities if settings.entities else len(shards) / settings.batch
        return math.ceil(whole) * settings.epochs

    def batches(self, start: Place) -> Iterator[Drawn]:
        """All batches from `start` on."""
        seen = start.seen
        for epoch in range(start.epoch, self._epochs):
            groups = self._groups(epoch)
            for group in range(start.group if epoch == start.epoch else 0, len(groups)):
                resumed = (epoch, group) == (start.epoch, start.group)
                cut = self._cut(groups[group], np.random.default_rng((self._seed, epoch, group)))
                for number in range(start.batch if resumed else 0, len(cut)):
                    batch, sizes = cut[number]
                    seen += len(batch)
                    yield Drawn(dealt(batch, sizes, self._parts), Place(epoch, group, number + 1, seen))

    def _groups(self, epoch: int) -> list[Ints]:
        """Shards that are mixed with each other, in the order of this epoch; groups of about equal size."""
        count = self._shards.files
        shuffled = np.random.default_rng((self._seed, epoch)).permutation(count)
        return np.array_split(shuffled, math.ceil(count / self._mixed))

    def _cut(self, shards: Ints, rng: np.random.Generator) -> list[tuple[Ints, Ints]]:
        """Batches of one group: the graphs' numbers and sizes."""
        first = self._shards.first
        numbers = np.concatenate([np.arange(first[s], first[s + 1]) for s in shards])
        sizes = np.concatenate([self._shards.sizes(int(s)) for s in shards])
        shuffled = rng.permutation(len(numbers))
        order = _sorted_within(shuffled, sizes, self._window(sizes))
        batches = [(numbers[own], sizes[own]) for own in self._split(order, sizes)]
        if self._settings.sorted_batches == 1:
            return batches
        return [batches[k] for k in rng.permutation(len(batches))]

    def _window(self, sizes: Ints) -> int:
        """How many graphs are sorted by size together."""
        settings = self._settings
        graphs = max(int(settings.entities / sizes.mean()), 1) if settings.entities else settings.batch
        return graphs * settings.sorted_batches if settings.sorted_batches > 1 else 1

    def _split(self, order: Ints, sizes: Ints) -> list[Ints]:
        if not self._settings.entities:
            return np.array_split(order, math.ceil(len(order) / self._settings.batch))
        return within_budget(order, sizes, self._settings.entities)


def within_budget(order: Ints, sizes: Ints, budget: int) -> list[Ints]:
    """Cut `order` so that no piece of two graphs or more holds over `budget` entities; the last two are evened out."""
    pieces: list[list[int]] = [[]]
    held = 0
    for graph in order:
        if pieces[-1] and held + sizes[graph] > budget:
            pieces.append([])
            held = 0
        pieces[-1].append(int(graph))
        held += int(sizes[graph])
    if len(pieces) > 1 and held < budget // 2:
        both = pieces[-2] + pieces[-1]
        half = int(np.searchsorted(np.cumsum(sizes[both]), sizes[both].sum() / 2)) + 1
        pieces[-2:] = [both[:half], both[half:]]
    return [np.asarray(piece, np.int64) for piece in pieces if piece]


def dealt(batch: Ints, sizes: Ints, parts: int) -> tuple[Ints, ...]:
    """Deal graphs to `parts` by size, largest first, back and forth: nobody waits long for anybody."""
    order = np.argsort(-sizes, kind="stable") if parts > 1 else np.arange(len(batch))
    turn = np.arange(len(order)) % (2 * parts)
    owner = np.minimum(turn, 2 * parts - 1 - turn)
    return tuple(batch[order[owner == part]] for part in range(parts))


def _sorted_within(order: Ints, sizes: Ints, window: int) -> Ints:
    """`order` with every stretch of `window` graphs sorted by size."""
    if window <= 1:
        return order
    cuts = range(window, len(order), window)
    return np.concatenate([own[np.argsort(sizes[own], kind="stable")] for own in np.split(order, list(cuts))])
