"""How far outlines reach: one factor for all distances, chosen on labelled images and put into the network.

A network that is trained by the mean error of its distances draws outlines of what it is unsure of too far inside.
The last layer of the distances is linear, so the factor changes its weights and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from .matching import matched
from .network import StarDistNetwork
from .stars import Candidates, StarDist, kept

FACTORS = (1.0, 1.02, 1.04, 1.06, 1.08, 1.1)


def best_factor(detector: StarDist, images: Iterable[tuple[NDArray[np.uint8], NDArray[np.int32]]]) -> float:
    """The one of `FACTORS` with the best mean of F1 over IoU 0.50, 0.55, … 0.95; the smallest of equals.

    Parameters
    ----------
    images : RGB (H, W, 3) uint8 and labels (H, W) int32
        Not those that the detector is judged by.
    """
    counts = {factor: np.zeros((2, 10)) for factor in FACTORS}  # hits, and false alarms and misses together
    for rgb, labels in images:
        found = detector.candidates(rgb)
        for factor, count in counts.items():
            wider = Candidates(found.points, found.probability, found.distances * np.float32(factor))
            nuclei = detector.nuclei(kept(wider, detector.settings.nms_threshold))
            each = matched(labels, nuclei.labels((labels.shape[0], labels.shape[1])))
            count += np.stack([each.hits, each.false + each.missed])
    f1 = {factor: (2 * hits / np.maximum(2 * hits + wrong, 1)).mean() for factor, (hits, wrong) in counts.items()}
    return max(FACTORS, key=lambda factor: f1[factor])


def stretch(network: StarDistNetwork, factor: float) -> None:
    """Multiply all distances that `network` answers by `factor`."""
    with torch.no_grad():
        for weights in network.conv["dist"].parameters():
            weights.mul_(factor)
