"""The last stage of pre-training: the readout, from tiles and their views, without labels and without steps."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..model.batch import LatentBatch
from ..model.hmgdm import HMGDM
from ..model.readout import Readout
from ..model.segments import segment_mean
from ..schema.events import Events
from .order import Ints
from .shards import Shards, chunks

TILES = 6000  # at most, with all their views
AT_ONCE = 32


def fit_readout(model: HMGDM, graphs: Shards, latents: Shards, seed: int, events: Events) -> None:
    """Fit the readout of `model`, if it has one, on tiles of all patients alike.

    Parameters
    ----------
    graphs, latents : Shards
        The same graphs: `graphs` tell which are views of one tile, `latents` are encoded.
    """
    if model.readout is None:
        return
    model.eval()
    device = model.vertex_weight.device
    fit_directions(
        model.readout, lambda batch: model.embed(batch.to(device)).last_level(), graphs, latents, seed, events
    )


def fit_directions(
    readout: Readout,
    level: Callable[[LatentBatch], Tensor],
    graphs: Shards,
    latents: Shards,
    seed: int,
    events: Events,
) -> None:
    """Fit `readout` on what `level` says (N, w) of the vertices of a batch; other arguments as `fit_readout`."""
    if len(latents) < 2:
        return
    numbers, *names = views(graphs, TILES, seed)
    groups, slides = (torch.from_numpy(each) for each in names)
    means, held, kinds = [], [], readout.kinds
    for part in chunks(len(numbers), AT_ONCE):
        batch = latents.latents([int(n) for n in numbers[part.start : part.stop]])
        with torch.no_grad():
            owner, count = batch.vertices.owner(kinds), batch.num_graphs * kinds
            means.append(segment_mean(level(batch).cpu(), owner, count, batch.weight()))
            held.append(torch.bincount(owner, minlength=count) > 0)
        events.progress("readout", part.stop, len(numbers))
    tiles, some = torch.cat(means).view(len(numbers), kinds, -1), torch.cat(held).view(-1, kinds)
    for kind in range(kinds):
        own = some[:, kind]
        if int(own.sum()) > 1:
            readout.fit(tiles[own, kind], groups[own], kind, slides[own])


def views(graphs: Shards, most: int, seed: int) -> tuple[Ints, Ints, Ints]:
    """Numbers of graphs (T,), ascending, and tile and slide (T,) that each shows; about `most`, whole tiles only."""
    places: list[tuple[str, str, bytes]] = []
    for number in range(graphs.files):
        shard = graphs.shard(number)
        corners = shard.field("tile").numpy()
        places += list(zip(shard.patients, shard.slides, (row.tobytes() for row in corners), strict=True))
    slide = np.unique([json.dumps([p, s]) for p, s, _ in places], return_inverse=True)[1]
    tile = np.unique([json.dumps([p, s, where.hex()]) for p, s, where in places], return_inverse=True)[1]
    order = np.random.default_rng((seed, 23)).permutation(int(tile.max()) + 1)
    sizes = np.bincount(tile)[order]
    chosen = np.zeros(len(order), bool)
    chosen[order[: max(int(np.searchsorted(np.cumsum(sizes), most, side="right")), 1)]] = True
    numbers = np.flatnonzero(chosen[tile])
    return numbers, tile[numbers], slide[numbers]
