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
from .cli_batch import batch
from .cli_models import models
from .cli_project import project
from .cli_train import train
from .schema.errors import InputError
from .schema.events import Events

app = typer.Typer(invoke_without_command=True, **SETUP)
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
    min_tissue: ask.Tissue = None, map_tissue: ask.MapTissue = None, device: ask.Device = None,
    workers: ask.Workers = None, seed: ask.Seed = None,
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


@app.command()
def evaluate(
    context: Context, settings: ask.EvaluateFile = None, results_dir: ask.Results = None, page: ask.Page = None,
    resume: ask.Resume = None, only: ask.OnlyRow = None, workers: ask.Workers = None, dry_run: ask.DryRun = None,
    events: ask.JsonLines = None, request: ask.Request = None,
) -> None:  # fmt: skip
    """Compare encoders, ablations and baselines.

    On the same folds and at the same budget; one table with intervals and costs.
    """
    _verb(context, "evaluate", "EvaluateOptions", needs="settings")


@app.command()
def doctor(json: ask.AsJson = False) -> None:
    """Check this installation; says how to fix it."""
    raise typer.Exit(importlib.import_module(".doctor", __package__).doctor(json))


@app.command()
def gui(slide: ask.Shown = None) -> None:
    """Open the companion window.

    Choose a slide, run, and see the results on it; needs the gui extra.
    """

    def work() -> Mapping[str, Any]:
        importlib.import_module(".gui.app", __package__).gui(slide)
        return {}

    _guarded(Events(), Path(), work)


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
