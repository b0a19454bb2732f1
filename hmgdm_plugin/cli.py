"""The command line: parse, call one verb, print its result, exit with its code.

Exit codes: 0 done, 1 something asked for failed, 2 the call or its input is wrong, 130 cancelled.
Nothing heavy is imported here; each verb brings what it needs when it is called.
"""

from __future__ import annotations

import importlib
import io
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer import Context

from . import __version__
from . import arguments as ask
from .calls import SETUP
from .calls import guarded as _guarded
from .calls import verb as _verb
from .cli_project import project
from .schema.errors import InputError
from .schema.events import Events

app = typer.Typer(invoke_without_command=True, **SETUP)
train = typer.Typer(help="Teach a model new predictions.", **SETUP)
models = typer.Typer(help="List, show or verify models.", **SETUP)
batch = typer.Typer(help="Analyse many slides, unattended.", **SETUP)
app.add_typer(train, name="train")
app.add_typer(project, name="project")
app.add_typer(models, name="models")
app.add_typer(batch, name="batch")


@app.callback()
def root(context: Context, version: ask.Version = False) -> None:
    """Entity graphs of H&E tissue: predict, and explain on the slide. For research use only."""
    if version:
        print(f"hmgdm {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(InputError.exit_code)


@app.command()
def demo(
    context: Context, slide: ask.Slide = None, mpp: ask.Mpp = None, results_dir: ask.Results = None,
    model: ask.Model = None, device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None,
    overwrite: ask.Overwrite = None, dry_run: ask.DryRun = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Try it: predict and explain on a bundled H&E image.

    Needs no network and no GPU.
    """
    _verb(context, "demo", "DemoOptions")


@app.command()
def predict(
    context: Context, slides: ask.Slides = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, regions: ask.Regions = None, heads: ask.Heads = None, show: ask.Show = None,
    explain: ask.Explain = None, columns: ask.Columns = None, nuclei: ask.Nuclei = None, overlap: ask.Overlap = None,
    min_tissue: ask.Tissue = None, device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None,
    overwrite: ask.Overwrite = None, dry_run: ask.DryRun = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Predict per tile and per slide.

    Writes overlays, a heat map, a table, a report and GeoJSON for QuPath.
    """
    _verb(context, "predict", "PredictOptions", needs="slides")


@app.command()
def explain(
    context: Context, slides: ask.Slides = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, regions: ask.Regions = None, head: ask.Head = None, output: ask.Output = None,
    without: ask.Without = None, columns: ask.Columns = None, nuclei: ask.Nuclei = None, overlap: ask.Overlap = None,
    min_tissue: ask.Tissue = None, device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None,
    overwrite: ask.Overwrite = None,
    dry_run: ask.DryRun = None, events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Show which entities carry a prediction.

    Importance per entity and contact, and the score again without chosen entities.
    """
    _verb(context, "explain", "ExplainOptions", needs="slides")


@app.command()
def embed(
    context: Context, slides: ask.Slides = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, regions: ask.Regions = None, nuclei: ask.Nuclei = None, overlap: ask.Overlap = None,
    min_tissue: ask.Tissue = None, device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None,
    overwrite: ask.Overwrite = None, dry_run: ask.DryRun = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Write embeddings of tiles and entities (HDF5)."""
    _verb(context, "embed", "EmbedOptions", needs="slides")


@batch.command("plan")
def plan_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, heads: ask.Heads = None, show: ask.Show = None, overlap: ask.Overlap = None,
    min_tissue: ask.Tissue = None, device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None,
    shard: ask.Shard = None, events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Look at every slide; say what a run would do.

    Writes nothing. Ends with 1 when a slide needs a person.
    """
    _verb(context, "plan", "BatchOptions", needs="source", module="batch")


@batch.command("run")
def run_batch(
    context: Context, source: ask.Source = None, results_dir: ask.Results = None, model: ask.Model = None,
    mpp: ask.Mpp = None, heads: ask.Heads = None, show: ask.Show = None, overlap: ask.Overlap = None,
    min_tissue: ask.Tissue = None, device: ask.Device = None, workers: ask.Slots = None, seed: ask.Seed = None,
    shard: ask.Shard = None, engine: ask.Engine = None, gpus: ask.Gpus = None, resume: ask.GoOn = None,
    retry: ask.Retry = None, events: ask.JsonLines = None, request: ask.Request = None,
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


@batch.command("diff")
def diff_batches(first: ask.Run1, second: ask.Run2, events: ask.JsonLines = None) -> None:
    """Show what changed between two batches.

    Over the same slides, such as with two models. Writes differences.csv into the second.
    """
    said = Events(bool(events))
    _guarded(said, second, lambda: importlib.import_module(".batch", __package__).diff(first, second, said))


@app.command()
def nuclei(
    context: Context, slides: ask.Slides = None, results_dir: ask.Results = None, model: ask.Detector = None,
    mpp: ask.Mpp = None, regions: ask.Regions = None, precision: ask.Precision = None, columns: ask.Columns = None,
    device: ask.Device = None, workers: ask.Workers = None, seed: ask.Seed = None, overwrite: ask.Overwrite = None,
    dry_run: ask.DryRun = None, events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Find the nuclei of slides (GeoJSON).

    Outlines with area, shape, stain and probability for QuPath, counts, and density maps.
    """
    _verb(context, "nuclei", "NucleiOptions", needs="slides", module="detect")


@app.command()
def pretrain(
    context: Context, settings: ask.SettingsFile = None, results_dir: ask.Results = None, stage: ask.Stage = None,
    resume: ask.Resume = None, device: ask.Device = None, workers: ask.Workers = None,
    processes: ask.Processes = None, dry_run: ask.DryRun = None, events: ask.JsonLines = None,
    request: ask.Request = None,
) -> None:  # fmt: skip
    """Learn a model from slides without labels.

    Three stages: graphs, auto-encoder, diffusion; each can be resumed.
    """
    _verb(context, "pretrain", "PretrainOptions", needs="settings")


@train.command()
def heads(
    settings: ask.TrainFile, results_dir: ask.TrainResults = Path("hmgdm-train"), events: ask.JsonLines = None
) -> None:
    """Fit and evaluate prediction heads.

    On labelled tiles, by folds of patients; the encoder stays as it is.
    """

    _train("train_heads", settings, results_dir, events)


@train.command()
def survival(
    settings: ask.SurvivalFile, results_dir: ask.TrainResults = Path("hmgdm-survival"), events: ask.JsonLines = None
) -> None:
    """Fit and evaluate a survival model.

    On feature files of slides and an outcome table, by folds of patients.
    """
    _train("train_survival", settings, results_dir, events)


def _train(function: str, settings: Path, results_dir: Path, events: bool | None) -> None:
    said = Events(bool(events))

    def work() -> Mapping[str, Any]:
        return getattr(importlib.import_module(".train", __package__), function)(settings, results_dir, said)

    _guarded(said, results_dir, work)


@app.command()
def doctor(json: ask.AsJson = False) -> None:
    """Check this installation; says how to fix it."""
    raise typer.Exit(importlib.import_module(".doctor", __package__).doctor(json))


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


def _about_models(function: str, argument: Any) -> None:
    _guarded(
        Events(), Path(), lambda: getattr(importlib.import_module(".models", __package__), function)(argument) or {}
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse `arguments`, do what they say, and raise `SystemExit` with the code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = app(args=given, prog_name="hmgdm", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        path = getattr(getattr(error, "ctx", None), "command_path", "hmgdm")
        Events("--events" in given).error(InputError(error.format_message().rstrip("."), f"see {path} --help"))
        code = InputError.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 1
    sys.exit(code or 0)


def run() -> NoReturn:
    """Entry point of ``hmgdm``: `main`, then leave at once; taking torch and numba down politely costs seconds."""
    try:
        main()
    except SystemExit as ended:
        for child in multiprocessing.active_children():
            child.kill()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code if isinstance(ended.code, int) else 1)


if __name__ == "__main__":
    run()
