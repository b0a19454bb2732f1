"""`encode_tiles`, the one pipeline: read > entity graph > stage-2 attributes > encoder.

Threads read tiles and build graphs (both release Python's lock) while the main thread runs the network on what is
ready, so reading, graphs and network overlap; where nothing is ready yet, as before the first batch, the main thread
builds graphs too. At most a few batches are held at a time. What Python itself does between two kernels is short, so
threads hand its lock over sooner than usual.
"""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..schema.space import Tile

if TYPE_CHECKING:
    from torch import Tensor

    from ..model.batch import LatentBatch
    from ..schema.events import Events
    from ..schema.graph import EntityGraph
    from ..slide.reader import Slide
    from ..slide.tissue import Tissue
    from ..zoo.load import LoadedModel
    from .nuclei import Nuclei

T = TypeVar("T")
_Job = tuple[list[Tile], "Future[list[Prepared]]"]
TILES_PER_BATCH = 8
_TILES_PER_JOB = 4  # neighbours: the first is read cold, the pixels of the others are half decoded by then
_HANDOVER_S = 0.0002  # of Python's lock; with its own 0.005, two threads slept two to three times as long


class Prepared(NamedTuple):
    """A tile before the network; `share` of it is tissue, on which its `covered` (N,) entities lie."""

    tile: Tile
    rgb: NDArray[np.uint8]
    graph: EntityGraph
    outlines: NDArray[np.object_] | None
    share: float
    covered: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EncodedTile:
    """One tile after the encoder; tensors are on the CPU.

    Parameters
    ----------
    tile : Tile
    rgb : (S, S, 3) uint8
    graph : EntityGraph
    outlines : (N,) array of shapely geometries, or None
        In level-0 pixels; None where nobody asked for them.
    latent : LatentBatch
        The graph's attributes of stage 2, a batch of one; read out on tissue where it is known where that lies.
    tokens : (N, token_size) float32
        Encoder output per entity.
    pooled : (embedding_size,) float32
        Embedding of the tile; see `Embedding.pooled`.
    novelty : float
        How far the tile lies from the training data, 1 being the limit; NaN where the model cannot tell.
    """

    tile: Tile
    rgb: NDArray[np.uint8]
    graph: EntityGraph
    outlines: NDArray[np.object_] | None
    latent: LatentBatch
    tokens: Tensor
    pooled: Tensor
    novelty: float = math.nan

    @property
    def key(self) -> str:
        """What tells this tile from all others of its slide, in object ids."""
        return f"{self.tile.x_px:.2f},{self.tile.y_px:.2f},{self.tile.side_px:.2f}"


def encode_tiles(
    slide: Slide,
    tiles: Iterable[Tile],
    model: LoadedModel,
    events: Events,
    workers: int = 0,
    with_outlines: bool = False,
    nuclei: Nuclei | None = None,
    tissue: Tissue | None = None,
) -> Iterator[EncodedTile]:
    """Encode tiles in order.

    Parameters
    ----------
    workers : int
        Threads that read and build graphs; 0 for one per core but that of the network; with 1 there is no other thread.
    with_outlines : bool
        Also trace the outlines of the entities.
    nuclei : Nuclei, optional
        Entities of kind 1, after the superpixels of each tile.
    tissue : Tissue, optional
        Only what lies on it is read out: a tile that is half glass, or half beyond the slide, speaks of its tissue.
        What is asked whether a tile is like the training data sees all of it.

    Yields
    ------
    EncodedTile
    """
    from ..graph.compiled import wait

    threads = workers or max((os.cpu_count() or 2) - 1, 1)
    waiting, ahead = deque[_Job](), TILES_PER_BATCH // _TILES_PER_JOB + threads
    todo = iter(tiles)
    pool: Executor = _InTurn() if workers == 1 else ThreadPoolExecutor(threads)
    prepare = partial(_prepare, slide, model, events, with_outlines, nuclei, tissue)
    wait()
    handover_s = sys.getswitchinterval()
    sys.setswitchinterval(min(handover_s, _HANDOVER_S))
    try:
        ready: list[Prepared] = []
        while True:
            while len(waiting) <= ahead and (job := list(islice(todo, _TILES_PER_JOB))):
                waiting.append((job, pool.submit(prepare, job)))
            if not waiting:
                break
            ready += _oldest(waiting, prepare)
            while len(ready) >= TILES_PER_BATCH:
                yield from _encode(ready[:TILES_PER_BATCH], model, events)
                del ready[:TILES_PER_BATCH]
        yield from _encode(ready, model, events)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        sys.setswitchinterval(handover_s)


