"""Real against shuffled neighbourhoods: does an embedding know which entities lie beside which?

A share of the entities of every graph change places: the attributes of its vertices are permuted among those of their
kind inside the graph, and those of its contacts among contacts between the same kinds. Positions and topology stay.
Mean, spread and every other statistic of the entities, or of the contacts, are the same before and after, so that none
of them tells the two apart; an embedding that does has used which attributes meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model.batch import LatentBatch
from ..schema.evaluation import YardstickSettings
from .judging import Question

SETTINGS = YardstickSettings(name="real neighbourhoods", label="real", kind="classification")
_KINDS = 3  # of contacts: between superpixels, with a nucleus, between nuclei
SHARE = 0.25  # of the entities that move: with all of them, even random weights tell real from shuffled
Embed = Callable[[LatentBatch], Tensor]


def shuffled(batch: LatentBatch, generator: torch.Generator, share: float = SHARE) -> LatentBatch:
    """The graphs of `batch` with a `share` of their entities, and of their contacts, in each other's places."""
    ends = batch.kind[batch.edge_index].sum(0)
    x = _within(_KINDS * batch.batch + batch.kind, generator, share)
    edge = _within(_KINDS * batch.edge_batch + ends, generator, share)
    area = None if batch.area is None else batch.area[x]
    return replace(batch, x=batch.x[x], area=area, edge_attr=batch.edge_attr[edge])


def embedded(embed: Embed, batches: Iterable[LatentBatch], seed: int = 0, share: float = SHARE) -> NDArray[np.float32]:
    """Embeddings of all graphs as they are, then of all graphs shuffled: (2 n, d); the seed is of the shuffling."""
    generator = torch.Generator().manual_seed(seed)
    real, false = [], []
    with torch.no_grad():
        for batch in batches:
            real.append(embed(batch).cpu().numpy())
            false.append(embed(shuffled(batch, generator, share)).cpu().numpy())
    return np.concatenate([*real, *false])


def question(patients: Sequence[str], settings: YardstickSettings = SETTINGS) -> Question:
    """Which half of the embeddings from `embedded` is real; `patients` (n,) are those of the graphs."""
    names = np.tile(np.asarray(patients, str), 2)
    truth = np.repeat([1, 0], len(patients))
    return Question(settings, np.arange(len(names)), truth, names)


def _within(owner: Tensor, generator: torch.Generator, share: float) -> Tensor:
    """A permutation of a random share of the rows that leaves each with its `owner` (K,)."""
    pick, chance = torch.rand(2, len(owner), generator=generator, dtype=torch.float64).to(owner.device)
    moved = (pick < share).nonzero().squeeze(1)
    out = torch.arange(len(owner), device=owner.device)
    out[moved[torch.argsort(owner[moved], stable=True)]] = moved[torch.argsort(owner[moved] + chance[moved])]
    return out
