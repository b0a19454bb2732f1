"""One head of `hmgdm train heads`: judged out of fold beside its rivals, calibrated by the same answers, then fitted.

Temperature and margin come from what heads said of patients that they had never seen; how well they hold is measured on
patients that they were not taken from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..training import metrics
from ..training.calibration import ece, temperature, tempered_by_others
from ..training.conformal import covered, margin
from ..training.finetune import cooled
from ..training.folds import check_leaks, patient_folds
from ..training.heads import Task, fit_head, out_of_fold
from ..training.intervals import resamples
from ..training.judge import judged, row
from ..zoo.card import Interval
from .labelled import ENCODER

if TYPE_CHECKING:
    from ..model.heads import GatedHead
    from ..schema.events import Events
    from ..schema.settings import HeadSettings
    from ..training.labelled import LabelledTile
    from .labelled import Encoded

SHARE = 0.9  # of the tiles of a new patient whose truth the interval is to hold
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Fitted:
    """A head fitted on all its tiles, what its card says of its certainty, and its scores out of fold."""

    head: GatedHead
    certainty: dict[str, Any]
    scores: list[dict[str, Any]]


@dataclass(frozen=True)
class _Said:
    """What heads said of tiles (n,) whose patients were left out, in every reshuffle of the folds (r,).

    `guess` (r, n, outputs), `folds` (r, n).
    """

    target: NDArray[Any]
    patients: list[str]
    guess: Floats
    folds: Ints

    def temperature(self) -> float:
        """Of all that was said."""
        repeats, count, classes = self.guess.shape
        rows = self.guess.reshape(repeats * count, classes)
        return temperature(np.tile(self.target, repeats), rows, self.patients * repeats)


def fitted(
    wanted: HeadSettings,
    tiles: Sequence[LabelledTile],
    own: Ints,
    target: NDArray[Any],
    encoded: Encoded,
    seed: int,
    events: Events,
) -> Fitted:
    """Fit the head `wanted` on the tiles `own`, whose labels are `target`.

    Raises
    ------
    InputError
        Too few patients, or the same patient, slide or pixels in two folds.
    """
    patients = [tiles[k].patient for k in own]
    task = Task(wanted.kind, max(len(wanted.classes), 1), wanted.transform, wanted.spread, wanted.gate)
    own_task = replace(task, amounts_only=wanted.amounts_only)  # rivals read all that they have
    strata = [float(t) for t in target] if wanted.kind == "classification" else None
    guesses: dict[str, list[Floats]] = {name: [] for name in encoded.tokens}
    shuffles = []
    for repeat in range(wanted.repeats):
        folds = patient_folds(patients, wanted.folds, seed + repeat, strata)
        hashes = [str(tiles[k].labels.get("pixels", k)) for k in own]
        check_leaks(patients, [tiles[k].slide for k in own], hashes, folds)
        shuffles.append(folds)
        for done, (name, tokens) in enumerate(encoded.tokens.items(), 1):
            asked = own_task if name == ENCODER else task
            guesses[name].append(out_of_fold(asked, tokens.pick(own), target, patients, folds, seed + repeat))
            count = len(encoded.tokens)
            events.progress(wanted.name, repeat * count + done, wanted.repeats * count, name)
    means = {name: np.mean(each, axis=0) for name, each in guesses.items()}
    scores = judged(wanted.name, task, target, means, patients, ENCODER)
    head = fit_head(own_task, encoded.tokens[ENCODER].pick(own), target, patients, seed)
    said = _Said(target, patients, np.stack(guesses[ENCODER]), np.stack(shuffles))
    if wanted.kind == "classification":
        degrees = said.temperature()
        return Fitted(cooled(head, degrees), {"temperature": round(degrees, 4)}, [*scores, *_reliable(wanted, said)])
    found, more = _bounded(wanted, said)
    return Fitted(head, {"interval": found}, [*scores, *more])


def _reliable(wanted: HeadSettings, said: _Said) -> list[dict[str, Any]]:
    """Calibration error without the temperature, and with that of the other folds' patients."""
    weights = resamples(said.patients)
    tempered = [
        tempered_by_others(said.target, guess, said.patients, folds)
        for guess, folds in zip(said.guess, said.folds, strict=True)
    ]
    before, after = (
        np.mean([ece(said.target, guess, weights) for guess in each], axis=0) for each in (said.guess, tempered)
    )
    return [
        row(wanted.name, "ECE without temperature", ENCODER, before, said.patients),
        row(wanted.name, "ECE", ENCODER, after, said.patients, "with the temperature of the other folds"),
    ]


def _bounded(wanted: HeadSettings, said: _Said) -> tuple[Interval | None, list[dict[str, Any]]]:
    """The interval around an answer, and how often it holds the truth of patients that it was not taken from."""
    scale = np.log1p if wanted.transform == "log" else np.asarray
    errors = np.concatenate(scale(said.target) - scale(said.guess[..., 0]))
    patients = said.patients * len(said.guess)
    found = margin(errors, patients, SHARE)
    if not np.isfinite(found):
        return None, []
    inside = covered(errors, patients, SHARE).reshape(said.guess.shape[:2]).mean(0)
    draws = metrics.mean_by_patient(inside, said.patients, resamples(said.patients))
    what = f"inside the {100 * SHARE:.0f} % interval"
    note = "share of the tiles of a patient, with the margin of the other patients"
    rows = [row(wanted.name, what, ENCODER, draws, said.patients, note)]
    return Interval(share=SHARE, margin=round(found, 5)), rows
