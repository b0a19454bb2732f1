"""How a model learns to say that a tile is unlike its training data: a distance, its limit, and what it notices.

The limit comes from tiles of left-out patients. Some of their tiles are spoilt on purpose, to see what is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..graph.build import build
from ..model.novelty import Novelty as Distance
from ..model.novelty import looks
from ..schema.graph import batched
from ..schema.space import Tile
from ..training.novelty import QUANTILE, Spoilt, fit_novelty, judge_novelty
from ..training.spoilt import SPOILT
from ..zoo.measured import Novelty
from .labelled import encoded_tiles

if TYPE_CHECKING:
    from ..schema.events import Events
    from ..training.labelled import LabelledTile
    from ..zoo.load import LoadedModel

READS = "mean and spread of the superpixels' features"
SPOILT_PER_PATIENT = 1
FEWEST = 5  # patients


def novelty_of(
    tiles: Sequence[LabelledTile], seen: NDArray[np.float32], model: LoadedModel, events: Events, seed: int
) -> tuple[Distance, Novelty] | None:
    """Fit and judge the distance on `tiles`, whose looks (T, m) are `seen`; None for too few patients to judge by."""
    patients = [tile.patient for tile in tiles]
    if len(set(patients)) < FEWEST:
        events.note(f"novelty: {len(set(patients))} patients are too few to set a limit; the model will not have one")
        return None
    found = judge_novelty(seen, patients, _spoilt(tiles, model, events, seed))
    distance = fit_novelty(seen, patients)
    distance.limit.fill_(found.limit)
    alarms = found.false_alarms
    return distance, Novelty(
        reads=READS,
        quantile=QUANTILE,
        limit=round(found.limit, 4),
        false_alarms=round(alarms.value, 4),
        low=round(alarms.low, 4),
        high=round(alarms.high, 4),
        usual_share=round(found.usual_share, 4),
        patients=len(set(patients)),
        tiles=len(tiles),
        detected={how: round(share, 4) for how, share in found.detected.items()},
    )


def looks_of(rgb: NDArray[np.uint8], model: LoadedModel) -> NDArray[np.float32]:
    """Looks (m,) of an image (S, S, 3) at the model's scale."""
    graph = model.card.graph
    tile = Tile(0.0, 0.0, float(graph.tile_px), graph.tile_px, graph.mpp)
    entities, _ = build(np.ascontiguousarray(rgb), tile, "", graph)
    with torch.no_grad():
        return looks(model.features(batched([entities])))[0].numpy()


def _spoilt(tiles: Sequence[LabelledTile], model: LoadedModel, events: Events, seed: int) -> dict[str, Spoilt]:
    """A few tiles of every patient, spoilt in every way."""
    rng = np.random.default_rng(seed)
    patients = np.array([tile.patient for tile in tiles])
    some = [rng.permutation(np.flatnonzero(patients == each))[:SPOILT_PER_PATIENT] for each in np.unique(patients)]
    chosen = np.sort(np.concatenate(some))
    rows: dict[str, list[NDArray[np.float32]]] = {how: [] for how in SPOILT}
    images = (tile.rgb for tile in encoded_tiles([tiles[k] for k in chosen], model, events))
    for rgb in events.track("novelty", images, len(chosen)):
        for how, spoil in SPOILT.items():
            rows[how].append(looks_of(spoil(rgb, rng), model))
    return {how: Spoilt(np.stack(each), chosen) for how, each in rows.items()}
