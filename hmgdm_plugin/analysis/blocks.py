"""Encoded tiles in blocks on disk, so that a run that was stopped goes on inside a slide.

A block holds what predictions need of its tiles: embeddings, positions, kinds, areas, share of tissue and outlines, bit
for bit. Blocks are multiples of the network's batches, so a slide that is taken up again gets the same batches and the
same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from .. import __version__
from ..schema.run import block_file
from .encode import TILES_PER_BATCH, EncodedTile, encode_tiles

if TYPE_CHECKING:
    from torch import Tensor

    from ..schema.events import Events
    from ..schema.space import Tile
    from ..zoo.load import LoadedModel
    from .plan import Plan

TILES_PER_BLOCK = 8 * TILES_PER_BATCH
FORMAT = 3  # of a block; another one is computed again


def encoded_tiles(
    plan: Plan, model: LoadedModel, events: Events, workers: int = 0, folder: Path | None = None
) -> Iterator[EncodedTile]:
    """Encode the tiles of a slide in order, with outlines.

    Parameters
    ----------
    workers : int
        As for `encode_tiles`.
    folder : Path, optional
        Where blocks are kept. Those that an earlier run left there are taken up, if slide, tiles, model, version
        and nuclei are the same; others are computed again.
    """
    if folder is None:
        yield from encode_tiles(plan.slide, plan.tiles, model, events, workers, True, plan.nuclei, plan.tissue)
        return
    blocks = _Blocks(folder, plan.tiles, _recipe(plan, model))
    kept = 0
    while (tiles := blocks.read(kept)) is not None:
        kept += 1
        yield from tiles
    todo = plan.tiles[kept * TILES_PER_BLOCK :]
    rest = encode_tiles(plan.slide, todo, model, events, workers, True, plan.nuclei, plan.tissue)
    for number in count(kept):
        tiles = list(islice(rest, TILES_PER_BLOCK))
        if not tiles:
            return
        with events.timed("blocks"):
            blocks.write(number, tiles)
        yield from tiles


def _recipe(plan: Plan, model: LoadedModel) -> str:
    """Digest of everything that decides what is in a block."""
    tiles = [(tile.x_px, tile.y_px, tile.side_px, tile.size_px, tile.mpp) for tile in plan.tiles]
    nuclei = plan.nuclei.digest() if plan.nuclei else ""
    written_ns = plan.slide.path.stat().st_mtime_ns  # the fingerprint does not see what changes in the middle
    slide = (plan.slide.fingerprint(), written_ns, plan.slide.frame.mpp)
    facts = [FORMAT, __version__, model.digest, str(model.device), *slide, tiles, nuclei]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


class _Blocks:
    """The blocks of one slide in one folder."""

    def __init__(self, folder: Path, tiles: Sequence[Tile], recipe: str) -> None:
        self._folder, self._tiles, self._recipe = folder, tiles, recipe
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, number: int) -> list[EncodedTile] | None:
        """Tiles of block `number`; None where it is missing, damaged, or of another recipe."""
        from safetensors import SafetensorError, safe_open

        tiles = self._of(number)
        if not tiles:
            return None
        try:
            with safe_open(self._folder / block_file(number), "pt") as file:
                if (file.metadata() or {}).get("recipe") != self._recipe:
                    return None
                return _unpacked(tiles, {key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        except (OSError, SafetensorError):
            return None

    def write(self, number: int, encoded: Sequence[EncodedTile]) -> None:
        """Keep block `number`."""
        from ..schema.weights import write_tensors

        assert [each.tile for each in encoded] == list(self._of(number))
        write_tensors(self._folder / block_file(number), _packed(encoded), {"recipe": self._recipe})

    def _of(self, number: int) -> Sequence[Tile]:
        return self._tiles[number * TILES_PER_BLOCK : (number + 1) * TILES_PER_BLOCK]


def _packed(encoded: Sequence[EncodedTile]) -> dict[str, Tensor]:
    """Tensors of a block: everything end to end, and how much of it belongs to each tile and outline."""
    import torch

    outlines = chain.from_iterable([] if tile.outlines is None else tile.outlines for tile in encoded)
    texts = [shapely.to_wkb(outline) for outline in outlines]
    return {
        "entities": torch.tensor([len(tile.tokens) for tile in encoded]),
        "tokens": torch.cat([tile.tokens for tile in encoded]),
        "pooled": torch.stack([tile.pooled for tile in encoded]),
        "novelty": torch.tensor([tile.novelty for tile in encoded]),
        "area": torch.cat([tile.latent.weight() for tile in encoded]),
        "tissue": torch.cat([tile.latent.vertices.share().squeeze(1) for tile in encoded]),
        "pos": torch.cat([tile.graph.pos for tile in encoded]),
        "kind": torch.cat([tile.graph.kind for tile in encoded]),
        "lengths": torch.tensor([len(text) for text in texts]),
        "outlines": torch.frombuffer(bytearray(b"".join(texts)), dtype=torch.uint8),
    }


def _unpacked(tiles: Sequence[Tile], kept: dict[str, Tensor]) -> list[EncodedTile]:
    """Tiles of a block, without pixels, windows and attributes."""
    import torch

    sizes = kept["entities"].tolist()
    ends = np.cumsum(kept["lengths"].numpy())
    raw = kept["outlines"].numpy().tobytes()
    texts = [raw[end - length : end] for end, length in zip(ends, kept["lengths"].tolist(), strict=True)]
    outlines = np.asarray(shapely.from_wkb(texts), object)
    parts = [torch.split(kept[name], sizes) for name in ("tokens", "area", "pos", "kind")]
    own = np.split(outlines, np.cumsum(sizes)[:-1])
    rows = zip(tiles, kept["pooled"], kept["novelty"].tolist(), own, kept["tissue"].split(1), *parts, strict=True)
    return [_bare(*row) for row in rows]


def _bare(
    tile: Tile,
    pooled: Tensor,
    novelty: float,
    outlines: np.ndarray,
    tissue: Tensor,
    tokens: Tensor,
    area: Tensor,
    pos: Tensor,
    kind: Tensor,
) -> EncodedTile:
    """An encoded tile with nothing but what predictions ask of it."""
    import torch

    from ..model.batch import LatentBatch
    from ..schema.graph import EntityGraph

    none, pairs = torch.zeros(0, 0), torch.zeros(2, 0, dtype=torch.int64)
    of_one = torch.zeros(len(tokens), dtype=torch.int64)
    latent = LatentBatch(tokens[:, :0], none, pairs, pos, none, of_one, of_one[:0], 1, kind.long(), area, tissue)
    graph = EntityGraph(
        x=none, desc=none, edge_index=pairs, edge_attr=none, edge_desc=none, pos=pos, edge_pos=none,
        area=area, edge_area=none, kind=kind, tile=none,
    )  # fmt: skip
    return EncodedTile(tile, np.zeros((0, 0, 3), np.uint8), graph, outlines, latent, tokens, pooled, novelty)
