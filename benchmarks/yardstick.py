"""The yardstick: any embeddings of the same tiles, judged by patient, with intervals and paired differences.

    python -m benchmarks.yardstick --cache DIR [--embedding NAME=FILE.npz …] [--reference statistics]

`FILE.npz` holds `x` (tiles, d) in the order of `benchmarks.tiles.build`; baseline (a), `statistics`, is always there.
Predictions are means over five reshuffles of the patient folds; the interval is a bootstrap over patients.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tiles import build, read_pixels
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.training import intervals, metrics
from hmgdm_plugin.training.folds import check_leaks, patient_folds
from hmgdm_plugin.training.intervals import Interval
from hmgdm_plugin.training.labelled import LabelledTile, data_root
from hmgdm_plugin.training.probe import logistic_by_patient, repeated, ridge_by_patient
from hmgdm_plugin.training.statistics import names, statistics_of

REPEATS = 5
MIN_ORGAN_PATIENTS = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """One question asked of every embedding: which tiles, which label, how it is transformed, how many folds."""

    name: str
    label: str
    folds: int
    unit: str = ""  # of the mean absolute error
    classes: bool = False
    forward: Callable[[Floats], Floats] = np.asarray
    backward: Callable[[Floats], Floats] = np.asarray


TASKS = (
    Task("log count", "count", 6, "nuclei", forward=np.log1p, backward=np.expm1),
    Task("log area", "area", 6, "um2", forward=np.log, backward=np.exp),
    Task("nuclear fraction", "fraction", 6, "share"),
    Task("organ", "organ", 6, classes=True),
    Task("benign", "benign", 4, classes=True),
)


@dataclass(frozen=True)
class Row:
    """One number: an embedding on a task by a metric, and how far it is from the reference on the same patients."""

    task: str
    metric: str
    embedding: str
    dimensions: int
    score: Interval
    difference: Interval | None
    tiles: int
    patients: int


@dataclass(frozen=True)
class Measure:
    """A metric on what it is computed from: truth, out-of-fold guesses and the patients they belong to."""

    name: str
    metric: metrics.Metric
    truth: NDArray[Any]
    guess: Floats
    patients: NDArray[np.str_]


def evaluate(
    embeddings: Mapping[str, NDArray[np.floating]],
    tiles: Sequence[LabelledTile],
    reference: str | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
    tasks: Sequence[Task] = TASKS,
) -> list[Row]:
    """Judge embeddings of the same tiles on every task, and print the table as markdown.

    Parameters
    ----------
    embeddings : name > (tiles, d)
    tiles : in the order of the embeddings' rows; those of CRCHisto are never used
    reference : name of the embedding that the others are compared with, on the same draws of patients

    Raises
    ------
    InputError
        An embedding has other rows than the tiles or values that are not finite, the reference is not among them,
        or the folds share a patient, a slide or identical pixels.
    """
    _check(embeddings, tiles, reference)
    rows = [row for task in tasks for row in _judge(task, embeddings, tiles, reference, repeats, seed)]
    print(markdown(rows))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return the table: value and 95 % interval, difference to the reference with its own."""
    lines = ["| task | metric | embedding | d | value [95 %] | minus reference [95 %] | tiles / patients |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [row.task, row.metric, row.embedding, row.dimensions, row.score, row.difference or "-"]
        lines.append(f"| {' | '.join(map(str, cells))} | {row.tiles} / {row.patients} |")
    return "\n".join(lines)


def baseline_statistics(tiles: Sequence[LabelledTile], cache: Path) -> NDArray[np.float32]:
    """Baseline (a) of the tiles, (tiles, 130), computed once and kept in the folder `cache`."""
    what = [(t.labels.get("pixels", str(t.image)), t.x_px, t.y_px, t.side_px) for t in tiles]
    path = cache / f"statistics-{hashlib.sha256(repr((names(), what)).encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial_path, x=statistics_of(read_pixels(tiles)))
        os.replace(partial_path, path)
    return np.load(path, allow_pickle=False)["x"]


def _judge(
    task: Task,
    embeddings: Mapping[str, NDArray[np.floating]],
    tiles: Sequence[LabelledTile],
    reference: str | None,
    repeats: int,
    seed: int,
) -> Iterator[Row]:
    chosen = _tiles_of(task, tiles)
    if len(chosen) == 0:
        return
    mine = [tiles[i] for i in chosen]
    found = {name: _measures(task, x[chosen], mine, repeats, seed) for name, x in embeddings.items()}
    counts = (len(mine), len({tile.patient for tile in mine}))
    for i in range(len(next(iter(found.values())))):
        draws = {name: _draws(measures[i]) for name, measures in found.items()}
        for name in found:
            other = draws.get(reference) if reference and name != reference else None
            difference = None if other is None else intervals.paired(draws[name], other)
            score = intervals.interval(draws[name])
            yield Row(task.name, found[name][i].name, name, embeddings[name].shape[1], score, difference, *counts)


def _draws(m: Measure) -> Floats:
    return m.metric(m.truth, m.guess, intervals.resamples(m.patients))


def _measures(
    task: Task, x: NDArray[np.floating], tiles: Sequence[LabelledTile], repeats: int, seed: int
) -> list[Measure]:
    patients = np.array([tile.patient for tile in tiles])
    labels = np.array([tile.labels[task.label] for tile in tiles])
    classes = list(labels) if task.classes else None
    for i in range(repeats):
        folds = patient_folds(list(patients), task.folds, seed + i, classes)
        digests = [str(tile.labels.get("pixels", tile.image)) for tile in tiles]
        check_leaks(list(patients), [tile.slide for tile in tiles], digests, folds)
    run = partial(repeated, patients=list(patients), n_folds=task.folds, repeats=repeats, seed=seed, classes=classes)
    if task.classes:
        codes = np.unique(labels, return_inverse=True)[1]
        return _class_measures(codes, run(lambda f: logistic_by_patient(x, codes, list(patients), f)), patients)
    truth = task.forward(labels)
    guess = run(lambda f: ridge_by_patient(x, truth, list(patients), f))
    natural = Measure(f"MAE ({task.unit})", metrics.mae, labels, task.backward(guess), patients)
    scores = (("R2", metrics.r2), ("Spearman", metrics.spearman))
    return [*(Measure(name, metric, truth, guess, patients) for name, metric in scores), natural]


def _class_measures(codes: NDArray[np.int64], guess: Floats, patients: NDArray[np.str_]) -> list[Measure]:
    scores = (("accuracy", metrics.accuracy), ("macro-F1", metrics.macro_f1), ("AUROC", metrics.auroc))
    by_tile = [Measure(f"tile {name}", metric, codes, guess, patients) for name, metric in scores]
    whole = metrics.per_patient(codes, guess, patients)
    return [*by_tile, *(Measure(f"patient {name}", metric, *whole) for name, metric in scores if name != "macro-F1")]


def _tiles_of(task: Task, tiles: Sequence[LabelledTile]) -> NDArray[np.intp]:
    """Places of the tiles that carry the task's label; organs of too few patients are left out."""
    usable = [i for i, tile in enumerate(tiles) if task.label in tile.labels and tile.source != "crchisto"]
    if task.label == "organ":
        patients: dict[Any, set[str]] = {}
        for i in usable:
            patients.setdefault(tiles[i].labels["organ"], set()).add(tiles[i].patient)
        usable = [i for i in usable if len(patients[tiles[i].labels["organ"]]) >= MIN_ORGAN_PATIENTS]
    return np.array(usable, np.intp)


def _check(
    embeddings: Mapping[str, NDArray[np.floating]], tiles: Sequence[LabelledTile], reference: str | None
) -> None:
    for name, x in embeddings.items():
        if x.ndim != 2 or len(x) != len(tiles):
            raise InputError(f"{name}: {x.shape} for {len(tiles)} tiles", "give one row per tile, in the tiles' order")
        if not np.isfinite(x).all():
            raise InputError(f"{name}: holds values that are not finite", "look for tiles without tissue or entities")
    if reference is not None and reference not in embeddings:
        raise InputError(f"no embedding is called {reference!r}", f"choose among {', '.join(embeddings)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge frozen embeddings by patient.")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the statistics, outside the repository")
    parser.add_argument("--embedding", action="append", default=[], metavar="NAME=FILE.npz")
    parser.add_argument("--reference", default="statistics")
    arguments = parser.parse_args()
    tiles = build(data_root())
    embeddings: dict[str, NDArray[np.floating]] = {"statistics": baseline_statistics(tiles, arguments.cache)}
    for name, _, path in (text.partition("=") for text in arguments.embedding):
        embeddings[name] = np.load(path, allow_pickle=False)["x"]
    start = time.perf_counter()
    evaluate(embeddings, tiles, arguments.reference)
    print(f"\n{len(embeddings)} embeddings of {len(tiles)} tiles judged in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
