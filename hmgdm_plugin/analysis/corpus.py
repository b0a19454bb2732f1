"""What pre-training learns from: files of the sources, their tiles and views, and the graphs of all of them."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..graph.build import build
from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.graph import EntityGraph
from ..schema.settings import PretrainSettings, SourceSettings
from ..schema.space import Tile
from ..slide.reader import Slide, open_slide
from ..slide.tiling import tiles
from ..slide.tissue import find_tissue
from ..training.augment import labels_of_view, view
from ..training.shards import shard_name, write_index, write_shard
from ..training.stages import GRAPHS, GRAPHS_PER_SHARD, HELD_GRAPHS
from ..training.world import World
from .nuclei import STARDIST, Nuclei, nuclei_of

Files = Sequence[tuple[SourceSettings, Path]]


class Item(NamedTuple):
    """One view of one tile to learn from; `path` with `mpp` (None: as the file says) is where it is read.

    `nuclei` is where its nuclei come from, empty for none.
    """

    path: Path
    mpp: float | None
    tile: Tile
    source: str
    patient: str
    view: int
    nuclei: str = ""


@dataclass
class Tally:
    """What one source gave to learn from, and which of its patients it did not give."""

    images: set[Path] = field(default_factory=set)
    patients: set[str] = field(default_factory=set)
    held_out: set[str] = field(default_factory=set)
    tiles: int = 0

    def add(self, item: Item) -> None:
        """Count one item that is learnt from."""
        self.images.add(item.path)
        self.patients.add(item.patient)
        self.tiles += item.view == 0


def graphs_stage(
    files: Files, settings: PretrainSettings, beside: Path, folder: Path, workers: int, world: World, events: Events
) -> dict[str, Tally]:
    """Build the graphs of all tiles and write them to `folder` as shards, those of held-out patients apart.

    Shards already there are not built again; several processes share the work. Nothing grows with the number of tiles.
    """
    world.once(lambda: folder.mkdir(parents=True, exist_ok=True))
    held_out = held_out_patients(files, settings)
    tally = {source.name: Tally() for source, _ in files}
    with ThreadPoolExecutor(workers) as pool:
        for pattern, wanted in ((GRAPHS, False), (HELD_GRAPHS, True)):
            own = [(source, path) for source, path in files if (patient_of(source, path) in held_out) == wanted]
            items = items_of(events.track("graphs", own, len(own)), settings, beside)
            for number in itertools.count():
                part = list(itertools.islice(items, GRAPHS_PER_SHARD))
                if not part:
                    break
                for item in part:
                    each = tally[item.source]
                    each.held_out.add(item.patient) if wanted else each.add(item)
                path = folder / shard_name(pattern, number)
                if number % world.size == world.rank and not path.exists():
                    write_shard(path, built(part, settings, pool), [item.patient for item in part])
            world.wait()
            world.once(partial(write_index, folder, pattern))
    return tally


def patient_of(source: SourceSettings, path: Path) -> str:
    """The patient of a file, with the name of the source before it."""
    match = re.search(source.patient_pattern, path.stem)
    return f"{source.name}:{match.group(1) if match else path.stem}"


def held_out_patients(files: Files, settings: PretrainSettings) -> set[str]:
    """Patients to evaluate on: the share that the settings name, at least one of five or more; the same for a seed."""
    patients = sorted({patient_of(source, path) for source, path in files})
    if settings.held_out == 0:
        return set()
    count = min(round(settings.held_out * len(patients)) or int(len(patients) >= 5), len(patients) - 1)
    chosen = np.random.default_rng((settings.seed, 19)).choice(len(patients), count, replace=False)
    return {patients[k] for k in chosen}


def built(items: Sequence[Item], settings: PretrainSettings, pool: ThreadPoolExecutor) -> list[EntityGraph]:
    """Graphs of `items`, on the threads of `pool`; each slide, and its nuclei, are opened once."""
    with ExitStack() as stack:
        slides: dict[Path, Slide] = {}
        nuclei: dict[Path, Nuclei] = {}
        for item in items:
            if item.path not in slides:
                slides[item.path] = stack.enter_context(open_slide(item.path, item.mpp))
                if item.nuclei:
                    own = [each.tile for each in items if each.path == item.path]
                    nuclei[item.path] = nuclei_of(item.nuclei, slides[item.path], own, Events())

        def make(item: Item) -> EntityGraph:
            tile, slide = item.tile, slides[item.path]
            rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
            seed = (settings.seed, round(tile.x_px), round(tile.y_px), *slide.name.encode()[-8:])
            own = nuclei[item.path].map(tile) if item.path in nuclei else None
            if own is not None:
                own = replace(own, labels=labels_of_view(own.labels, item.view, seed))
            return build(view(rgb, item.view, seed), tile, slide.name, settings.graph, own)[0]

        return list(pool.map(make, items))


def files_of(source: SourceSettings, beside: Path) -> list[Path]:
    """Images or slides of a source; its path counts from the folder of the TOML, after ``${HMGDM_DATA}``."""
    root = _rooted(source.path, beside)
    found = sorted(path for path in root.glob(source.pattern) if path.is_file())
    if not found:
        raise InputError(f"{root}: no file matches {source.pattern!r}", f"correct path or pattern of {source.name!r}")
    return found


def _rooted(path: Path, beside: Path) -> Path:
    whole = Path(os.path.expandvars(str(path)))
    return whole if whole.is_absolute() else beside / whole


def items_of(files: Iterable[tuple[SourceSettings, Path]], settings: PretrainSettings, beside: Path) -> Iterator[Item]:
    """Every view of every tile, in a fixed order; relative paths of nuclei count from `beside`."""
    for source, path in files:
        nuclei = source.nuclei if source.nuclei in ("", STARDIST) else str(_rooted(Path(source.nuclei), beside))
        patient = patient_of(source, path)
        with open_slide(path, source.mpp) as slide:
            found = tiles(slide.frame, settings.graph.mpp, settings.graph.tile_px, source.overlap, find_tissue(slide))
            for tile in found:
                for number in range(source.views):
                    yield Item(path, source.mpp, tile, source.name, patient, number, nuclei)
