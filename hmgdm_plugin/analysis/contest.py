"""Every row of an evaluation on every set of tiles: embeddings and what they cost, kept, so that none is made twice."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..evaluation import neighbourhoods
from ..evaluation.cost import Cost, fresh_peak, peak_mb
from ..evaluation.judging import check
from ..graph.descriptors import NAMES
from ..schema.evaluation import OF_ANOTHER, ON_PIXELS, TRAINED, WITH_SEEDS, RowSettings
from ..training.labelled import LabelledTile
from ..training.shards import chunks
from ..zoo.digest import verify
from ..zoo.load import find
from .fronts import latents_of
from .ground import Ground, digest
from .pixel_rivals import on_pixels
from .rivals import Rival, with_graphs
from .squares import read_squares

AT_ONCE = 8
SHUFFLED = "-shuffled"  # ends the name of a set whose graphs are embedded as they are, then shuffled
TileSet = Sequence[LabelledTile]
_REPLACED: Any = {"stage2": {"epochs", "evaluations"}}  # of the recipe: the budget stands in their place


def seeds_of(ground: Ground, row: RowSettings) -> range:
    """Seeds of a row: one where nothing in it is drawn."""
    return range(ground.settings.seeds if row.kind in WITH_SEEDS else 1)


def embedded(
    ground: Ground, row: RowSettings, seed: int, sets: Mapping[str, TileSet]
) -> tuple[dict[str, NDArray[np.float32]], Cost]:
    """Embeddings of each set of tiles (name > tiles), (tiles, d), and the cost of the row."""
    key = key_of(ground, row, seed)
    folder = ground.folder / "embeddings" / key
    if not all((folder / f"{name}.npz").exists() for name in sets):
        folder.mkdir(parents=True, exist_ok=True)
        fresh_peak()
        rival = (on_pixels if row.kind in ON_PIXELS else with_graphs)(ground, row, seed, key)
        for name, tiles in sets.items():
            path = folder / f"{name}.npz"
            if not path.exists():
                x, tile_s = _all(ground, rival, name, tiles)
                check(row.name, x, len(tiles) * (2 if name.endswith(SHUFFLED) else 1))
                cost = Cost(rival.trained_s, tile_s, peak_mb(), rival.parameters)
                _write(path, x, cost)
    kept = {name: np.load(folder / f"{name}.npz") for name in sets}
    costs = [Cost(**json.loads(str(each["cost"]))) for each in kept.values()]
    widest = max(cost.memory_mb for cost in costs)
    return {name: each["x"] for name, each in kept.items()}, Cost(**asdict(costs[0]) | {"memory_mb": widest})


def key_of(ground: Ground, row: RowSettings, seed: int) -> str:
    """Names what follows from a row, its seed and, where it is trained here, recipe and budget."""
    settings, recipe = ground.settings, ground.recipe
    whose = settings.whose(row) if row.kind in OF_ANOTHER else row
    shared: list[Any] = [settings.readout, recipe.graph.tile_px, recipe.graph.mpp]
    if {row.kind, whose.kind} & {*TRAINED}:
        shared += [settings.budget_minutes, settings.stage1_share, recipe.model_dump(mode="json", exclude=_REPLACED)]
    if whose.kind == "model":
        shared.append(verify(find(ground.model(whose))))  # the same name may hold other weights tomorrow
    own = ground.recipe_of(whose)
    if own.graph.entities == "tissue+nuclei":
        shared.append(ground.finders.digest)
    if row.kind not in ON_PIXELS and own.diffusion.features != "latent":
        shared.append(NAMES)
    if seed or row.kind in WITH_SEEDS:
        shared += [settings.seed, seed]
    return digest(*(each.model_dump(mode="json", exclude={"name", "paper"}) for each in (row, whose)), shared)


def set_of(tiles: TileSet) -> str:
    """Names a set of tiles by its squares, whatever their labels."""
    return digest([(str(t.image), t.mpp, t.x_px, t.y_px, t.side_px) for t in tiles])


def _all(ground: Ground, rival: Rival, name: str, tiles: TileSet) -> tuple[NDArray[np.float32], float]:
    """Embeddings of all tiles, and the seconds of one core for each, its graph included."""
    before_s = 0.0
    if rival.front is not None:
        where = ground.folder / "tiles" / digest(rival.front.digest, set_of(tiles))
        shards, before_s = latents_of(rival.front, tiles, where, ground.events)
        given: Iterator[Any] = (shards.latents(part) for part in chunks(len(tiles), AT_ONCE))
        if name.endswith(SHUFFLED):
            return neighbourhoods.embedded(rival.embed, given, ground.settings.seed), before_s
    else:
        squares = read_squares(tiles, ground.recipe.graph.tile_px)
        given = (np.stack(part) for part in iter(lambda: list(itertools.islice(squares, AT_ONCE)), []))
    parts, spent_s = [], 0.0
    for part in given:
        start_s = time.process_time()
        with torch.no_grad():
            parts.append(rival.embed(part).float().cpu().numpy())
        spent_s += time.process_time() - start_s
        ground.events.progress("embed", sum(map(len, parts)), len(tiles))
    return np.concatenate(parts), before_s + spent_s / len(tiles)


def _write(path: Path, x: NDArray[np.float32], cost: Cost) -> None:
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, x=x, cost=json.dumps(asdict(cost)))
    os.replace(partial, path)
