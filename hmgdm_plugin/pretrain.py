"""`hmgdm pretrain`: images or slides > cached graphs > stage 1 > stage 2 > a model folder, from one TOML."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .schema.errors import InputError
from .schema.events import Events
from .schema.options import PretrainOptions
from .schema.parsing import read_toml
from .schema.run import GRAPHS, LATENTS, curve_csv, curve_png, evaluation_csv, writing
from .schema.settings import PretrainSettings, SourceSettings

if TYPE_CHECKING:
    from .training.log import Log
    from .training.world import World


def pretrain(options: PretrainOptions, events: Events) -> Mapping[str, Path]:
    """Run the stages asked for; what is finished is kept, and taken up again with `--resume`.

    Raises
    ------
    InputError
        The settings or a source are wrong, or the folder holds another run.
    """
    from .analysis.corpus import files_of
    from .training import launch, world
    from .zoo.load import choose_device

    settings = read_toml(options.settings, PretrainSettings)
    files = [(source, path) for source in settings.sources for path in files_of(source, options.settings.parent)]
    device = choose_device(options.device)
    if options.dry_run:
        from .analysis.estimate import estimate

        events.note(settings.model_dump_json(indent=2))
        workers = options.workers or os.cpu_count() or 1
        for line in estimate(settings, files, options.settings.parent, workers, device):
            events.note(line)
        return {"images": Path(str(len(files)))}
    rank, size = world.rank_and_size()
    if options.processes > 1 and size == 1:
        return launch.launch("pretrain", options.model_dump_json(), options.processes, events)
    with world.joined(device) as together:
        return _stages(options, settings, files, together, events if rank == 0 else Events(quiet=True))


def _stages(
    options: PretrainOptions,
    settings: PretrainSettings,
    files: list[tuple[SourceSettings, Path]],
    world: World,
    events: Events,
) -> Mapping[str, Path]:
    """Graphs, stage 1, latents, stage 2, model folder: up to the stage that was asked for."""
    import torch

    from .analysis import corpus
    from .training import stages
    from .training.objective import Run

    torch.set_num_threads(1)
    folder = options.results_dir
    recipe = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    with writing(folder):
        world.once(lambda: _claim(folder, recipe, options.resume))
        workers = options.workers or max((os.cpu_count() or 1) // world.size, 1)
        beside = options.settings.parent
        tally = corpus.graphs_stage(files, settings, beside, folder / GRAPHS, workers, world, events)
    graphs = stages.sets_of(folder / GRAPHS, stages.GRAPHS, stages.HELD_GRAPHS)
    if options.stage == "graphs":
        return {"graphs": folder / GRAPHS}

    def run(name: str) -> Run:
        watch = partial(show_curves, folder)
        return Run(name, folder, recipe, settings.seed, settings.mixed_shards, world, events, watch)

    autoencoder, logs = None, {}
    if settings.diffusion.features != "descriptors":
        autoencoder, logs["stage1"] = stages.autoencoder_stage(graphs, settings, run("autoencoder"))
    elif options.stage == "autoencoder":
        raise InputError(
            "attributes are descriptors alone: there is no auto-encoder", 'set diffusion.features = "both"'
        )
    if options.stage == "autoencoder":
        return {"autoencoder": run("autoencoder").checkpoint, "curves": folder / curve_png("autoencoder")}
    features = stages.features_of(graphs["training"], autoencoder, settings)
    latents = stages.latents_stage(graphs, features, folder / LATENTS, world, events)
    diffusion = run("diffusion")
    model, logs["stage2"] = stages.diffusion_stage(latents, features.parts, settings, diffusion, features.beside)
    if not world.first:
        return {}
    from .analysis.pretrained import save_pretrained
    from .training.agreement import fit_readout

    fit_readout(model, graphs["training"], latents["training"], settings.seed, events)

    saved = save_pretrained(folder / "model" / settings.name, settings, tally, features, model, logs, world)
    return {"model": saved, "curves": folder / curve_png("diffusion")}


def show_curves(folder: Path, name: str, log: Log) -> None:
    """Write the curves of a stage as they stand: tables and a picture."""
    from .report.learning import learning_curves
    from .training.log import write_csv

    with writing(folder):
        write_csv(folder / curve_csv(name), log.curve())
        write_csv(folder / evaluation_csv(name), log.evaluations)
    learning_curves(folder / curve_png(name), name, log.curve(), log.evaluations)


def _claim(folder: Path, recipe: str, resume: bool) -> None:
    """Take the folder for this recipe; refuse another recipe's, or an unfinished run without `--resume`."""
    mark = folder / "recipe.txt"
    if mark.exists():
        if mark.read_text("utf-8") != recipe:
            raise InputError(f"{folder}: holds a pre-training with other settings", "give another --results-dir")
        if not resume:
            raise InputError(f"{folder}: holds this pre-training already", "pass --resume to go on with it")
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and not a pre-training", "give an empty or new --results-dir")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(recipe, "utf-8")
