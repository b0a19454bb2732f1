"""Do nuclei help? The same tiles as graphs of tissue and of tissue and nuclei, judged by patient.

    python -m benchmarks.nuclei_help --kept FILE.npz [--held-out FILE.json]

Nuclei are a detector's, never the true maps, which are the labels. A detector that learnt from the maps of a patient
knows more of that patient's tiles than of new ones, so `--held-out` names for each patient a detector that never saw
that patient (JSON, patient > folder): those of the folds, as `benchmarks.nuclei_folds` writes them.
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
from benchmarks.yardstick import table
from hmgdm_plugin.analysis.finders import Finders
from hmgdm_plugin.analysis.labelled import random_twin
from hmgdm_plugin.analysis.nuclei import nuclei_of
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.model.batch import LatentBatch, subgraph
from hmgdm_plugin.model.segments import segment_mean
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.labelled import LabelledTile, data_root
from hmgdm_plugin.zoo.load import LoadedModel, load

TISSUE, BOTH, BY_KIND = "tissue", "tissue+nuclei", "tissue, nuclei apart"


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
    tiles: Sequence[LabelledTile], model: LoadedModel, finders: Finders
) -> Iterator[tuple[LatentBatch, LatentBatch, int]]:
    """Stage-2 attributes of each tile without and with nuclei, and the number of nuclei."""
    settings, events = model.card.graph, Events()
    for (image, mpp, patient), group in groupby(tiles, lambda tile: (tile.image, tile.mpp, tile.patient)):
        with open_slide(image, mpp) as slide:
            own = [Tile(t.x_px, t.y_px, t.side_px, settings.tile_px, settings.mpp) for t in group]
            nuclei = nuclei_of(finders.of(patient), slide, own, events, 1)
            for tile in own:
                rgb = slide.read(tile.x_px, tile.y_px, tile.side_px, tile.size_px)
                found = nuclei.map(tile)
                graph, labels = build(rgb, tile, slide.name, settings, found)
                both = model.features(batched([graph]))
                whole = torch.from_numpy(np.bincount(labels.ravel()) / labels.size).float()
                yield replace(subgraph(both, both.kind == 0), area=whole), both, len(found)


def embedded(tiles: Sequence[LabelledTile], model: LoadedModel, finders: Finders) -> dict[str, NDArray[np.float32]]:
    """Embeddings (tiles, d) by name; `nuclei` (tiles, 1) is how many there were."""
    twin, rows, start = random_twin(model, 0), [], time.perf_counter()
    for number, (tissue, both, count) in enumerate(graphs(tiles, model, finders), 1):
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Graphs with and without nuclei, judged by patient.")
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--kept", type=Path, required=True, help="embeddings, made here or taken from here")
    parser.add_argument("--sources", nargs="+", default=["monuseg", "tnbc", "breakhis"])
    parser.add_argument("--held-out", type=Path, help="JSON: patient > detector that never saw that patient")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tiles = chosen(labelled_tiles(data_root(), arguments.sources))
    finders = Finders.read(arguments.held_out)
    if not arguments.kept.exists():
        with torch.no_grad():
            np.savez(arguments.kept, **embedded(tiles, load(arguments.model), finders))
    with np.load(arguments.kept) as kept:
        embeddings = {name: kept[name] for name in kept.files}
    counts = embeddings["nuclei"]
    print(f"{len(tiles)} tiles, {counts.sum():.0f} nuclei, {np.median(counts):.0f} in the median tile\n")
    embeddings["nuclei"] = np.log1p(counts)
    print(table(embeddings, tiles, f"entity features: {TISSUE}"))


if __name__ == "__main__":
    main()
