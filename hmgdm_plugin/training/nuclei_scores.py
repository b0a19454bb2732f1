"""Scores of held-out images, all together and by group, with intervals over patients.

F1 = 2 TP / (2 TP + FP + FN) and AP = TP / (TP + FP + FN) at an IoU, as stardist names them; AP alone is their mean over
IoU 0.50, 0.55, … 0.95. Panoptic quality: Kirillov et al., CVPR 2019. Counts are added over images, then divided.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .intervals import interval, resamples
from .nuclei_table import LabelledImage

Floats = NDArray[np.float64]


class Counts(Protocol):
    """Hits, false alarms, misses and summed overlap of one image, each at IoU 0.5, 0.55, … 0.95: (10,)."""

    @property
    def hits(self) -> Floats: ...  # noqa: D102
    @property
    def false(self) -> Floats: ...  # noqa: D102
    @property
    def missed(self) -> Floats: ...  # noqa: D102
    @property
    def overlap(self) -> Floats: ...  # noqa: D102


def groups_of(images: Sequence[LabelledImage]) -> dict[str, list[int]]:
    """Numbers of all images, of those of each source, and of those of each group of a source that has several."""
    groups: dict[str, list[int]] = {"all": list(range(len(images)))}
    own: dict[str, set[str]] = {}
    for image in images:
        own.setdefault(image.source, set()).add(image.group)
    for number, image in enumerate(images):
        groups.setdefault(image.source, []).append(number)
        if len(own[image.source]) > 1:
            groups.setdefault(f"{image.source}: {image.group}", []).append(number)
    return dict(sorted(groups.items(), key=lambda item: (item[0] != "all", item[0])))


def write_counts(path: Path, images: Sequence[LabelledImage], counts: Sequence[Counts]) -> None:
    """Write what was found in each held-out image, at IoU 0.5 and 0.7, as CSV."""
    titles = ["image", "source", "patient", "group"]
    titles += [f"{what} at IoU {iou}" for iou in ("0.5", "0.7") for what in ("hits", "false", "missed")]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(titles)
        for image, each in zip(images, counts, strict=True):
            numbers = [int(part[at]) for at in (0, 4) for part in (each.hits, each.false, each.missed)]
            table.writerow([image.name, image.source, image.patient, image.group, *numbers])


def scores_of(
    counts: Sequence[Counts], patients: Sequence[str], groups: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """Judge held-out images.

    Parameters
    ----------
    counts, patients : (images,)
    groups : dict of str to sequence of int
        Numbers of the images of each group.

    Returns
    -------
    list of dict
        Fields of a nucleus card's score: group, metric, value, low, high, patients, images, nuclei, note.
    """
    rows = []
    for group, chosen in groups.items():
        names = [patients[k] for k in chosen]
        weights = resamples(names)  # (draws, images)
        about = {
            "group": group,
            "patients": len(set(names)),
            "images": len(chosen),
            "nuclei": round(sum(counts[k].hits[0] + counts[k].missed[0] for k in chosen)),
            "note": "" if len(set(names)) > 1 else "one patient: no interval",
        }
        for metric, draws in metrics_of([counts[k] for k in chosen], weights).items():
            found = interval(draws)
            rows.append(
                {**about, "metric": metric} | {key: round(getattr(found, key), 4) for key in ("value", "low", "high")}
            )
    return rows


def metrics_of(counts: Sequence[Counts], weights: Floats) -> dict[str, Floats]:
    """Each metric of the images and of every draw of them: (draws,)."""
    hits, false, missed, overlap = (
        weights @ np.stack([getattr(each, name) for each in counts]) for name in ("hits", "false", "missed", "overlap")
    )  # (draws, IoUs)
    f1 = _ratio(2 * hits, 2 * hits + false + missed)
    ap = _ratio(hits, hits + false + missed)
    quality = _ratio(overlap, hits + (false + missed) / 2)
    return {
        "F1 at IoU 0.5": f1[:, 0],
        "F1 at IoU 0.7": f1[:, 4],
        "AP at IoU 0.5": ap[:, 0],
        "AP": ap.mean(axis=1),
        "PQ": quality[:, 0],
        "precision at IoU 0.5": _ratio(hits, hits + false)[:, 0],
        "recall at IoU 0.5": _ratio(hits, hits + missed)[:, 0],
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
