"""The yardstick: any embeddings of the same tiles, judged by patient, with intervals and paired differences.

Ridge or logistic regression on frozen embeddings. Predictions are means over reshuffles of the patient folds; the
interval is a bootstrap over patients, and two embeddings are compared on the same draws. An embedding that was made
several times, from several seeds, scores the mean of its scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.evaluation import YardstickSettings
from ..training import intervals, metrics
from ..training.folds import check_leaks, patient_folds
from ..training.intervals import Interval
from ..training.labelled import LabelledTile
from ..training.probe import logistic_by_patient, repeated, ridge_by_patient

Floats = NDArray[np.float64]
Turn = tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]
TURNS: dict[str, Turn] = {"none": (np.asarray, np.asarray), "log": (np.log, np.exp), "log1p": (np.log1p, np.expm1)}


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
class Question:
    """A task on the tiles that carry its label.

    Parameters
    ----------
    task : YardstickSettings
    chosen : (n,)
        Places of these tiles among all.
    truth : (n,)
        Transformed numbers, or classes 0, 1, ...
    groups : (n,)
        Patients, or slides.
    """

    task: YardstickSettings
    chosen: NDArray[np.intp]
    truth: NDArray[Any]
    groups: NDArray[np.str_]

    def guess(self, x: NDArray[np.floating], seed: int = 0) -> Floats:
        """Out-of-fold answers from the embeddings `x` (tiles, d) of all tiles: (n,), or (n, classes)."""
        own, names = x[self.chosen], list(self.groups)
        fit = logistic_by_patient if self.task.kind == "classification" else ridge_by_patient
        strata = list(self.truth) if self.task.kind == "classification" else None
        fitted = partial(fit, own, self.truth, names)
        return repeated(fitted, names, self.task.folds, self.task.repeats, seed, strata)


@dataclass(frozen=True)
class Measure:
    """A metric on what it is computed from: truth, out-of-fold guesses and the patients they belong to."""

    name: str
    metric: metrics.Metric
    truth: NDArray[Any]
    guess: Floats
    patients: NDArray[np.str_]

    def draws(self) -> Floats:
        """Its value on the data and on each draw of patients."""
        return self.metric(self.truth, self.guess, intervals.resamples(self.patients))


def asked(task: YardstickSettings, tiles: Sequence[LabelledTile], seed: int = 0) -> Question:
    """The question that `task` asks of `tiles`.

    Raises
    ------
    InputError
        No tile carries the label, a label is of the wrong kind, or the folds share a patient, a slide or pixels.
    """
    chosen = np.array([i for i, tile in enumerate(tiles) if task.label in tile.labels], np.intp)
    groups = np.array([getattr(tiles[i], task.group) for i in chosen], str)
    labels = np.array([tiles[i].labels[task.label] for i in chosen])
    if task.kind == "classification":
        common = _of_enough_groups(labels, groups, task.least)
        chosen, groups, labels = chosen[common], groups[common], labels[common]
    if len(chosen) == 0:
        raise InputError(f"{task.name}: no tile has the label {task.label!r}", "correct label, tiles or least")
    truth = _truth(task, labels)
    strata = list(truth) if task.kind == "classification" else None
    digests = [str(tiles[i].labels.get("pixels", tiles[i].image)) for i in chosen]
    for repeat in range(task.repeats):
        folds = patient_folds(list(groups), task.folds, seed + repeat, strata)
        check_leaks(list(groups), [tiles[i].slide for i in chosen], digests, folds)
    return Question(task, chosen, truth, groups)


def measured(
    question: Question, guesses: Mapping[str, Sequence[Floats]], dimensions: Mapping[str, int], reference: str | None
) -> list[Row]:
    """Score answers to `question`.

    Parameters
    ----------
    guesses : name > answers of each seed, from `Question.guess`
    dimensions : name > length of the embedding
    reference : name of the embedding that the others are compared with, on the same draws of patients
    """
    found = {name: [_measures(question, guess) for guess in each] for name, each in guesses.items()}
    counts = (len(question.truth), len(np.unique(question.groups)))
    rows = []
    for i, first in enumerate(next(iter(found.values()))[0] if found else ()):
        draws = {name: np.mean([seed[i].draws() for seed in each], axis=0) for name, each in found.items()}
        for name, own in draws.items():
            other = draws.get(reference) if reference and name != reference else None
            difference = None if other is None else intervals.paired(own, other)
            score = intervals.interval(own)
            rows.append(Row(question.task.name, first.name, name, dimensions[name], score, difference, *counts))
    return rows


def evaluate(
    embeddings: Mapping[str, NDArray[np.floating]],
    tiles: Sequence[LabelledTile],
    tasks: Sequence[YardstickSettings],
    reference: str | None = None,
    seed: int = 0,
) -> list[Row]:
    """Judge embeddings of the same tiles on every task.

    Parameters
    ----------
    embeddings : name > (tiles, d)
    tiles : in the order of the embeddings' rows
    reference : as in `measured`

    Raises
    ------
    InputError
        An embedding has other rows than the tiles or values that are not finite, the reference is not among them,
        or as `asked`.
    """
    for name, x in embeddings.items():
        check(name, x, len(tiles))
    if reference is not None and reference not in embeddings:
        raise InputError(f"no embedding is called {reference!r}", f"choose among {', '.join(embeddings)}")
    rows = []
    for task in tasks:
        question = asked(task, tiles, seed)
        guesses = {name: [question.guess(x, seed)] for name, x in embeddings.items()}
        rows += measured(question, guesses, {name: x.shape[1] for name, x in embeddings.items()}, reference)
    return rows


def check(name: str, x: NDArray[np.floating], tiles: int) -> None:
    """Refuse embeddings (tiles, d) of another number of rows, or with values that are not finite."""
    if x.ndim != 2 or len(x) != tiles:
        raise InputError(f"{name}: {x.shape} for {tiles} tiles", "give one row per tile, in the tiles' order")
    if not np.isfinite(x).all():
        raise InputError(f"{name}: holds values that are not finite", "look for tiles without tissue or entities")


def markdown(rows: Sequence[Row]) -> str:
    """Return the table: value and 95 % interval, difference to the reference with its own."""
    lines = ["| task | metric | embedding | d | value [95 %] | minus reference [95 %] | tiles / patients |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [row.task, row.metric, row.embedding, row.dimensions, row.score, row.difference or "-"]
        lines.append(f"| {' | '.join(map(str, cells))} | {row.tiles} / {row.patients} |")
    return "\n".join(lines)


def _truth(task: YardstickSettings, labels: NDArray[Any]) -> NDArray[Any]:
    if task.kind == "classification":
        return np.unique(labels, return_inverse=True)[1]
    if labels.dtype.kind != "f":
        raise InputError(f"{task.name}: the label {task.label!r} is not a number", "make kind = classification")
    return TURNS[task.transform][0](labels)


def _of_enough_groups(labels: NDArray[Any], groups: NDArray[np.str_], least: int) -> NDArray[np.bool_]:
    enough = [each for each in np.unique(labels) if len(np.unique(groups[labels == each])) >= least]
    return np.isin(labels, enough)


def _measures(question: Question, guess: Floats) -> list[Measure]:
    """The metrics of one embedding; the first is the one that tables show."""
    truth, groups = question.truth, question.groups
    if question.task.kind == "classification":
        return _class_measures(truth, guess, groups, question.task.group)
    back = TURNS[question.task.transform][1]
    natural = Measure(f"MAE ({question.task.unit})", metrics.mae, back(truth), back(guess), groups)
    scores = (("R2", metrics.r2), ("Spearman", metrics.spearman))
    return [*(Measure(name, metric, truth, guess, groups) for name, metric in scores), natural]


def _class_measures(codes: NDArray[np.int64], guess: Floats, groups: NDArray[np.str_], group: str) -> list[Measure]:
    scores = (("accuracy", metrics.accuracy), ("macro-F1", metrics.macro_f1), ("AUROC", metrics.auroc))
    by_tile = [Measure(f"tile {name}", metric, codes, guess, groups) for name, metric in scores]
    if any(len(np.unique(codes[groups == each])) > 1 for each in np.unique(groups)):
        return by_tile  # tiles of one patient differ: there is no answer per patient
    whole = metrics.per_patient(codes, guess, groups)
    return [*by_tile, *(Measure(f"{group} {name}", metric, *whole) for name, metric in scores if name != "macro-F1")]
