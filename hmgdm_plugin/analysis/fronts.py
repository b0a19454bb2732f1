"""Tiles to the attributes of stage 2: what rows that share graphs and features share, computed once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path

import torch

from ..graph.build import build
from ..graph.compiled import wait
from ..model.features import EntityFeatures
from ..schema.events import Events
from ..schema.graph import EntityGraph, batched
from ..schema.run import write_whole
from ..schema.settings import GraphSettings
from ..schema.space import Tile
from ..slide.reader import open_slide
from ..training.labelled import LabelledTile
from ..training.shards import Shards, chunks, shard_name, write_index, write_latents
from ..training.stages import GRAPHS_PER_SHARD, LATENTS
from .finders import Finders
from .nuclei import nuclei_of


@dataclass(frozen=True)
class Front:
    """How tiles become latent graphs: the graph's settings, frozen features, and who finds nuclei if there are any."""

    graph: GraphSettings
    features: EntityFeatures
    finders: Finders = field(default_factory=Finders)

    @cached_property
    def digest(self) -> str:
        """The same for the same settings and weights."""
        found = hashlib.sha256((self.graph.model_dump_json() + self.features.features).encode())
        for name, value in sorted(self.features.state_dict().items()):
            found.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
        if self.graph.entities == "tissue+nuclei":
            found.update(json.dumps(self.finders.digest).encode())
        return found.hexdigest()[:16]


def latents_of(front: Front, tiles: Sequence[LabelledTile], folder: Path, events: Events) -> tuple[Shards, float]:
    """Latent graphs of `tiles`, in their order, kept in `folder`; and the seconds of one core that each took."""
    folder.mkdir(parents=True, exist_ok=True)
    wait()
    for number, part in enumerate(chunks(len(tiles), GRAPHS_PER_SHARD)):
        path = folder / shard_name(LATENTS, number)
        if not path.exists():
            start_s = time.process_time()
            own = [tiles[k] for k in part]
            with torch.no_grad():
                latents = front.features(batched(_graphs(front, own)))
            write_latents(path, latents, [tile.patient for tile in own])
            write_whole(path.with_suffix(".json"), json.dumps((time.process_time() - start_s) / len(own)))
        events.progress("tiles", part.stop, len(tiles))
    write_index(folder, LATENTS)
    took = [float(json.loads(path.read_text("utf-8"))) for path in folder.glob("*.json")]
    return Shards(folder, LATENTS), sorted(took)[len(took) // 2]  # the median: the first compiles, others may read


def _graphs(front: Front, tiles: Sequence[LabelledTile]) -> list[EntityGraph]:
    found: list[EntityGraph] = []
    settings, with_nuclei = front.graph, front.graph.entities == "tissue+nuclei"
    for (image, mpp, patient), group in groupby(tiles, lambda tile: (tile.image, tile.mpp, tile.patient)):
        with open_slide(image, mpp) as slide:
            own = [Tile(t.x_px, t.y_px, t.side_px, settings.tile_px, settings.mpp) for t in group]
            nuclei = nuclei_of(front.finders.of(patient), slide, own, Events(), 1) if with_nuclei else None
            for tile in own:
                rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
                found.append(build(rgb, tile, slide.name, settings, nuclei.map(tile) if nuclei else None)[0])
    return found