def _oldest(waiting: deque[_Job], prepare: Callable[[list[Tile]], list[Prepared]]) -> list[Prepared]:
    """Take the oldest tiles; while a thread is still at them, do others that no thread has begun."""
    while not waiting[0][1].done():
        begun = next((number for number, (_, future) in enumerate(waiting) if future.cancel()), None)
        if begun is None:
            break
        job, done = waiting[begun][0], Future[list[Prepared]]()
        done.set_result(prepare(job))
        waiting[begun] = job, done
    return waiting.popleft()[1].result()


class _InTurn(Executor):
    """One core: work is done where it is asked for."""

    def submit(self, fn: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Do it now."""
        future: Future[T] = Future()
        future.set_result(fn(*arguments, **named))
        return future


def _prepare(
    slide: Slide,
    model: LoadedModel,
    events: Events,
    with_outlines: bool,
    nuclei: Nuclei | None,
    tissue: Tissue | None,
    tiles: list[Tile],
) -> list[Prepared]:
    """Pixels, then graphs and outlines, of neighbouring tiles; runs in a thread."""
    with events.timed("decode"):
        images = [slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px) for tile in tiles]
    pairs = zip(tiles, images, strict=True)
    return [_graph_of(slide.name, model, events, with_outlines, nuclei, tissue, tile, rgb) for tile, rgb in pairs]


def _graph_of(
    slide: str,
    model: LoadedModel,
    events: Events,
    with_outlines: bool,
    nuclei: Nuclei | None,
    tissue: Tissue | None,
    tile: Tile,
    rgb: NDArray[np.uint8],
) -> Prepared:
    """Graph and outlines of one tile."""
    from ..graph.build import build
    from ..graph.nuclei import on_tissue
    from ..graph.outlines import outlines

    with events.timed("graph"):
        own = None if nuclei is None else nuclei.map(tile)
        graph, labels = build(rgb, tile, slide, model.card.graph, own)
        share, covered = 1.0, np.ones(graph.num_nodes, bool)
        if tissue is not None and not (where := tissue.under(tile)).all():
            share, covered = float(where.mean()), on_tissue(where, labels, own)
    if not with_outlines:
        return Prepared(tile, rgb, graph, None, share, covered)
    with events.timed("outlines"):
        traced = outlines(labels, int(labels.max()) + 1, tile)
        every = traced if own is None else np.concatenate([traced, own.outlines])
        return Prepared(tile, rgb, graph, every, share, covered)


def _encode(ready: list[Prepared], model: LoadedModel, events: Events) -> Iterator[EncodedTile]:
    """Run the network on graphs and hand each tile its part."""
    import torch

    from ..model.batch import apart, on_tissue
    from ..schema.graph import batched

    if not ready:
        return
    with events.timed("network"), torch.no_grad():
        graphs = batched([item.graph for item in ready]).to(model.device)
        latent = model.features(graphs)
        novelty = torch.full((len(ready),), math.nan) if model.novelty is None else model.novelty(latent).cpu()
        shares = torch.tensor([item.share for item in ready], device=model.device)
        covered = torch.from_numpy(np.concatenate([item.covered for item in ready])).to(model.device)
        latent = on_tissue(latent, shares, covered)
        embedding = model.encoder.embed(latent)
        tokens, pooled, latent = embedding.tokens().cpu(), embedding.pooled().cpu(), latent.to("cpu")
    sizes = [item.graph.num_nodes for item in ready]
    rows = zip(ready, apart(latent), torch.split(tokens, sizes), pooled, novelty.tolist(), strict=True)
    for item, alone, own, mean, far in rows:
        yield EncodedTile(item.tile, item.rgb, item.graph, item.outlines, alone, own, mean, far)
