"""The command line of `hmgdm project`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import typer

from . import arguments as ask
from .calls import SETUP
from .calls import guarded as _guarded
from .schema.events import Events

project = typer.Typer(help="QuPath projects: create, list, export objects, import results.", **SETUP)


@project.command("create")
def create_project(folder: ask.NewProject, slides: ask.ProjectSlides, events: ask.JsonLines = None) -> None:
    """Make a QuPath project of slides."""
    _about_project("create", events, folder, slides)


@project.command("list")
def list_project(path: ask.Project, events: ask.JsonLines = None) -> None:
    """List the images of a project, their size, scale and objects."""
    _about_project("entries", events, path)


@project.command("export")
def export_from_project(
    path: ask.Project, image: ask.Image, out: ask.Out, kind: ask.ObjectKind = "annotations",
    events: ask.JsonLines = None,
) -> None:  # fmt: skip
    """Write objects of an image as GeoJSON."""
    _about_project("export", events, path, image, out, kind)


@project.command("import")
def import_into_project(
    path: ask.Project, image: ask.Image, results: ask.FoundResults, events: ask.JsonLines = None
) -> None:
    """Put results onto an image, in place of earlier ones of the same model there."""
    _about_project("import_results", events, path, image, results)


def _about_project(function: str, events: bool | None, *arguments: Any) -> None:
    said = Events(bool(events))
    _guarded(
        said,
        Path(),
        lambda: getattr(importlib.import_module(".project", __package__), function)(*arguments, said),
    )
