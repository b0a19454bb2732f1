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
_Job = tuple[Tile, "Future[Prepared]"]
TILES_PER_BATCH = 8
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
    waiting: deque[_Job] = deque()
    todo = iter(tiles)
    pool: Executor = _InTurn() if workers == 1 else ThreadPoolExecutor(threads)
    prepare = partial(_prepare, slide, model, events, with_outlines, nuclei, tissue)
    wait()
    handover_s = sys.getswitchinterval()
    sys.setswitchinterval(min(handover_s, _HANDOVER_S))
    try:
        ready: list[Prepared] = []
        while True:
            while len(waiting) < TILES_PER_BATCH + 2 * threads and (tile := next(todo, None)) is not None:
                waiting.append((tile, pool.submit(prepare, tile)))
            if not waiting:
                break
            ready.append(_oldest(waiting, prepare))
            if len(ready) == TILES_PER_BATCH:
                yield from _encode(ready, model, events)
                ready = []
        yield from _encode(ready, model, events)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        sys.setswitchinterval(handover_s)


def _oldest(waiting: deque[_Job], prepare: Callable[[Tile], Prepared]) -> Prepared:
    """Take the oldest tile; while a thread is still at it, do others that no thread has begun."""
    while not waiting[0][1].done():
        begun = next((number for number, (_, future) in enumerate(waiting) if future.cancel()), None)
        if begun is None:
            break
        tile, done = waiting[begun][0], Future[Prepared]()
        done.set_result(prepare(tile))
        waiting[begun] = tile, done
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
    tile: Tile,
) -> Prepared:
    """Pixels, graph and outlines of one tile; runs in a thread."""
    from ..graph.build import build
    from ..graph.nuclei import on_tissue
    from ..graph.outlines import outlines

    with events.timed("decode"):
        rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
    with events.timed("graph"):
        own = None if nuclei is None else nuclei.map(tile)
        graph, labels = build(rgb, tile, slide.name, model.card.graph, own)
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

    from ..model.batch import on_tissue
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
    rows = zip(ready, _parts(latent), torch.split(tokens, sizes), pooled, novelty.tolist(), strict=True)
    for item, alone, own, mean, far in rows:
        yield EncodedTile(item.tile, item.rgb, item.graph, item.outlines, alone, own, mean, far)


def _parts(latent: LatentBatch) -> Iterator[LatentBatch]:
    """Each graph of a batch as a batch of one; its vertices and edges lie together, so nothing is copied."""
    import torch

    from ..model.batch import LatentBatch

    counts = [torch.bincount(of, minlength=latent.num_graphs).tolist() for of in (latent.batch, latent.edge_batch)]
    first = last = 0  # vertex and edge
    for number, (vertices, edges) in enumerate(zip(*counts, strict=True)):
        v, e = slice(first, first + vertices), slice(last, last + edges)
        yield LatentBatch(
            x=latent.x[v],
            edge_attr=latent.edge_attr[e],
            edge_index=latent.edge_index[:, e] - first,
            pos=latent.pos[v],
            edge_pos=latent.edge_pos[e],
            batch=torch.zeros(vertices, dtype=torch.int64),
            edge_batch=torch.zeros(edges, dtype=torch.int64),
            num_graphs=1,
            kind=latent.kind[v],
            area=None if latent.area is None else latent.area[v],
            tissue=None if latent.tissue is None else latent.tissue[number : number + 1],
        )
        first, last = first + vertices, last + edges
