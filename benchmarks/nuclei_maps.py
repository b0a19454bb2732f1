"""Two trainings of nucleus detectors on the same patients: which finds more, by patient.

    python -m benchmarks.nuclei_maps FIRST.toml RESULTS SECOND.toml RESULTS

Both settings must deal the same folds. Networks of the folds that both have finished are judged on their held-out
patients with true labels, outlines widened as `hmgdm train nuclei` does; differences are of the same draws of patients.
`only_true = true` in the first settings, and not in the second, asks what maps that a watershed made are worth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.nuclei_folds import opened
from hmgdm_plugin.analysis.detector_folds import FINAL, Trainings
from hmgdm_plugin.nuclei.fit import LAST, THRESHOLDS
from hmgdm_plugin.nuclei.matching import Matched, matched
from hmgdm_plugin.schema.run import nuclei_training
from hmgdm_plugin.training.intervals import interval, paired, resamples
from hmgdm_plugin.training.nuclei_scores import groups_of, metrics_of
from hmgdm_plugin.training.nuclei_table import LabelledImage


def finished(trainings: Trainings) -> list[str]:
    """Folds whose network and thresholds are there."""
    folders = {name: trainings.folder / nuclei_training(name) for name in trainings.names if name != FINAL}
    return [name for name, at in folders.items() if (at / LAST).exists() and (at / THRESHOLDS).exists()]


def judged(trainings: Trainings, names: Sequence[str]) -> tuple[list[LabelledImage], list[Matched]]:
    """Held-out images with true labels, and what was found in them."""
    images, counts = [], []
    for name in names:
        detector, _ = trainings.widened(name)
        for image in trainings.held_out(name):
            if image.truth:
                found = detector.predict(image.rgb).labels((image.rgb.shape[0], image.rgb.shape[1]))
                images.append(image)
                counts.append(matched(image.labels, found))
    return images, counts


def table(images: Sequence[LabelledImage], first: Sequence[Matched], second: Sequence[Matched]) -> list[str]:
    """Every metric of every group with several patients."""
    lines = ["| group | metric | first | second | first - second |", "|---|---|---|---|---|"]
    for group, chosen in groups_of(images).items():
        patients = [images[k].patient for k in chosen]
        if len(set(patients)) < 2:
            continue
        weights, who = resamples(patients), f"{group}, {len(set(patients))} patients"
        own, other = (metrics_of([counts[k] for k in chosen], weights) for counts in (first, second))
        lines += [
            f"| {who} | {metric} | {interval(own[metric])} | {interval(other[metric])} "
            f"| {paired(own[metric], other[metric])} |"
            for metric in own
        ]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare two trainings of nucleus detectors by patient.")
    for name in ("first", "first_results", "second", "second_results"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    both = opened(asked.first, asked.first_results), opened(asked.second, asked.second_results)
    if both[0].folds != both[1].folds:
        parser.error("the settings deal different folds: give both the same images, folds and seed")
    names = [name for name in finished(both[0]) if name in finished(both[1])]
    (images, first), (_, second) = (judged(each, names) for each in both)
    print(f"{', '.join(names)}: {len(images)} images with true labels, held out\n")
    print("\n".join(table(images, first, second)))


if __name__ == "__main__":
    main()
