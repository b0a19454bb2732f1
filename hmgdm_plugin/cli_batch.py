"""`hmgdm batch`: many slides, unattended."""

from __future__ import annotations

import importlib

import typer
from typer import Context

from . import arguments as ask
from .calls import SETUP
from .calls import guarded as _guarded
from .calls import verb as _verb
from .schema.events import Events

batch = typer.Typer(help="Analyse many slides, unattended.", **SETUP)


@batch.command("plan")
def plan_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, regions: ask.EachRegions = None, nuclei: ask.EachNuclei = None, heads: ask.Heads = None,
    show: ask.Show = None, overlap: ask.Overlap = None, min_tissue: ask.Tissue = None,
    map_tissue: ask.MapTissue = None, device: ask.Device = None,
    workers: ask.Workers = None, seed: ask.Seed = None, shard: ask.Shard = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Look at every slide; say what a run would do.

    Writes nothing. Ends with 1 when a slide needs a person.
    """
    _verb(context, "plan", "BatchOptions", needs="source", module="batch")


@batch.command("run")
def run_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, regions: ask.EachRegions = None, nuclei: ask.EachNuclei = None, heads: ask.Heads = None,
    show: ask.Show = None, overlap: ask.Overlap = None, min_tissue: ask.Tissue = None,
    map_tissue: ask.MapTissue = None, device: ask.Device = None,
    workers: ask.Slots = None, seed: ask.Seed = None, shard: ask.Shard = None, engine: ask.Engine = None,
    cpus: ask.Cpus = None, gpus: ask.Gpus = None,
    resume: ask.GoOn = None, retry: ask.Retry = None, slide_minutes: ask.SlideMinutes = None,
    events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Analyse every slide that is not done.

    Can be stopped and started again at any moment, and run by several machines on one folder.
    """
    _verb(context, "run_batch", "BatchOptions", needs="source", module="batch")


@batch.command("report")
def report_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Write summary, failures and contact sheets."""
    _verb(context, "report", "BatchReportOptions", needs="source", module="batch")


@batch.command("import")
def import_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, dry_run: ask.WouldDo = None,
    events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Put the results onto the images of a project.

    Matched by image and by slide; the same results twice are there once. Needs QuPath.
    """
    _verb(context, "import_batch", "BatchImportOptions", needs="source", module="batch_import")


@batch.command("diff")
def diff_batches(first: ask.Run1, second: ask.Run2, events: ask.JsonLines = None) -> None:
    """Show what changed between two batches.

    Over the same slides, such as with two models. Writes differences.csv into the second.
    """
    said = Events(bool(events))
    _guarded(said, second, lambda: importlib.import_module(".batch", __package__).diff(first, second, said))
