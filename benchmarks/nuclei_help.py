"""Do nuclei help? The same tiles as graphs of tissue and of tissue and nuclei, judged by patient.

    python -m benchmarks.nuclei_help --detector NAME|FOLDER --kept FILE.npz [--unseen PATIENT …]

Nuclei are a detector's, never the true maps, which are the labels. A detector that learnt from the maps of a patient
knows more of that patient's tiles than of new ones: with `--unseen`, the patients that the detector never saw, the
labels that follow from the maps are tested on those patients alone. Organ and benign follow from no map.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.tiles import build as labelled_tiles
from benchmarks.yardstick import TASKS, Row, Task, evaluate, markdown
from hmgdm_plugin.analysis.labelled import random_twin
from hmgdm_plugin.analysis.nuclei import nuclei_of
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.model.batch import LatentBatch, subgraph
from hmgdm_plugin.model.segments import segment_mean
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training import intervals, metrics
from hmgdm_plugin.training.labelled import LabelledTile, data_root
from hmgdm_plugin.training.probe import ridge_fit
from hmgdm_plugin.zoo.load import LoadedModel, load

TISSUE, BOTH, BY_KIND = "tissue", "tissue+nuclei", "tissue, nuclei apart"
FROM_MAPS = {"log count", "log area", "nuclear fraction"}
Floats = NDArray[np.float64]


def chosen(tiles: Sequence[LabelledTile]) -> list[LabelledTile]:
    """Tiles that hardly overlap: the corners of MoNuSeg's images, all of TNBC, the first of each of BreakHis."""
    out = []
    for _, group in groupby(tiles, lambda tile: tile.image):
        own = list(group)
        ends = [(min(at), max(at)) for at in ([tile.x_px for tile in own], [tile.y_px for tile in own])]
        corners = [tile for tile in own if tile.x_px in ends[0] and tile.y_px in ends[1]]
        out += own[:1] if own[0].source == "breakhis" else corners
    return out


def graphs(
    tiles: Sequence[LabelledTile], model: LoadedModel, detector: str
) -> Iterator[tuple[LatentBatch, LatentBatch, int]]:
    """Stage-2 attributes of each tile without and with nuclei, and the number of nuclei."""
    settings, events = model.card.graph, Events()
    for (image, mpp), group in groupby(tiles, lambda tile: (tile.image, tile.mpp)):
        with open_slide(image, mpp) as slide:
            own = [Tile(t.x_px, t.y_px, t.side_px, settings.tile_px, settings.mpp) for t in group]
            nuclei = nuclei_of(detector, slide, own, events, 1)
            for tile in own:
                rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
                found = nuclei.map(tile)
                graph, labels = build(rgb, tile, slide.name, settings, found)
                both = model.features(batched([graph]))
                whole = torch.from_numpy(np.bincount(labels.ravel()) / labels.size).float()
                yield replace(subgraph(both, both.kind == 0), area=whole), both, len(found)


def embedded(tiles: Sequence[LabelledTile], model: LoadedModel, detector: str) -> dict[str, NDArray[np.float32]]:
    """Embeddings (tiles, d) by name; `nuclei` (tiles, 1) is how many there were."""
    twin, rows, start = random_twin(model, 0), [], time.perf_counter()
    for number, (tissue, both, count) in enumerate(graphs(tiles, model, detector), 1):
        row = {"nuclei": torch.tensor([float(count)])}
        for name, latent in ((TISSUE, tissue), (BOTH, both)):
            row[f"entity features: {name}"] = _mean(latent)
            row[f"random weights: {name}"] = twin.embed(latent).pooled()[0]
            row[f"{model.card.name}: {name}"] = model.encoder.embed(latent).pooled()[0]
        own = subgraph(both, both.kind == 1)
        alone = _mean(own) if count else torch.zeros_like(_mean(tissue))
        row[f"entity features: {BY_KIND}"] = torch.cat([_mean(tissue), alone])
        rows.append(row)
        if number % 50 == 0:
            print(f"{number} of {len(tiles)} tiles, {time.perf_counter() - start:.0f} s", flush=True)
    return {name: np.stack([row[name].numpy() for row in rows]) for name in rows[0]}


