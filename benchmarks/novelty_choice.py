"""Which distance notices most: Mahalanobis or nearest neighbours, on embeddings, entity features or plain statistics.

    python -m benchmarks.novelty_choice tiles.csv [--model hmgdm-small]

Six folds by patient; the limit is what 95 % of the held-out tiles of the other folds stay below. Spoilt tiles are those
of the judged patients. What ships was chosen by the mean over the ways of spoiling, at false alarms alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.novelty import PER_PATIENT, SPOILT_PER_PATIENT, some_of
from benchmarks.squares import SIZE_PX
from hmgdm_plugin.analysis.squares import read_squares
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.model.segments import segment_mean, segment_std
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.training.folds import patient_folds
from hmgdm_plugin.training.labelled import read_csv
from hmgdm_plugin.training.metrics import mean_by_patient
from hmgdm_plugin.training.novelty import QUANTILE, distances, fit_novelty, quantile_of
from hmgdm_plugin.training.spoilt import SPOILT
from hmgdm_plugin.training.statistics import tile_statistics
from hmgdm_plugin.zoo.load import LoadedModel, load
from hmgdm_plugin.zoo.page import table

NEIGHBOURS, CORESET, FOLDS = 3, 256, 6
Image = NDArray[np.uint8]
Floats = NDArray[np.float64]
Fit = Callable[[Floats, NDArray[np.str_]], Callable[[Floats], Floats]]


def readings(images: Iterable[Image], model: LoadedModel) -> dict[str, Floats]:
    """Everything that a distance may be measured on, (n, m) each."""
    rows: dict[str, list[NDArray[np.float32]]] = {}
    graph = model.card.graph
    tile = Tile(0.0, 0.0, float(graph.tile_px), graph.tile_px, graph.mpp)
    for rgb in images:
        entities, _ = build(np.ascontiguousarray(rgb), tile, "", graph)
        with torch.no_grad():
            latent = model.features(batched([entities]))
            embedding = model.encoder.embed(latent)
        own = [each(latent.x, latent.batch, 1, latent.weight())[0] for each in (segment_mean, segment_std)]
        pooled, spread = embedding.pooled()[0], embedding.spread()[0]
        found = {"embedding": [pooled], "embedding and spread": [pooled, spread], "entity features": own[:1]}
        found["entity features and spread"] = own
        found["descriptors and spread"] = [each[-model.card.descriptors :] for each in own]
        for name, parts in found.items():
            rows.setdefault(name, []).append(torch.cat(parts).numpy())
        rows.setdefault("colour and texture", []).append(tile_statistics(rgb))
    return {name: np.stack(each).astype(np.float64) for name, each in rows.items()}


def mahalanobis(x: Floats, patients: NDArray[np.str_]) -> Callable[[Floats], Floats]:
    """What ships."""
    fitted = fit_novelty(x, patients)
    return lambda other: distances(fitted, other)


def nearest(x: Floats, patients: NDArray[np.str_]) -> Callable[[Floats], Floats]:
    """Mean distance to the nearest of a small set of tiles that lie far apart, in the same whitened components."""
    fitted = fit_novelty(x, patients)
    mean, scale, axes, spread = (
        each.double().numpy() for each in (fitted.mean, fitted.scale, fitted.components, fitted.spread)
    )

    def whitened(rows: Floats) -> Floats:
        return np.asarray((rows - mean) / scale @ axes / spread)

    z = whitened(x)
    chosen = [int((z**2).sum(1).argmin())]
    away = ((z - z[chosen[0]]) ** 2).sum(1)
    while len(chosen) < min(CORESET, len(z)):
        chosen.append(int(away.argmax()))
        away = np.minimum(away, ((z - z[chosen[-1]]) ** 2).sum(1))

    def distance(rows: Floats) -> Floats:
        squares = ((whitened(rows)[:, None] - z[chosen]) ** 2).sum(2)
        return np.asarray(np.sqrt(np.partition(squares, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]).mean(1))

    return distance


METHODS: Mapping[str, Fit] = {"Mahalanobis": mahalanobis, "nearest neighbours": nearest}


def judged(
    x: Floats, patients: NDArray[np.str_], spoilt: Mapping[str, Floats], owner: NDArray[np.int64], fit: Fit
) -> tuple[float, dict[str, float]]:
    """Share of false alarms, patients counting alike, and of each way of spoiling that is found."""
    folds = patient_folds(list(patients), FOLDS, 0)
    held = np.zeros(len(x))
    broken = {how: np.zeros(len(owner)) for how in spoilt}
    for fold in range(FOLDS):
        own = folds == fold
        distance = fit(x[~own], patients[~own])
        held[own] = distance(x[own])
        for how, rows in spoilt.items():
            broken[how][own[owner]] = distance(rows[own[owner]])
    limits = np.array([quantile_of(held[folds != f], patients[folds != f], QUANTILE) for f in range(FOLDS)])
    alarms = mean_by_patient((held > limits[folds]).astype(float), list(patients), np.ones((1, len(x))))
    return float(alarms[0]), {how: float((each > limits[folds[owner]]).mean()) for how, each in broken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare distances from the training data.")
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, every = load(arguments.model), read_csv(arguments.tiles)
    tiles = [every[k] for k in some_of(every, PER_PATIENT)]
    patients = np.array([tile.patient for tile in tiles])
    owner = np.array(some_of(tiles, SPOILT_PER_PATIENT), np.int64)
    whole = readings(read_squares(tiles, SIZE_PX), model)
    images, rng = list(read_squares([tiles[k] for k in owner], SIZE_PX)), np.random.default_rng(0)
    broken = {how: readings([spoil(rgb, rng) for rgb in images], model) for how, spoil in SPOILT.items()}
    rows = []
    for name, x in whole.items():
        spoilt = {how: each[name] for how, each in broken.items()}
        for method, fit in METHODS.items():
            alarms, found = judged(x, patients, spoilt, owner, fit)
            shares = [f"{100 * share:.0f}" for share in found.values()]
            rows.append((name, method, f"{100 * alarms:.1f}", f"{100 * np.mean(list(found.values())):.0f}", *shares))
    print(table(("on", "distance", "false alarms %", "found %, mean", *SPOILT), rows))


if __name__ == "__main__":
    main()
