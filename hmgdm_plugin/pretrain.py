"""`hmgdm pretrain`: images or slides > cached graphs > stage 1 > stage 2 > a model folder, from one TOML."""

from __future__ import annotations

import csv
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .schema.errors import InputError
from .schema.events import Events
from .schema.options import PretrainOptions
from .schema.run import writing
from .schema.settings import PretrainSettings, SourceSettings, read_toml

if TYPE_CHECKING:
    from .analysis.corpus import Item
    from .zoo.card import Card, Training

HISTORY = {"autoencoder": "autoencoder.csv", "diffusion": "diffusion.csv"}


def pretrain(options: PretrainOptions, events: Events) -> Mapping[str, Path]:
    """Run the stages asked for; what is finished is kept, and taken up again with `--resume`.

    Raises
    ------
    InputError
        The settings or a source are wrong, or the folder holds another run.
    """
    from .analysis.corpus import files_of

    settings = read_toml(options.settings, PretrainSettings)
    files = [(source, path) for source in settings.sources for path in files_of(source, options.settings.parent)]
    folder = options.results_dir
    recipe = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]
    if options.dry_run:
        events.note(settings.model_dump_json(indent=2))
        return {"images": Path(str(len(files)))}
    with writing(folder):
        _claim(folder, recipe, options.resume)
    return _stages(options, settings, files, folder, recipe, events)


def _stages(
    options: PretrainOptions,
    settings: PretrainSettings,
    files: list[tuple[SourceSettings, Path]],
    folder: Path,
    recipe: str,
    events: Events,
) -> Mapping[str, Path]:
    """Graphs, stage 1, latents, stage 2, model folder: up to the stage that was asked for."""
    import torch

    from .analysis import corpus
    from .training import stages
    from .training.shards import Shards

    torch.set_num_threads(1)
    items = list(corpus.items_of(files, settings, options.settings.parent))
    workers = options.workers or os.cpu_count() or 1
    with writing(folder):
        corpus.graphs_stage(items, settings, folder / "graphs", workers, events)
    graphs = Shards(folder / "graphs", "graphs-*.safetensors")
    if options.stage == "graphs":
        return {"graphs": folder / "graphs"}
    autoencoder, first = stages.autoencoder_stage(graphs, settings, folder, recipe, events)
    _write_history(folder / HISTORY["autoencoder"], first)
    if options.stage == "autoencoder":
        return {"autoencoder": folder / "autoencoder.safetensors"}
    features = stages.features_of(graphs, autoencoder, settings)
    latents = stages.latents_stage(graphs, features, folder / "latents", events)
    model, second = stages.diffusion_stage(latents, features.parts, settings, folder, recipe, events)
    _write_history(folder / HISTORY["diffusion"], second)
    from .graph.descriptors import NAMES
    from .zoo.card import Training
    from .zoo.save import save_model

    training = Training(
        epochs=settings.stage2.epochs,
        steps=int(second[-1]["step"]),
        minutes=sum(rows[-1]["seconds"] for rows in (first, second)) / 60,
        device="CPU, 1 thread",
        numbers=_finals(first, second),
        curves={"stage1 total": _curve(first), "stage2 total": _curve(second)},
    )
    card = _card(settings, items, training, len(NAMES))
    return {"model": save_model(folder / "model" / settings.name, card, features, model, {})}


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


def _write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """The curve of a stage as CSV."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["step"])
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def _curve(rows: list[dict[str, float]], points: int = 50) -> tuple[float, ...]:
    """The total loss as about `points` means."""
    parts = [rows[k : k + -(-len(rows) // points)] for k in range(0, len(rows), -(-len(rows) // points))]
    return tuple(round(sum(row["total"] for row in part) / len(part), 5) for part in parts)


def _finals(first: list[dict[str, float]], second: list[dict[str, float]]) -> dict[str, float]:
    """Mean of the last tenth of each curve."""
    out: dict[str, float] = {}
    for name, rows in (("stage1", first), ("stage2", second)):
        tail = rows[-max(len(rows) // 10, 1) :]
        for key in sorted(set(tail[0]) - {"step", "seconds", "lr"} if tail else ()):
            out[f"{name}_{key}"] = sum(row[key] for row in tail) / len(tail)
    return out


def _card(settings: PretrainSettings, items: list[Item], training: Training, descriptors: int) -> Card:
    """The card of a model that has no heads yet: what it saw, under which licence, for how long."""
    from .zoo.card import Card, Data

    data = []
    for source in settings.sources:
        own = [item for item in items if item.source == source.name]
        seen = len({item.path for item in own}), len({item.patient for item in own})
        tiles = sum(item.view == 0 for item in own)
        use = f"pre-training without labels; views of each tile: {source.views}"
        data.append(
            Data(name=source.name, licence=source.licence, images=seen[0], patients=seen[1], tiles=tiles, use=use)
        )
    return Card(
        name=settings.name,
        version="0.1.0",
        title=f"H-MGDM {settings.name}",
        description="Encoder of entity graphs of H&E tissue, pre-trained by masked graph diffusion.",
        created=time.strftime("%Y-%m-%d"),
        licence="; ".join(sorted({source.licence for source in settings.sources})),
        intended_use="Research on H&E tissue: embeddings of tiles and entities.",
        limits=("Not evaluated.", "Not for diagnosis."),
        descriptors=descriptors,
        graph=settings.graph,
        autoencoder=settings.autoencoder,
        diffusion=settings.diffusion,
        data=tuple(data),
        training=training,
    )
