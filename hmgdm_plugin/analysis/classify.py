"""A classification study: every example judged by models that never saw its patient, as honest as folds can be.

Nothing is learnt from those who judge: strengths and weights come from the training fold; the epoch, the number of
neighbours and the temperature from the validation fold; the encoder starts every fold from the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..model.heads import GatedHead
from ..model.hmgdm import HMGDM
from ..schema.events import Events
from ..schema.studies import ClassifySettings, Method
from ..training import metrics
from ..training.calibration import ece, temperature, tempered
from ..training.finetune import Examples, checksum, cooled, finetune, tokens_of
from ..training.folds import Split, check_leaks, patient_folds, splits
from ..training.heads import Task, linear_head, predict_head
from ..training.intervals import interval, paired, resamples
from ..training.nearest import fit_nearest
from .examples import Gathered

if TYPE_CHECKING:
    from ..zoo.load import LoadedModel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Guess = Callable[[Ints], Floats]
METRICS: dict[str, metrics.Metric] = {
    "accuracy": metrics.accuracy,
    "macro-F1": metrics.macro_f1,
    "AUROC": metrics.auroc,
    "ECE": ece,
}


@dataclass
class Study:
    """What was found on the examples (n,) when each was in the test fold, by method.

    `plain` and `guess` (n, classes) are probabilities as they come and after the temperature. `started_from` is the
    digest of the encoder at the start of each fold.
    """

    classes: list[str]
    target: Ints
    patients: list[str]
    fold: Ints
    plain: dict[str, Floats] = field(default_factory=dict)
    guess: dict[str, Floats] = field(default_factory=dict)
    temperatures: dict[str, list[float]] = field(default_factory=dict)
    epochs: list[int] = field(default_factory=list)
    started_from: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fitting:
    """What the methods learn from: the model, its gathered tiles, the class of each tile (T,), the settings."""

    model: LoadedModel
    gathered: Gathered
    target: Ints
    task: Task
    settings: ClassifySettings

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient of each tile."""
        names = np.array([example.patient for example in self.gathered.examples])
        return names[self.gathered.owner]

    def trainable(self, rows: Ints) -> Examples:
        """Tiles of `rows` for the encoder."""
        picked = self.patients[rows]
        return Examples([self.gathered.latents[k] for k in rows], self.target[rows], list(picked))


def prepared(gathered: Gathered, model: LoadedModel, settings: ClassifySettings) -> tuple[Study, Fitting]:
    """Folds by patient, stratified by class.

    Raises
    ------
    InputError
        Too few patients, or the same patient, slide or pixels in two folds.
    """
    examples = gathered.examples
    classes = list(settings.classes) or sorted({example.label for example in examples})
    target = np.array([classes.index(example.label) for example in examples], np.int64)
    patients = [example.patient for example in examples]
    folds = patient_folds(patients, settings.folds, settings.seed, [float(each) for each in target])
    owner = gathered.owner
    slides = [examples[k].slide for k in owner]
    check_leaks([patients[k] for k in owner], slides, gathered.pixels, folds[owner])
    task = Task("classification", len(classes), balanced=True)
    return Study(classes, target, patients, folds), Fitting(model, gathered, target[owner], task, settings)


def cross_validated(study: Study, fitting: Fitting, events: Events) -> None:
    """Fit every method on every split, and write down what it says of the test examples."""
    count = fitting.settings.folds
    for split in events.track("folds", splits(study.fold, study.patients), count):
        study.started_from.append(checksum(fitting.model.encoder))
        for method in fitting.settings.methods:
            guess = _fitted(method, study, fitting, split)
            held, tested = (_by_example(guess, fitting, rows) for rows in (split.validation, split.test))
            whose = [study.patients[k] for k in split.validation]
            degrees = temperature(study.target[split.validation], held, whose)
            study.temperatures.setdefault(method, []).append(degrees)
            empty = np.zeros((len(study.target), len(study.classes)))
            study.plain.setdefault(method, empty.copy())[split.test] = tested
            study.guess.setdefault(method, empty.copy())[split.test] = tempered(tested, degrees)


