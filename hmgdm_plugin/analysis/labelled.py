"""Labelled tiles through a model and through its rivals: what heads are trained on, and compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model.hmgdm import HMGDM
from ..model.novelty import looks
from ..schema.events import Events
from ..schema.space import Tile
from ..slide.reader import open_slide
from ..training.heads import Tokens
from ..training.labelled import LabelledTile
from ..training.statistics import tile_statistics
from .encode import EncodedTile, encode_tiles
from .nuclei import STARDIST, nuclei_of

if TYPE_CHECKING:
    from ..zoo.load import LoadedModel

ENCODER, RANDOM, ENTITIES, STATISTICS = "this model", "random weights", "entity features", "colour and texture"


@dataclass(frozen=True)
class Encoded:
    """Tokens of the same tiles by embedding, the tile embeddings (T, d) of the model itself, and its `looks` (T, m)."""

    tokens: dict[str, Tokens]
    pooled: NDArray[np.float32]
    looks: NDArray[np.float32]


def random_twin(model: LoadedModel, seed: int) -> HMGDM:
    """The same encoder with fresh random weights."""
    torch.manual_seed(seed)
    features = model.features
    twin = HMGDM(model.card.diffusion, features.parts, features.parts, features.beside)
    return twin.eval().requires_grad_(False)


def encode_labelled(tiles: Sequence[LabelledTile], model: LoadedModel, events: Events, seed: int = 0) -> Encoded:
    """Run every tile through the model and its rivals.

    The rivals: (a) colour and texture statistics of the whole tile, (b) the entities' own features without any graph
    network, (c) the same encoder with random weights.
    """
    twin = random_twin(model, seed)
    parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in (ENCODER, RANDOM, ENTITIES, STATISTICS)}
    pooled, seen = [], []
    for tile in events.track("encode", encoded_tiles(tiles, model, events), len(tiles)):
        area = tile.latent.weight()
        with torch.no_grad():
            parts[RANDOM].append((twin.embed(tile.latent).tokens(), area))
        parts[ENCODER].append((tile.tokens, area))
        parts[ENTITIES].append((tile.latent.x, area))
        statistics = torch.from_numpy(tile_statistics(tile.rgb)).float()[None]
        parts[STATISTICS].append((statistics, torch.ones(1)))
        pooled.append(tile.pooled.numpy())
        seen.append(looks(tile.latent)[0].numpy())
    return Encoded({name: Tokens.of(rows) for name, rows in parts.items()}, np.stack(pooled), np.stack(seen))


def encoded_tiles(tiles: Sequence[LabelledTile], model: LoadedModel, events: Events) -> Iterator[EncodedTile]:
    """Encode tiles in order, opening each image once where its tiles stand together."""
    graph = model.card.graph
    for (image, mpp), group in groupby(tiles, lambda tile: (tile.image, tile.mpp)):
        with open_slide(image, mpp) as slide:
            asked = [Tile(t.x_px, t.y_px, t.side_px, graph.tile_px, graph.mpp) for t in group]
            with_nuclei = graph.entities == "tissue+nuclei"
            nuclei = nuclei_of(STARDIST, slide, asked, events) if with_nuclei else None
            yield from encode_tiles(slide, asked, model, events, nuclei=nuclei)
