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
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..schema.space import Tile

if TYPE_CHECKING:
    from torch import Tensor

    from ..graph.nuclei import NucleusMap
    from ..model.batch import LatentBatch
    from ..schema.events import Events
    from ..schema.graph import EntityGraph
    from ..slide.reader import Slide
    from ..slide.tissue import Tissue
    from ..zoo.load import LoadedModel
    from .nuclei import Nuclei

T = TypeVar("T")
Prepared = tuple[Any, ...]  # tile, pixels, graph, outlines, share of tissue, entities on it
_Job = tuple[Tile, "Future[Prepared]"]
TILES_PER_BATCH = 8
_HANDOVER_S = 0.0002  # of Python's lock; with its own 0.005, two threads slept two to three times as long


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
    from ..graph.outlines import outlines

    with events.timed("decode"):
        rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
    with events.timed("graph"):
        own = None if nuclei is None else nuclei.map(tile)
        graph, labels = build(rgb, tile, slide.name, model.card.graph, own)
        share, covered = 1.0, np.ones(graph.num_nodes, bool)
        if tissue is not None and not (where := tissue.under(tile)).all():
            share, covered = float(where.mean()), _covered(where, labels, own)
    if not with_outlines:
        return tile, rgb, graph, None, share, covered
    with events.timed("outlines"):
        traced = outlines(labels, int(labels.max()) + 1, tile)
        return tile, rgb, graph, traced if own is None else np.concatenate([traced, own.outlines]), share, covered


def _covered(tissue: NDArray[np.bool_], labels: NDArray[np.int32], nuclei: NucleusMap | None) -> NDArray[np.bool_]:
    """Whether half or more of each superpixel's own pixels lie on `tissue` (S, S); then the nuclei: all of them do.

    Not their share: a field of glass with a rim that the mask takes for tissue would still speak, and loudly.
    """
    free = np.ones_like(tissue) if nuclei is None else nuclei.labels == 0
    pixels = np.bincount(labels[free], minlength=int(labels.max()) + 1)
    own = 2 * np.bincount(labels[free & tissue], minlength=len(pixels)) >= pixels
    return np.concatenate([own, np.ones(0 if nuclei is None else len(nuclei), bool)])


def _encode(ready: list[Prepared], model: LoadedModel, events: Events) -> Iterator[EncodedTile]:
    """Run the network on graphs and hand each tile its part."""
    import torch

    from ..model.batch import on_tissue
    from ..schema.graph import batched

    if not ready:
        return
    with events.timed("network"), torch.no_grad():
        graphs = batched([item[2] for item in ready]).to(model.device)
        latent = model.features(graphs)
        novelty = torch.full((len(ready),), math.nan) if model.novelty is None else model.novelty(latent).cpu()
        shares = torch.tensor([item[4] for item in ready], device=model.device)
        latent = on_tissue(
            latent, shares, torch.from_numpy(np.concatenate([item[5] for item in ready])).to(model.device)
        )
        embedding = model.encoder.embed(latent)
        tokens, pooled, latent = embedding.tokens().cpu(), embedding.pooled().cpu(), latent.to("cpu")
    sizes = [item[2].num_nodes for item in ready]
    rows = zip(ready, _parts(latent), torch.split(tokens, sizes), pooled, novelty.tolist(), strict=True)
    for item, alone, own, mean, far in rows:
        tile, rgb, graph, outlines, *_ = item
        yield EncodedTile(tile, rgb, graph, outlines, alone, own, mean, far)


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
