"""What the trained rows of an evaluation share: the recipe's images as graphs and as pixels, and stage 1."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evaluation.pixels import PATTERN, Pixels, write_pixels
from ..graph.descriptors import NAMES
from ..schema.evaluation import EvaluateSettings, RowSettings
from ..schema.events import Events
from ..schema.parsing import parse
from ..schema.settings import PretrainSettings, SourceSettings
from ..slide.reader import open_slide
from ..training import stages
from ..training.objective import Run
from ..training.shards import shard_name
from ..training.world import World
from .corpus import Item, files_of, graphs_stage, held_out_patients, items_of, patient_of
from .finders import Finders
from .fronts import Front
from .nuclei import STARDIST

DONE = "done"
FEW = 8  # graphs that a row is evaluated on as it starts; its curves are not asked for


@dataclass(frozen=True)
class Ground:
    """What all rows stand on.

    Parameters
    ----------
    settings : EvaluateSettings
    recipe : PretrainSettings
    beside, models : Path
        Folders from which paths of the recipe, and model folders, count.
    folder : Path
        The results folder.
    finders : Finders
        Who finds the nuclei of labelled tiles; those of the recipe's images are found by the detector that ships.
    """

    settings: EvaluateSettings
    recipe: PretrainSettings
    beside: Path
    models: Path
    folder: Path
    events: Events
    world: World
    workers: int = 1
    finders: Finders = field(default_factory=Finders)

    def recipe_of(self, row: RowSettings) -> PretrainSettings:
        """The recipe with what `row` changes, with nuclei where entities need them, and with the budget."""
        raw = _merged(self.recipe.model_dump(mode="json"), row.settings)
        nuclei = raw["graph"]["entities"] == "tissue+nuclei"
        for source in raw["sources"]:
            source["nuclei"] = (source["nuclei"] or STARDIST) if nuclei else ""
        raw["evaluation_graphs"] = min(raw["evaluation_graphs"], FEW)
        share = 0.0 if raw["diffusion"]["features"] == "descriptors" else self.settings.stage1_share
        for stage, part in (("stage1", share), ("stage2", 1 - share)):
            raw[stage] |= {"minutes": self.settings.budget_minutes * part, "evaluations": 0}
            raw[stage] |= {"checkpoint_minutes": self.settings.checkpoint_minutes}
        return parse(raw, PretrainSettings, f"row {row.name!r}")

    def model(self, row: RowSettings) -> Path:
        """The model folder beside the settings, or the name in the zoo, of a row that is a model."""
        beside = self.models / row.model
        return beside if beside.is_dir() else row.model

    def run(self, name: str, folder: Path, key: str, seed: int) -> Run:
        """A training that keeps its checkpoint in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        return Run(name, folder, key, seed, self.recipe.mixed_shards, self.world, self.events)

    def graphs(self, recipe: PretrainSettings) -> stages.Sets:
        """Entity graphs of the recipe's images."""
        folder = self.folder / "graphs" / digest(_seen(recipe), recipe.graph.model_dump(mode="json"), NAMES)
        if not (folder / DONE).exists():
            graphs_stage(self._files(recipe), recipe, self.beside, folder, self.workers, self.world, self.events)
            (folder / DONE).touch()
        return stages.sets_of(folder, stages.GRAPHS, stages.HELD_GRAPHS)

    def front(self, recipe: PretrainSettings) -> tuple[Front, float]:
        """Stage 1 on these graphs, shared by all rows that differ in stage 2 alone; and the seconds it was trained."""
        graphs = self.graphs(recipe)
        if recipe.diffusion.features == "descriptors":
            return Front(recipe.graph, stages.features_of(graphs["training"], None, recipe), self.finders), 0.0
        parts = (recipe.autoencoder.model_dump(mode="json"), recipe.stage1.model_dump(mode="json"))
        key = digest(_seen(recipe), recipe.graph.model_dump(mode="json"), recipe.windows_per_graph, *parts)
        run = self.run("autoencoder", self.folder / "stage1" / key, key, recipe.seed)
        autoencoder, log = stages.autoencoder_stage(graphs, recipe, run)
        features = stages.features_of(graphs["training"], autoencoder, recipe)
        return Front(recipe.graph, features, self.finders), log.worked_s

    def latents(self, recipe: PretrainSettings, front: Front) -> stages.Sets:
        """The graphs with the attributes that `front` gives them."""
        folder = self.folder / "latents" / digest(_seen(recipe), front.digest)
        if not (folder / DONE).exists():
            stages.latents_stage(self.graphs(recipe), front.features, folder, self.world, self.events)
            (folder / DONE).touch()
        return stages.sets_of(folder, stages.LATENTS, stages.HELD_LATENTS)

    def pixels(self) -> Pixels:
        """Tiles of the recipe's images, but those of held-out patients, as pixels."""
        folder = self.folder / "pixels" / digest(_seen(self.recipe), self.recipe.graph.tile_px, self.recipe.graph.mpp)
        if not (folder / DONE).exists():
            folder.mkdir(parents=True, exist_ok=True)
            files = self._files(self.recipe)
            held_out = held_out_patients(files, self.recipe)
            files = [each for each in files if patient_of(*each) not in held_out]
            items = (item for item in items_of(files, self.recipe, self.beside) if item.view == 0)
            for number in itertools.count():
                part = list(itertools.islice(items, stages.GRAPHS_PER_SHARD))
                if not part:
                    break
                write_pixels(folder / shard_name(PATTERN, number), [_read(item) for item in part])
                self.events.progress("pixels", number, number + 1)
            (folder / DONE).touch()
        return Pixels(folder)

    def _files(self, recipe: PretrainSettings) -> list[tuple[SourceSettings, Path]]:
        return [(source, path) for source in recipe.sources for path in files_of(source, self.beside)]


def digest(*parts: Any) -> str:
    """A short name for what follows from `parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _seen(recipe: PretrainSettings) -> Any:
    """What decides which tiles are learnt from."""
    return [recipe.seed, recipe.held_out, [source.model_dump(mode="json") for source in recipe.sources]]


def _read(item: Item) -> NDArray[np.uint8]:
    tile = item.tile
    with open_slide(item.path, item.mpp) as slide:
        return slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)


def _merged(raw: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`raw` with `changes`, table by table."""
    out = dict(raw)
    for key, value in changes.items():
        inner = out.get(key)
        out[key] = _merged(inner, value) if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return out
