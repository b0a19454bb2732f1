"""`hmgdm train`: new predictions on top of a model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from . import arguments as ask
from .calls import SETUP
from .calls import guarded as _guarded
from .schema.events import Events

train = typer.Typer(help="Teach a model new predictions.", **SETUP)


@train.command()
def heads(
    settings: ask.TrainFile, results_dir: ask.TrainResults = Path("hmgdm-train"), events: ask.JsonLines = None
) -> None:
    """Fit and evaluate prediction heads.

    On labelled tiles, by folds of patients; the encoder stays as it is.
    """
    _train("train_heads", settings, results_dir, events)


@train.command()
def classify(
    settings: ask.ClassifyFile, results_dir: ask.TrainResults = Path("hmgdm-classify"), events: ask.JsonLines = None
) -> None:
    """Train and compare classifiers.

    Linear probe, nearest neighbours, fine-tuning: on images or annotations, by folds of patients.
    """
    _train("train_classify", settings, results_dir, events)


@train.command()
def survival(
    settings: ask.SurvivalFile, results_dir: ask.TrainResults = Path("hmgdm-survival"), events: ask.JsonLines = None
) -> None:
    """Fit and evaluate a survival model.

    On feature files of slides and an outcome table, by folds of patients.
    """
    _train("train_survival", settings, results_dir, events)


@train.command()
def nuclei(
    settings: ask.DetectorFile, results_dir: ask.TrainResults = Path("hmgdm-nuclei"), only: ask.Only = "",
    events: ask.JsonLines = None,
) -> None:  # fmt: skip
    """Train and evaluate a nucleus detector.

    StarDist on labelled images, judged by folds of patients. Needs TensorFlow; run again, it goes on where it stopped.
    """
    _train("train_nuclei", settings, results_dir, events, "train_nuclei", only=only)


def _train(
    function: str, settings: Path, results_dir: Path, events: bool | None, module: str = "train", **more: str
) -> None:
    said = Events(bool(events))

    def work() -> Mapping[str, Any]:
        verb = getattr(importlib.import_module(f".{module}", __package__), function)
        return verb(settings, results_dir, said, **more)

    _guarded(said, results_dir, work)
