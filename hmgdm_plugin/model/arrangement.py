r"""How what the encoder says is laid out over a tile: numbers that no mean or spread over entities holds.

For each of the first directions of the readout, centred and scaled inside the tile to z, with entities weighed by area:

- Moran's autocorrelation at lags 1 to 4 (Moran 1950): :math:`\overline{z_i\,(W^h z)_i}`, W the mean over contacts;
- power of the lowest spatial frequencies (the periodogram), as mean and range over each ring of equal frequency, so
  that turning or mirroring the tile by the symmetries of a square changes nothing;
- moments :math:`\overline{z_i r_i^q}`, q = 1, 2, 4, of the distance r from the centre, and their absolute values: is it
  inside or outside, and is there an inside at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .batch import LatentBatch
from .segments import segment_mean, segment_std, segment_sum

LAGS = 4
RINGS: tuple[tuple[tuple[int, int], ...], ...] = (  # in half periods per tile side
    ((1, 0), (0, 1)),
    ((1, 1), (1, -1)),
    ((2, 0), (0, 2)),
    ((2, 1), (1, 2), (2, -1), (1, -2)),
    ((2, 2), (2, -2)),
)
POWERS = 1, 2, 4
NUMBERS = LAGS + 2 * len(RINGS) + 2 * len(POWERS)  # per direction
Mean = Callable[[Tensor], Tensor]
LEAST = 1e-3  # deviation inside a tile below which a direction is taken as flat


def arrangement(values: Tensor, batch: LatentBatch) -> Tensor:
    """Arrangement (B, NUMBERS k) of the values (N, k) of the vertices of `batch`; 0 where nothing is arranged."""
    owner, graphs, weight = batch.batch, batch.num_graphs, batch.weight()
    centred = values - segment_mean(values, owner, graphs, weight)[owner]
    centred = centred - segment_mean(centred, owner, graphs, weight)[owner]  # rounding left some: in a flat one, all
    z = centred / segment_std(values, owner, graphs, weight).clamp(min=LEAST)[owner]

    def mean(rows: Tensor) -> Tensor:
        return segment_mean(rows, owner, graphs, weight)

    return torch.cat([*_lags(z, batch, mean), *_rings(z, batch.pos, mean), *_radial(z, batch.pos, mean)], dim=1)


def _lags(z: Tensor, batch: LatentBatch, mean: Mean) -> list[Tensor]:
    """Moran's I at each lag, (B, k) each."""
    here, there = torch.cat([batch.edge_index, batch.edge_index.flip(0)], dim=1)
    degree = torch.bincount(there, minlength=len(z)).clamp(min=1).to(z.dtype)[:, None]
    around, out = z, []
    for _ in range(LAGS):
        around = segment_sum(around.index_select(0, here), there, len(z)) / degree
        out.append(mean(z * around))
    return out


def _rings(z: Tensor, pos: Tensor, mean: Mean) -> list[Tensor]:
    """Mean and range of the power over each ring, (B, k) each."""
    means, ranges = [], []
    for ring in RINGS:
        powers = []
        for fx, fy in ring:
            phase = math.pi * (fx * pos[:, :1] + fy * pos[:, 1:])
            powers.append(mean(z * phase.cos()).square() + mean(z * phase.sin()).square())
        stacked = torch.stack(powers)
        means.append(stacked.mean(0))
        ranges.append(stacked.amax(0) - stacked.amin(0))
    return means + ranges


def _radial(z: Tensor, pos: Tensor, mean: Mean) -> list[Tensor]:
    """Moments of the distance from the centre and their absolute values, (B, k) each."""
    radius = (pos - 0.5).norm(dim=1, keepdim=True)
    moments = [mean(z * radius**power) for power in POWERS]
    return moments + [moment.abs() for moment in moments]
