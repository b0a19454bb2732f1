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

from ..model.batch import LatentBatch
from ..model.hmgdm import HMGDM
from ..model.novelty import looks
from ..schema.events import Events
from ..schema.space import Tile
from ..slide.reader import open_slide
from ..training.heads import Tokens
from ..training.labelled import LabelledTile
from ..training.statistics import tile_statistics
from .encode import EncodedTile, encode_tiles
from .finders import Finders
from .nuclei import as_learnt

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


def encode_labelled(
    tiles: Sequence[LabelledTile], model: LoadedModel, events: Events, seed: int = 0, finders: Finders | None = None
) -> Encoded:
    """Run every tile through the model and its rivals.

    The rivals: (a) colour and texture statistics of the whole tile, (b) the entities' own features without any graph
    network, (c) the same encoder with random weights. `finders` as `encoded_tiles`.
    """
    twin = random_twin(model, seed)
    parts: dict[str, list[tuple[Tensor, LatentBatch]]] = {name: [] for name in (ENCODER, RANDOM, ENTITIES)}
    pooled, seen, statistics = [], [], []
    for tile in events.track("encode", encoded_tiles(tiles, model, events, finders), len(tiles)):
        with torch.no_grad():
            parts[RANDOM].append((twin.embed(tile.latent).tokens(), tile.latent))
        parts[ENCODER].append((tile.tokens, tile.latent))
        parts[ENTITIES].append((tile.latent.x, tile.latent))
        statistics.append(torch.from_numpy(tile_statistics(tile.rgb)).float())
        pooled.append(tile.pooled.numpy())
        seen.append(looks(tile.latent)[0].numpy())
    tokens = {name: Tokens.of(rows, model.encoder.kinds) for name, rows in parts.items()}
    tokens[STATISTICS] = Tokens.whole(torch.stack(statistics))
    return Encoded(tokens, np.stack(pooled), np.stack(seen))


def encoded_tiles(
    tiles: Sequence[LabelledTile], model: LoadedModel, events: Events, finders: Finders | None = None
) -> Iterator[EncodedTile]:
    """Encode tiles in order, opening each image once where its tiles stand together.

    `finders` say who finds the nuclei of which patient, for a model that learnt with nuclei.
    """
    graph, finders = model.card.graph, finders or Finders()
    for (image, mpp, patient), group in groupby(tiles, lambda tile: (tile.image, tile.mpp, tile.patient)):
        with open_slide(image, mpp) as slide:
            asked = [Tile(t.x_px, t.y_px, t.side_px, graph.tile_px, graph.mpp) for t in group]
            nuclei = as_learnt(model.card, slide, asked, events, finders.of(patient))
            yield from encode_tiles(slide, asked, model, events, nuclei=nuclei)