def _mean(latent: LatentBatch) -> torch.Tensor:
    """Mean (d,) of the vertices of one graph, by area."""
    weight = latent.weight()[:, None]
    total = segment_mean(latent.x * weight, latent.batch, 1)[0]
    return total / segment_mean(weight, latent.batch, 1)[0].clamp(min=1e-9)


def on_unseen(
    task: Task, x: NDArray[np.floating], y: NDArray[np.floating], tiles: Sequence[LabelledTile], unseen: set[str]
) -> tuple[Floats, Floats]:
    """Draws over unseen patients of R2 and of the error in the label's unit, of a fit on all others."""
    patients = np.array([tile.patient for tile in tiles])
    test = np.isin(patients, list(unseen))
    truth = task.forward(y)
    weight, bias = ridge_fit(x[~test], truth[~test, None], patients[~test])
    guess = (x[test] @ weight.T + bias)[:, 0]
    resamples = intervals.resamples(patients[test])
    return metrics.r2(truth[test], guess, resamples), metrics.mae(y[test], task.backward(guess), resamples)


def judged_on_unseen(
    embeddings: dict[str, NDArray[np.float32]], tiles: Sequence[LabelledTile], unseen: set[str]
) -> list[Row]:
    """Rows of the tasks that follow from the maps, tested on the `unseen` patients."""
    rows = []
    for task in (task for task in TASKS if task.name in FROM_MAPS):
        usable = [i for i, tile in enumerate(tiles) if task.label in tile.labels]
        mine = [tiles[i] for i in usable]
        y = np.array([float(tile.labels[task.label]) for tile in mine])
        found = {name: on_unseen(task, x[usable], y, mine, unseen) for name, x in embeddings.items()}
        counts = sum(tile.patient in unseen for tile in mine), len(unseen & {tile.patient for tile in mine})
        for which, metric in enumerate(("R2", f"MAE ({task.unit})")):
            for name, draws in found.items():
                base = found[name.replace(BY_KIND, TISSUE).replace(BOTH, TISSUE)][which]
                gap = None if base is draws[which] else intervals.paired(draws[which], base)
                score = intervals.interval(draws[which])
                rows.append(Row(task.name, metric, name, embeddings[name].shape[1], score, gap, *counts))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Graphs with and without nuclei, judged by patient.")
    parser.add_argument("--detector", default="stardist")
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--kept", type=Path, required=True, help="embeddings, made here or taken from here")
    parser.add_argument("--sources", nargs="+", default=["monuseg", "tnbc", "breakhis"])
    parser.add_argument("--unseen", nargs="*", default=[], help="patients that the detector never saw")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tiles = chosen(labelled_tiles(data_root(), arguments.sources))
    if not arguments.kept.exists():
        with torch.no_grad():
            np.savez(arguments.kept, **embedded(tiles, load(arguments.model), arguments.detector))
    with np.load(arguments.kept) as kept:
        embeddings = {name: kept[name] for name in kept.files}
    print(f"{len(tiles)} tiles, {embeddings.pop('nuclei').sum():.0f} nuclei\n")
    unseen = set(arguments.unseen)
    if unseen:
        print(markdown(judged_on_unseen(embeddings, tiles, unseen)), "\n")
    others = [task for task in TASKS if task.name not in FROM_MAPS]
    for family in dict.fromkeys(name.partition(":")[0] for name in embeddings):
        own = {name: x for name, x in embeddings.items() if name.startswith(family)}
        evaluate(own, tiles, f"{family}: {TISSUE}", tasks=others)
        print()


if __name__ == "__main__":
    main()
