"""`hmgdm models`: the zoo."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import typer

from . import arguments as ask
from .calls import SETUP
from .calls import guarded as _guarded
from .schema.events import Events

models = typer.Typer(help="List, show, verify or add models.", **SETUP)


@models.command("list")
def list_models(json: ask.AsJson = False) -> None:
    """List models, their predictions and digests."""
    _about_models("list_models", json)


@models.command("show")
def show_model(name: ask.ModelName) -> None:
    """Print a model card.

    Data, evaluation, intended use and limits.
    """
    _about_models("show_model", name)


@models.command("verify")
def verify_model(name: ask.ModelName) -> None:
    """Check a model's files and its test vector.

    Every file against its digest, then the model's own answer on this machine.
    """
    _about_models("verify_model", name)


@models.command("add")
def add_model(folder: ask.StarDistFolder, name: ask.NewName = "", mpp: ask.ModelMpp = None) -> None:
    """Add a StarDist model of your own.

    A folder that the stardist package wrote; TensorFlow is not needed.
    """
    verb = importlib.import_module(".models", __package__)
    _guarded(Events(), folder, lambda: verb.add_model(folder, name, mpp))


def _about_models(function: str, argument: Any) -> None:
    _guarded(
        Events(), Path(), lambda: getattr(importlib.import_module(".models", __package__), function)(argument) or {}
    )
