"""How many nuclei were found: stardist's matching of two label images, as counts that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))


@dataclass(frozen=True, slots=True)
class Matched:
    """Counts at each of `IOUS`: hits, false alarms, misses (10,), and the summed IoU of the hits (10,)."""

    hits: NDArray[np.float64]
    false: NDArray[np.float64]
    missed: NDArray[np.float64]
    overlap: NDArray[np.float64]


def matched(truth: NDArray[np.int32], found: NDArray[np.int32]) -> Matched:
    """Match nuclei one to one by intersection over union, both (H, W) int with 0 as background."""
    from stardist.matching import matching

    each = matching(truth, found, thresh=IOUS)
    columns = [(m.tp, m.fp, m.fn, m.mean_matched_score * m.tp) for m in each]
    return Matched(*(np.array(column, np.float64) for column in zip(*columns, strict=True)))
