"""`hmgdm train`: heads and classifiers on a pre-trained encoder, survival from tiles; all judged by folds of patients.

`heads`: every head is cross-validated beside the same head on three rivals (`analysis.labelled`); the card of the model
folder that results says what came out, with intervals over patients. `survival`: a network on the graph of a slide's
tiles beside two rivals (`analysis.survival`). `classify`: linear probe, nearest neighbours and fine-tuning side by side
(`analysis.classify`). Both end as a results folder with its report.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .schema import run
from .schema.errors import InputError
from .schema.events import Events
from .schema.folder import RunFolder, run_record
from .schema.parsing import read_toml
from .schema.run import writing
from .schema.settings import HeadSettings, HeadsSettings
from .schema.studies import ClassifySettings, SurvivalSettings

if TYPE_CHECKING:
    from .analysis.finders import Finders
    from .training.labelled import LabelledTile
    from .zoo.card import Head

CLUSTERS = "tissue-clusters"


def train_heads(settings_path: Path, results_dir: Path, events: Events) -> Mapping[str, Any]:
    """Train, validate and save the heads of `settings_path` into a new model folder.

    Raises
    ------
    InputError
        The settings, the model or the table is wrong, or a label is missing.
    """
    from .analysis.finders import Finders
    from .training.labelled import read_csv
    from .zoo.load import load

    settings = read_toml(settings_path, HeadsSettings)
    model = load(beside(settings_path, settings.model))
    target = results_dir / model.card.name
    if target.exists():
        raise InputError(f"{target}: exists already", "give another --results-dir")
    tiles = read_csv(beside(settings_path, settings.tiles))
    finders = Finders.read(None if settings.detectors is None else beside(settings_path, settings.detectors))
    if nobody := [tile for tile in tiles if not tile.patient]:
        raise InputError(f"{nobody[0].image.name}: no patient", "name the patient; folds are drawn by patient")
    labels = [_labels(wanted, tiles, events) for wanted in settings.head]
    counting = [wanted.name for wanted in settings.head if wanted.amounts_only]
    if counting and model.encoder.kinds == 1:
        raise InputError(
            f"{counting[0]}: {model.card.name} knows no nuclei, whose amounts this head is to read",
            "leave out amounts_only, or take a model that learnt with nuclei",
        )
    with writing(results_dir):
        results_dir.mkdir(parents=True, exist_ok=True)
    return _train(settings, model, tiles, labels, finders, target, events)


def train_survival(settings_path: Path, results_dir: Path, events: Events) -> Mapping[str, Any]:
    """Judge and fit a survival model on the slides and outcomes of `settings_path`; write the results folder.

    Raises
    ------
    InputError
        The settings, a feature file, the outcome table or the results folder is wrong.
    """
    import torch

    from .analysis.cohort import joined
    from .analysis.survival import cross_validated, measured
    from .analysis.survival_files import write_study
    from .survival.outcomes import read_outcomes
    from .survival.slides import feature_files

    settings = _resolved(settings_path)
    folder = RunFolder(results_dir)
    torch.set_num_threads(1)
    outcomes = read_outcomes(settings.outcome, settings.outcome.path)
    cohort = joined(feature_files(settings.features), outcomes, settings, events)
    study = cross_validated(cohort.patients, settings, events)
    rows = measured(study)
    with folder, writing(results_dir):
        write_study(folder, study, cohort, rows, settings, events)
        facts = {"seed": settings.seed, "notes": events.notes, "epochs": [fitted.epoch for fitted in study.fitted]}
        done = folder.commit(run_record("train survival", settings.model_dump(mode="json"), **facts))
    return {name: done[name] for name in (run.REPORT, run.METRICS_CSV, run.PREDICTIONS, run.RISK_WEIGHTS)}


def _resolved(settings_path: Path) -> SurvivalSettings:
    """The settings with every path as it counts from their file."""
    settings = read_toml(settings_path, SurvivalSettings)
    outcome = settings.outcome.model_copy(update={"path": beside(settings_path, settings.outcome.path)})
    slides = None if settings.slides is None else beside(settings_path, settings.slides)
    features = tuple(beside(settings_path, path) for path in settings.features)
    return settings.model_copy(update={"outcome": outcome, "slides": slides, "features": features})


def train_classify(settings_path: Path, results_dir: Path, events: Events) -> Mapping[str, Any]:
    """Judge classifiers on the examples of `settings_path`, and save one as a model; write the results folder.

    Raises
    ------
    InputError
        The settings, the model, an example or the results folder is wrong, or two folds share something.
    """
    import torch

    from .analysis import classify
    from .analysis.classify_files import model_name, write_study
    from .analysis.examples import gather
    from .zoo.load import load

    settings = read_toml(settings_path, ClassifySettings)
    folder = RunFolder(results_dir)
    torch.set_num_threads(1)
    named = beside(settings_path, settings.model)
    model = load(named if named.exists() else str(settings.model))
    gathered = gather(beside(settings_path, settings.examples), model, settings, events)
    study, fitting = classify.prepared(gathered, model, settings)
    classify.cross_validated(study, fitting, events)
    with folder, writing(results_dir):
        write_study(folder, study, fitting, classify.measured(study), events.notes)
        facts = {"seed": settings.seed, "encoder_at_start": study.started_from, "model_digest": model.digest}
        done = folder.commit(run_record("train classify", settings.model_dump(mode="json"), **facts))
    found = {name: done[name] for name in (run.REPORT, run.METRICS_CSV, run.PREDICTIONS)}
    return {**found, "model": results_dir / run.model_folder(model_name(model, settings))}


def _train(
    settings: HeadsSettings,
    model: Any,
    tiles: Sequence[LabelledTile],
    labels: Sequence[tuple[Any, Any]],
    finders: Finders,
    target: Path,
    events: Events,
) -> Mapping[str, Any]:
    """Encode the tiles, fit and judge every head, find clusters, save."""
    import torch

    from .analysis.fitted import fitted
    from .analysis.labelled import encode_labelled
    from .analysis.unlike import novelty_of
    from .training.clusters import fit_clusters
    from .zoo.measured import Score
    from .zoo.save import save_model

    torch.set_num_threads(1)
    encoded = encode_labelled(tiles, model, events, settings.seed, finders)
    heads: dict[str, Any] = {}
    specs, scores = [], []
    for wanted, (own, wished) in zip(settings.head, labels, strict=True):
        head = fitted(wanted, tiles, own, wished, encoded, settings.seed, events)
        heads[wanted.name] = head.head
        specs.append(_spec(wanted, head.certainty))
        scores += [Score(**row) for row in head.scores]
    if settings.clusters:
        heads[CLUSTERS] = fit_clusters(encoded.pooled, settings.clusters, settings.seed)
        specs.append(_cluster_spec(settings.clusters))
    found = novelty_of(tiles, encoded.looks, model, events, settings.seed)
    novelty, known = found or (None, None)
    words = settings.model_dump(include={"version", "title", "description", "licence", "intended_use", "limits"})
    card = model.card.model_copy(update={**words, "head": tuple(specs), "evaluation": tuple(scores), "novelty": known})
    return {"model": save_model(target, card, model.features, model.encoder, heads, novelty)}


def _labels(wanted: HeadSettings, tiles: Sequence[LabelledTile], events: Events) -> tuple[Any, Any]:
    """Numbers of the tiles that have the label, ascending, and the target of each; what is left out is said."""
    given = [(k, tile.labels[wanted.label]) for k, tile in enumerate(tiles) if wanted.label in tile.labels]
    if wanted.kind == "regression":
        what, pairs = "no finite numbers", [(k, v) for k, v in given if isinstance(v, float) and np.isfinite(v)]
    else:
        number = {name: k for k, name in enumerate(wanted.values or wanted.classes)}
        what, pairs = "of no class of it", [(k, number[str(v)]) for k, v in given if str(v) in number]
    if not pairs:
        raise InputError(f"{wanted.name}: no tile has the label {wanted.label!r}", "correct label or classes")
    if wanted.transform == "log" and min(value for _, value in pairs) < 0:
        raise InputError(
            f"{wanted.name}: {wanted.label!r} is below 0 in a tile", 'correct it, or set transform = "none"'
        )
    if left := len(given) - len(pairs):
        events.note(f"{wanted.name}: {left} of {len(given)} labels {wanted.label!r} are {what}; left out")
    rows, target = zip(*pairs, strict=True)
    return np.array(rows, np.int64), np.array(target, np.float64 if wanted.kind == "regression" else np.int64)


def _spec(wanted: HeadSettings, certainty: Mapping[str, Any]) -> Head:
    from .qupath.overlay import palette
    from .zoo.card import Head, HeadClass

    colours = wanted.colours or tuple(palette(len(wanted.classes)))
    classes = tuple(HeadClass(name=name, rgb=rgb) for name, rgb in zip(wanted.classes, colours, strict=True))
    kept = wanted.model_dump(include={"name", "title", "kind", "unit", "transform", "default", "caution"})
    return Head(**kept, classes=classes, **certainty)


def _cluster_spec(count: int) -> Head:
    from .qupath.overlay import palette
    from .zoo.card import Head, HeadClass

    classes = tuple(HeadClass(name=f"cluster {k + 1}", rgb=rgb) for k, rgb in enumerate(palette(count)))
    caution = "Groups of similar embeddings; their numbers carry no diagnosis."
    return Head(name=CLUSTERS, title="tissue cluster", kind="clusters", classes=classes, default=True, caution=caution)


def beside(settings_path: Path, path: Path) -> Path:
    """Paths in the settings count from their file; ``${NAME}`` is an environment variable."""
    path = Path(os.path.expandvars(path))
    return path if path.is_absolute() else settings_path.parent / path
