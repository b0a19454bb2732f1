"""`hmgdm pretrain`: images or slides > cached graphs > stage 1 > stage 2 > a model folder, from one TOML."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .schema.errors import InputError
from .schema.events import Events
from .schema.options import PretrainOptions
from .schema.run import writing
from .schema.settings import PretrainSettings, SourceSettings, read_toml

if TYPE_CHECKING:
    from .training.stages import Item
    from .zoo.card import Card

HISTORY = {"autoencoder": "autoencoder.csv", "diffusion": "diffusion.csv"}


def pretrain(options: PretrainOptions, events: Events) -> Mapping[str, Path]:
    """Run the stages asked for; what is finished is kept, and taken up again with `--resume`.

    Raises
    ------
    InputError
        The settings or a source are wrong, or the folder holds another run.
    """
    settings = read_toml(options.settings, PretrainSettings)
    files = [(source, path) for source in settings.sources for path in _files(source, options.settings.parent)]
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

    from .training import stages
    from .training.shards import Shards

    torch.set_num_threads(1)
    started_s = time.monotonic()
    items = list(_tiles(files, settings))
    workers = options.workers or os.cpu_count() or 1
    with writing(folder):
        stages.graphs_stage(_pixels(items, settings), len(items), settings, folder / "graphs", workers, events)
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
    from .zoo.save import save_model

    minutes = (time.monotonic() - started_s) / 60
    card = _card(settings, items, {"minutes": minutes, **_finals(first, second)})
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


def _files(source: SourceSettings, beside: Path) -> list[Path]:
    """Images or slides of a source; its path counts from the folder of the TOML, after ``${HMGDM_DATA}``."""
    root = Path(os.path.expandvars(str(source.path)))
    root = root if root.is_absolute() else beside / root
    found = sorted(path for path in root.glob(source.pattern) if path.is_file())
    if not found:
        raise InputError(f"{root}: no file matches {source.pattern!r}", f"correct path or pattern of {source.name!r}")
    return found


def _tiles(files: list[tuple[SourceSettings, Path]], settings: PretrainSettings) -> Iterator[tuple]:
    """(source, file, tile, patient, view) of everything that is learnt from."""
    from .slide.reader import open_slide
    from .slide.tiling import tiles
    from .slide.tissue import find_tissue

    for source, path in files:
        match = re.search(source.patient_pattern, path.stem)
        patient = f"{source.name}:{match.group(1) if match else path.stem}"
        with open_slide(path, source.mpp) as slide:
            found = tiles(slide.frame, settings.graph.mpp, settings.graph.tile_px, source.overlap, find_tissue(slide))
            for tile in found:
                for view in range(source.views):
                    yield source, path, tile, patient, view


def _pixels(items: list[tuple], settings: PretrainSettings) -> Iterator[Item]:
    """Read the tiles of `items`, keeping one slide open at a time."""
    from .slide.reader import open_slide

    slide, at = None, None
    try:
        for source, path, tile, patient, view in items:
            if path != at:
                if slide is not None:
                    slide.close()
                slide, at = open_slide(path, source.mpp), path
            assert slide is not None
            yield slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px), tile, slide.name, patient, view
    finally:
        if slide is not None:
            slide.close()


def _write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """The curve of a stage as CSV."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["step"])
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)


def _finals(first: list[dict[str, float]], second: list[dict[str, float]]) -> dict[str, float]:
    """Steps and mean of the last tenth of each curve."""
    out: dict[str, float] = {}
    for name, rows in (("stage1", first), ("stage2", second)):
        tail = rows[-max(len(rows) // 10, 1) :]
        out[f"{name}_steps"] = rows[-1]["step"] if rows else 0.0
        for key in ("total", "trivial"):
            if tail and key in tail[0]:
                out[f"{name}_{key}"] = sum(row[key] for row in tail) / len(tail)
    return out


def _card(settings: PretrainSettings, items: list[tuple], numbers: dict[str, float]) -> Card:
    """The card of a model that has no heads yet: what it saw, under which licence, for how long."""
    from .zoo.card import new_card

    data = []
    for source in settings.sources:
        own = [item for item in items if item[0] is source]
        data.append(
            {
                "name": source.name,
                "licence": source.licence,
                "images": len({item[1] for item in own}),
                "patients": len({item[3] for item in own}),
                "tiles": len(own),
                "use": "pre-training, without labels",
            }
        )
    return new_card(settings, data, numbers)
