"""Nearest neighbours among embeddings: what a tile is called by the tiles of other patients that look most like it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .probe import class_weights

Floats = NDArray[np.float64]
COUNTS = (1, 3, 5, 9, 15, 25)
PRIOR = 1.0  # votes dealt evenly before any neighbour votes: no probability is ever 0


@dataclass(frozen=True)
class Neighbours:
    """Embeddings learnt from (n, d), unit length after standardisation, their classes, and how many vote."""

    x: Floats
    target: NDArray[np.int64]
    mean: Floats
    scale: Floats
    classes: int
    count: int

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """Class probabilities (m, classes) of embeddings (m, d); a class votes as if all were equally frequent."""
        return _votes(self, x, (self.count,))[0]


def fit_nearest(
    x: NDArray[np.floating],
    target: NDArray[np.int64],
    held_x: NDArray[np.floating],
    held: NDArray[np.int64],
    classes: int,
) -> Neighbours:
    """Keep the training embeddings; how many vote is what gives the least balanced log loss on those held out."""
    mean, deviation = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6)
    seen = Neighbours(_units((x - mean) * scale), target, mean, scale, classes, COUNTS[0])
    counts = [count for count in COUNTS if count <= len(x)]
    weights = class_weights(held, classes)[held] if len(held) else np.zeros(0)
    rows = np.arange(len(held))
    losses = [float(-(weights * np.log(votes[rows, held])).sum()) for votes in _votes(seen, held_x, counts)]
    return Neighbours(seen.x, target, mean, scale, classes, counts[int(np.argmin(losses))])


def _votes(seen: Neighbours, x: NDArray[np.floating], counts: tuple[int, ...] | list[int]) -> list[Floats]:
    """Probabilities for each number of neighbours."""
    alike = _units((x - seen.mean) * seen.scale) @ seen.x.T  # (m, n)
    order = np.argsort(-alike, axis=1, kind="stable")[:, : max(counts)]
    ballots = np.eye(seen.classes)[seen.target] * class_weights(seen.target, seen.classes)
    found = []
    for count in counts:
        votes = ballots[order[:, :count]].sum(1) + PRIOR / seen.classes
        found.append(votes / votes.sum(1, keepdims=True))
    return found


def _units(x: Floats) -> Floats:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
