"""Scores of out-of-fold answers: value and interval over patients, and how far each rival lies behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import metrics
from .heads import Task
from .intervals import interval, paired, resamples

Floats = NDArray[np.float64]
Measured = tuple[str, Callable[[Any, Floats, Floats], Floats], Any, Floats, Any]  # name, metric, truth, guess, patients


def judged(
    head: str, task: Task, target: NDArray[Any], guesses: Mapping[str, Floats], patients: Sequence[str], own: str
) -> list[dict[str, Any]]:
    """Judge out-of-fold answers of several embeddings on the same tiles.

    Parameters
    ----------
    target : (tiles,) float64 in the target's own unit, or int64 classes
    guesses : dict of str to (tiles, outputs)
        In the target's own unit, or class probabilities.
    own : str
        The embedding that the others are compared with.

    Returns
    -------
    list of dict
        Fields of a card's score: task, metric, embedding, value, low, high, patients, tiles, note.
    """
    rows = []
    names = np.asarray(patients, str)
    reference = [(m[0], m[1](m[2], m[3], resamples(m[4]))) for m in _measures(task, target, guesses[own], names)]
    for name, guess in guesses.items():
        for (metric, theirs), measured in zip(reference, _measures(task, target, guess, names), strict=True):
            draws = measured[1](measured[2], measured[3], resamples(measured[4]))
            note = "" if name == own else f"{own} minus this: {paired(theirs, draws)}"
            rows.append(row(head, metric, name, draws, names, note))
    return rows


def row(
    head: str, metric: str, embedding: str, draws: Floats, patients: Sequence[str] | NDArray[np.str_], note: str = ""
) -> dict[str, Any]:
    """Fields of a card's score, from a metric on the draws of `resamples` of the tiles' `patients` (tiles,)."""
    found = interval(draws)
    numbers = {"value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
    counts = {"patients": len(np.unique(np.asarray(patients, str))), "tiles": len(patients)}
    return {"task": head, "metric": metric, "embedding": embedding, **numbers, **counts, "note": note}


def _measures(task: Task, target: NDArray[Any], guess: Floats, patients: NDArray[np.str_]) -> list[Measured]:
    """What a task is judged by; R2 of a log target is taken on the log scale, where it is fitted."""
    if task.kind == "regression":
        value = guess[:, 0]
        scaled = (np.log1p(target), np.log1p(np.maximum(value, 0))) if task.transform == "log" else (target, value)
        name = "R2 (log)" if task.transform == "log" else "R2"
        return [
            (name, metrics.r2, *scaled, patients),
            ("Spearman", metrics.spearman, target, value, patients),
            ("MAE", metrics.mae, target, value, patients),
        ]
    truth, mean, whose = metrics.per_patient(target, guess, patients)
    tiles: list[Measured] = [
        ("tile accuracy", metrics.accuracy, target, guess, patients),
        ("tile AUROC", metrics.auroc, target, guess, patients),
    ]
    return [*tiles, ("patient accuracy", metrics.accuracy, truth, mean, whose)]
