"""What pre-training learns from: files of the sources, their tiles and views, and the graphs of all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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
from ..training.shards import chunks, write_shard
from .nuclei import Nuclei, nuclei_of

GRAPHS_PER_SHARD = 64


class Item(NamedTuple):
    """One view of one tile to learn from; `path` with `mpp` (None: as the file says) is where it is read.

    `nuclei` is where its nuclei stand, None for none.
    """

    path: Path
    mpp: float | None
    tile: Tile
    source: str
    patient: str
    view: int
    nuclei: Path | None = None


def graphs_stage(items: Sequence[Item], settings: PretrainSettings, folder: Path, workers: int, events: Events) -> None:
    """Build the graph of every item and write them as shards; shards already there are not built again."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        for number, part in enumerate(chunks(len(items), GRAPHS_PER_SHARD)):
            path = folder / f"graphs-{number:05d}.safetensors"
            if not path.exists():
                own = [items[k] for k in part]
                write_shard(path, _built(own, settings, pool), [item.patient for item in own])
            events.progress("graphs", part.stop, len(items))


def _built(items: Sequence[Item], settings: PretrainSettings, pool: ThreadPoolExecutor) -> list[EntityGraph]:
    """Graphs of `items`; each slide, and its nuclei, are opened once."""
    with ExitStack() as stack:
        slides: dict[Path, Slide] = {}
        nuclei: dict[Path, Nuclei] = {}
        for item in items:
            if item.path not in slides:
                slides[item.path] = stack.enter_context(open_slide(item.path, item.mpp))
                if item.nuclei is not None:
                    nuclei[item.path] = nuclei_of(item.nuclei, slides[item.path], Events())

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


def items_of(
    files: list[tuple[SourceSettings, Path]], settings: PretrainSettings, beside: Path = Path()
) -> Iterator[Item]:
    """Everything that is learnt from, in a fixed order; relative paths of nuclei count from `beside`."""
    for source, path in files:
        nuclei = None if source.nuclei is None else _rooted(source.nuclei, beside)
        match = re.search(source.patient_pattern, path.stem)
        patient = f"{source.name}:{match.group(1) if match else path.stem}"
        with open_slide(path, source.mpp) as slide:
            found = tiles(slide.frame, settings.graph.mpp, settings.graph.tile_px, source.overlap, find_tissue(slide))
            for tile in found:
                for number in range(source.views):
                    yield Item(path, source.mpp, tile, source.name, patient, number, nuclei)
