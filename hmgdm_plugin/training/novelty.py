"""The distance beyond which a tile is unlike the training data: fitted, and judged on patients left out in turn.

Every patient counts as one, however many tiles it has. A limit is always taken from other patients than those that it
is judged on, and their tiles are measured by a distance that had not seen them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..model.novelty import Novelty
from .intervals import Interval, interval, resamples
from .metrics import mean_by_patient

COMPONENTS = 256  # in practice all: what is odd shows in directions in which the training data hardly vary
SHRINKAGE = 0.02  # share of the mean variance that every component gets
QUANTILE = 0.95
USUAL = 0.9  # of the patients
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Judged:
    """What left-out patients showed; the fields are those of a card's `Novelty`."""

    limit: float
    false_alarms: Interval
    usual_share: float
    detected: dict[str, float]


@dataclass(frozen=True)
class Spoilt:
    """Looks (k, m) of spoilt tiles, and the number of the tile (k,) that each was made of."""

    looks: NDArray[np.floating]
    tiles: Ints


def fit_novelty(looks: NDArray[np.floating], patients: Sequence[str] | NDArray[np.str_]) -> Novelty:
    """Distance from tiles (T, m) of `patients` (T,); its limit stays 1."""
    x, share = np.asarray(looks, np.float64), _shares(patients)
    mean = share @ x
    scale = np.sqrt(share @ (x - mean) ** 2)
    scale = np.where(scale > 1e-6 * (np.abs(mean) + 1e-3), scale, 1.0)
    z = (x - mean) / scale
    size, axes = np.linalg.eigh((z * share[:, None]).T @ z)
    size, axes = np.maximum(size[::-1], 0), axes[:, ::-1]
    count = min(COMPONENTS, len(size))
    axes = axes[:, :count] * np.sign(axes[np.abs(axes[:, :count]).argmax(0), np.arange(count)])
    novelty = Novelty(x.shape[1], count)
    spread = np.sqrt(size[:count] + SHRINKAGE * size.mean())
    for name, values in (("mean", mean), ("scale", scale), ("components", axes), ("spread", spread)):
        getattr(novelty, name).copy_(torch.from_numpy(np.ascontiguousarray(values)))
    return novelty.eval()


def judge_novelty(
    looks: NDArray[np.floating], patients: Sequence[str], spoilt: Mapping[str, Spoilt], quantile: float = QUANTILE
) -> Judged:
    """Leave each patient of the tiles (T, m) out in turn, and measure its tiles, whole and spoilt."""
    names = np.asarray(patients, str)
    distance = np.zeros(len(names))
    broken = {how: np.zeros(len(each.tiles)) for how, each in spoilt.items()}
    for patient in np.unique(names):
        own = names == patient
        fitted = fit_novelty(looks[~own], names[~own])
        distance[own] = distances(fitted, looks[own])
        for how, each in spoilt.items():
            mine = own[each.tiles]
            broken[how][mine] = distances(fitted, each.looks[mine])
    limits = {p: quantile_of(distance[names != p], names[names != p], quantile) for p in np.unique(names)}
    alarms = distance > np.array([limits[p] for p in names])
    shares = [float(alarms[names == p].mean()) for p in np.unique(names)]
    found = {
        how: float((broken[how] > np.array([limits[names[k]] for k in each.tiles])).mean())
        for how, each in spoilt.items()
    }
    draws = mean_by_patient(alarms.astype(np.float64), list(names), resamples(names))
    limit = quantile_of(distance, names, quantile)
    return Judged(limit, interval(draws), float(np.quantile(shares, USUAL)), found)


def distances(novelty: Novelty, looks: NDArray[np.floating]) -> Floats:
    """Distance (n,) of looks (n, m)."""
    with torch.no_grad():
        return novelty.distance(torch.from_numpy(np.asarray(looks, np.float32))).double().numpy()


def quantile_of(values: Floats, patients: Sequence[str] | NDArray[np.str_], quantile: float) -> float:
    """The value (n,) that a share of the tiles lies below, every patient counting as one."""
    order = np.argsort(values)
    reached = np.cumsum(_shares(patients)[order])
    return float(values[order[min(int(np.searchsorted(reached, quantile)), len(order) - 1)]])


def _shares(patients: Sequence[str] | NDArray[np.str_]) -> NDArray[Any]:
    """Weight of each tile: patients alike, 1 in all."""
    unique, whose, counts = np.unique(np.asarray(patients, str), return_inverse=True, return_counts=True)
    return 1.0 / (len(unique) * counts[whose])
