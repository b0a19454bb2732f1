"""Nuclei of a slide out of its tiles: no nucleus twice, none cut, whatever the tiles.

Every candidate belongs to the one tile in whose core its centre lies. The overlaps of a tile's candidates are settled
together with those of the tiles around it, so what lies beyond a seam counts as what lies within; and what was settled
once stays, so two tiles never disagree. Tiles come row by row; the candidates of about one row wait in memory, and of
the row before only what was kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np

from .stars import Candidates, kept

T = TypeVar("T")
Place = tuple[int, int]
_SETTLED = 2.0  # added to a probability, which is 1 at most: what is settled comes first


class Seams(Generic[T]):
    """Settles the tiles of a slide in their order.

    Parameters
    ----------
    places : sequence of (row, column)
        Every tile that will come, row by row; there may be gaps.
    core_px : int
        Side of a core in pixels of the detector; the core of (0, 0) starts at pixel (0, 0).
    halo_px : int
        Candidates this near to a core can bear on it; at most `core_px`.
    threshold : float
        See `stars.kept`.
    """

    def __init__(self, places: Sequence[Place], core_px: int, halo_px: int, threshold: float) -> None:
        self._core, self._halo, self._threshold = core_px, min(halo_px, core_px), threshold
        self._waiting: deque[tuple[Place, T]] = deque()
        self._tiles: dict[Place, Candidates] = {}  # settled ones hold what was kept, with its rank
        there = set(places)
        self._last = {place: max((n for n in _around(place) if n in there), default=place) for place in places}

    def add(self, place: Place, candidates: Candidates, carried: T) -> Iterator[tuple[Candidates, T]]:
        """Take the next tile; yield, in order, what is kept of the tiles that are settled by it.

        Parameters
        ----------
        candidates : Candidates
            Those with their centre in the core, in pixels of the slide at the detector's scale.
        carried : anything
            Comes back beside what was kept of the tile.
        """
        self._tiles[place] = candidates
        self._waiting.append((place, carried))
        while self._waiting and self._last[self._waiting[0][0]] <= place:
            settled, own = self._waiting.popleft()
            yield self._settle(settled), own
            self._forget()

    def take(self, place: Place, best: Candidates) -> None:
        """Take the next tile with what was kept of it before; all tiles of that kind come first."""
        self._settled(place, best)
        self._forget()

    def _settle(self, place: Place) -> Candidates:
        """What is kept of one tile."""
        own = self._tiles[place]
        near = [own, *(self._facing(n, place) for n in _around(place) if n != place and n in self._tiles)]
        number = np.repeat(np.arange(len(near)), [len(each) for each in near])
        every = Candidates(
            np.concatenate([each.points for each in near]),
            np.concatenate([each.probability for each in near]),
            np.concatenate([each.distances for each in near]),
        )
        best = kept(every, self._threshold, number == 0)
        self._settled(place, best)
        return best

    def _settled(self, place: Place, best: Candidates) -> None:
        self._tiles[place] = Candidates(best.points, best.probability + np.float32(_SETTLED), best.distances)

    def _facing(self, other: Place, place: Place) -> Candidates:
        """Candidates of the tile `other` that lie within the halo of `place`."""
        candidates = self._tiles[other]
        offset = candidates.points - np.array(place) * self._core
        return candidates.taken(
            np.flatnonzero(((offset >= -self._halo) & (offset < self._core + self._halo)).all(axis=1))
        )

    def _forget(self) -> None:
        """Let go of settled tiles that no waiting one borders on."""
        first = self._waiting[0][0][0] if self._waiting else max(row for row, _ in self._tiles)
        for place in [place for place in self._tiles if place[0] < first - 1]:
            del self._tiles[place]


def _around(place: Place) -> Iterator[Place]:
    """A tile and its eight neighbours, row by row."""
    return ((place[0] + down, place[1] + right) for down in (-1, 0, 1) for right in (-1, 0, 1))