def _fitted(method: Method, study: Study, fitting: Fitting, split: Split) -> Guess:
    """Fit on the training examples; returns what gives probabilities (k, classes) of tiles (k,)."""
    train, held = (_tiles(fitting, rows) for rows in (split.train, split.validation))
    gathered, seed = fitting.gathered, fitting.settings.seed
    if method == "knn":
        x, y = gathered.pooled, fitting.target
        nearest = fit_nearest(x[train], y[train], x[held], y[held], len(study.classes))
        return lambda rows: nearest.predict(x[rows])
    if method == "linear":
        tokens = gathered.tokens
        head = linear_head(fitting.task, tokens.pick(train), fitting.target[train], list(fitting.patients[train]), seed)
        return lambda rows: predict_head(head, tokens.pick(rows))
    encoder = fitting.model.encoder
    examples = (fitting.trainable(train), fitting.trainable(held))
    tuned = finetune(encoder, encoder.state_dict(), fitting.task, *examples, fitting.settings.finetune, seed)
    study.epochs.append(tuned.epoch)
    study.started_from.append(tuned.started_from)
    return lambda rows: predict_head(tuned.head, tokens_of(tuned.encoder, [gathered.latents[k] for k in rows]))


def _tiles(fitting: Fitting, examples: Ints) -> Ints:
    """Tiles of `examples`, ascending."""
    return np.flatnonzero(np.isin(fitting.gathered.owner, examples))


def _by_example(guess: Guess, fitting: Fitting, examples: Ints) -> Floats:
    """Mean probability (k, classes) over the tiles of each of `examples` (k,)."""
    rows = _tiles(fitting, examples)
    chances = guess(rows)
    total = np.zeros((len(fitting.gathered.examples), chances.shape[1]))
    np.add.at(total, fitting.gathered.owner[rows], chances)
    return total[examples] / total[examples].sum(1, keepdims=True)


def measured(study: Study) -> list[dict[str, Any]]:
    """Scores of every method with intervals over patients, and how far behind the first method lies."""
    weights = resamples(study.patients)
    rows = []
    first = next(iter(study.guess))
    for name, metric in METRICS.items():
        reference = metric(study.target, study.guess[first], weights)
        for method, guess in study.guess.items():
            draws = metric(study.target, guess, weights)
            rows.append(_row(name, method, draws, study, "" if method == first else str(paired(draws, reference))))
    for method, plain in study.plain.items():
        rows.append(_row("ECE without temperature", method, ece(study.target, plain, weights), study, ""))
    return rows


def _row(metric: str, method: str, draws: Floats, study: Study, difference: str) -> dict[str, Any]:
    found = interval(draws)
    return {
        "metric": metric,
        "method": method,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "minus_first": difference,
        "patients": len(set(study.patients)),
        "examples": len(study.target),
    }


def final(study: Study, fitting: Fitting, degrees: float) -> tuple[HMGDM, GatedHead]:
    """Encoder and head of the method to save, fitted on everything; its logits divided by `degrees`."""
    settings = fitting.settings
    encoder = fitting.model.encoder
    every = np.arange(len(fitting.target))
    if settings.save == "finetune":
        epochs = max(int(np.median(study.epochs)), 1)
        long = settings.finetune.model_copy(update={"epochs": epochs, "patience": epochs + 1})
        nobody = fitting.trainable(every[:0])
        start = encoder.state_dict()
        tuned = finetune(encoder, start, fitting.task, fitting.trainable(every), nobody, long, settings.seed)
        encoder, head = tuned.encoder, tuned.head
    else:
        tokens, patients = fitting.gathered.tokens, list(fitting.patients)
        head = linear_head(fitting.task, tokens, fitting.target, patients, settings.seed)
    return encoder, cooled(head, degrees)
