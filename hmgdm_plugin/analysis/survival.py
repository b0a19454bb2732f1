"""A survival study: every patient judged by a model that never saw them, beside rivals on the same patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.studies import SurvivalSettings
from ..survival import horizon
from ..survival.concordance import Bools, Floats, concordance
from ..survival.cox import baseline_hazard, predicted_survival
from ..survival.curves import at_times, kaplan_meier
from ..survival.fit import Fitted, Patient, fit, outcomes_of, risks_of
from ..survival.linear import fit_linear
from ..training.folds import Split, patient_folds, splits
from ..training.intervals import interval, paired, resamples

GRAPH, ALONE, MEAN = "slide graph", "attention without neighbours", "mean of tiles"
NOBODY = "nobody (Kaplan-Meier)"
TIMES = 9
Risk = Callable[[Sequence[Patient]], Floats]


@dataclass
class Study:
    """What was found on the patients (n,) when each was in the test fold, by model.

    `survival` (n, k) is the predicted chance to be free of the event at `times` (k,), `error` (n, k) its weighted
    square, `high` whether the log-risk lies above the median of the training patients.
    """

    patients: Sequence[Patient]
    times: Floats
    fold: NDArray[np.int64]
    ipcw: Floats
    risk: dict[str, Floats] = field(default_factory=dict)
    error: dict[str, Floats] = field(default_factory=dict)
    high: dict[str, Bools] = field(default_factory=dict)
    fitted: list[Fitted] = field(default_factory=list)  # of the slide graph, by fold
    cuts: list[float] = field(default_factory=list)  # median log-risk of its training patients, by fold


def cross_validated(patients: Sequence[Patient], settings: SurvivalSettings, events: Events) -> Study:
    """Train and judge by folds of patients, stratified by event.

    Raises
    ------
    InputError
        Too few patients for the folds, or nobody has an event.
    """
    time, event = outcomes_of(patients)
    if event.sum() < 2:
        raise InputError(f"{int(event.sum())} events in {len(patients)} patients", "choose another endpoint")
    names = [patient.name for patient in patients]
    folds = patient_folds(names, settings.folds, settings.seed, [float(each) for each in event])
    moments = np.unique(np.quantile(time[event], np.linspace(0.1, 0.9, TIMES)))
    study = Study(patients, moments, folds, np.zeros(len(names)))
    for split in events.track("folds", splits(folds, names), settings.folds):
        _judge(study, split, settings)
    return study


def _judge(study: Study, split: Split, settings: SurvivalSettings) -> None:
    """Fit every model on one split and write down what it says of the test patients."""
    time, event = outcomes_of(study.patients)
    train, validation, test = (_pick(study.patients, rows) for rows in (split.train, split.validation, split.test))
    seen, judged = (time[split.train], event[split.train]), (time[split.test], event[split.test])
    study.ipcw[split.test] = horizon.case_weights(*seen, *judged)
    study.fitted.append(fit(train, validation, settings.risk, settings.seed))
    alone = fit(train, validation, settings.risk.model_copy(update={"layers": 0}), settings.seed)
    models: dict[str, Risk] = {
        GRAPH: lambda those: risks_of(study.fitted[-1].network, those),
        ALONE: lambda those: risks_of(alone.network, those),
        MEAN: fit_linear(train, validation).risks,
    }
    for name, risks in models.items():
        learnt, told = risks(train), risks(test)
        hazard = baseline_hazard(learnt, *seen, study.times)
        errors = horizon.brier_terms(*seen, *judged, predicted_survival(told, hazard), study.times)
        cut = float(np.median(learnt))
        study.cuts += [cut] if name == GRAPH else []
        _note(study, name, split.test, told, errors, told > cut)
    left = np.tile(at_times(kaplan_meier("train", *seen), study.times), (len(test), 1))
    errors = horizon.brier_terms(*seen, *judged, left, study.times)
    _note(study, NOBODY, split.test, np.zeros(len(test)), errors, np.zeros(len(test), bool))


def _note(study: Study, name: str, rows: NDArray[np.int64], risk: Floats, error: Floats, high: Bools) -> None:
    count = len(study.patients)
    study.risk.setdefault(name, np.zeros(count))[rows] = risk
    study.error.setdefault(name, np.zeros((count, len(study.times))))[rows] = error
    study.high.setdefault(name, np.zeros(count, bool))[rows] = high


def _pick(patients: Sequence[Patient], rows: NDArray[np.int64]) -> list[Patient]:
    return [patients[row] for row in rows]


def measured(study: Study) -> list[dict[str, Any]]:
    """Scores with intervals over patients, and how far each rival lies behind on the same draws.

    C-index: pairs within a fold, all folds together; then fold by fold. AUC: mean over the times. Integrated Brier
    score: lower is better, and `nobody` is what the training fold's Kaplan-Meier curve says of everybody.
    """
    time, event = outcomes_of(study.patients)
    weights = resamples([patient.name for patient in study.patients])
    left = at_times(kaplan_meier("all", time, event), study.times)
    rows = []
    for metric, draws in _draws(study, time, event, weights, left).items():
        for name, own in draws.items():
            rows.append(_row(metric, name, "all", own, draws[GRAPH], study.fold >= 0, event))
    for fold in np.unique(study.fold):
        inside = study.fold == fold
        for name in (GRAPH, ALONE, MEAN):
            own = concordance(time[inside], event[inside], study.risk[name][inside], weights[:, inside])
            rows.append(_row("C-index", name, str(fold), own, own, inside, event))
    return rows


def _draws(study: Study, time: Floats, event: Bools, weights: Floats, left: Floats) -> Mapping[str, dict[str, Floats]]:
    """Metric > model > value of the data and of each draw; the last two only where there are two times or more."""
    models = (GRAPH, ALONE, MEAN)
    found = {"C-index": {m: concordance(time, event, study.risk[m], weights, study.fold) for m in models}}
    if len(study.times) < 2:
        return found
    found["AUC"] = {m: horizon.mean_auc(auc_of(study, m, weights), left) for m in models}
    total = weights.sum(1, keepdims=True)
    found["integrated Brier score"] = {
        m: horizon.integrated(weights @ study.error[m] / total, study.times) for m in (*models, NOBODY)
    }
    return found


def auc_of(study: Study, model: str, weights: Floats | None = None) -> Floats:
    """AUC at each time (b, k)."""
    time, event = outcomes_of(study.patients)
    return horizon.dynamic_auc(time, event, study.risk[model], study.ipcw, study.times, weights, study.fold)


def _row(metric: str, model: str, fold: str, own: Floats, graph: Floats, inside: Bools, event: Bools) -> dict[str, Any]:
    found = interval(own)
    difference = "" if model == GRAPH or fold != "all" else str(paired(graph, own))
    return {
        "metric": metric,
        "model": model,
        "fold": fold,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "graph_minus_this": difference,
        "patients": int(inside.sum()),
        "events": int(event[inside].sum()),
    }


def verdict(patients: Sequence[Patient]) -> str:
    """What so many events can and cannot show."""
    events, count = int(outcomes_of(patients)[1].sum()), len(patients)
    told = f"{events} event{'s' * (events != 1)} in {count} patients"
    if events < 20:
        return f"{told} prove nothing about prognosis: they show that the pipeline runs."
    if events < 100:
        return f"{told} are few: read the intervals, not the values, and ask for another cohort."
    return f"{told}. Cross-validation inside one cohort is not a test on another."
