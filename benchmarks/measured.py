"""Nuclei measured against nuclei predicted: which is nearer to the labels, on which kind of label.

    python -m benchmarks.measured TILES.csv DETECTORS.json [--model hmgdm-small] [--seeds 0 1 2]

TILES.csv is that of `python -m benchmarks.tiles TILES.csv --sources monuseg tnbc`, DETECTORS.json that of
`benchmarks.nuclei_folds`: nobody's nuclei are found by a detector that saw the patient, and no head is asked about a
patient that it learnt from. The heads learn from all labels, from those alone that are no watershed, and from the other
laboratory alone (TNBC from MoNuSeg and MoNuSeg from TNBC).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgdm_plugin.analysis.finders import Finders
from hmgdm_plugin.analysis.labelled import encoded_tiles
from hmgdm_plugin.analysis.measured import AREA, DENSITY, Measured
from hmgdm_plugin.analysis.nuclei import as_learnt
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.folds import patient_folds
from hmgdm_plugin.training.heads import Task, Tokens, fit_head, predict_head
from hmgdm_plugin.training.labelled import LabelledTile, read_csv
from hmgdm_plugin.zoo.load import LoadedModel, load

FOLDS = 6
Floats = NDArray[np.float64]
NAMES = {"density": DENSITY, "area": AREA}
TASKS = {
    "density": {
        "head": Task("regression", 1, "log", amounts_only=True),
        "head of entities and amounts": Task("regression", 1, "log", spread=False, gate=False),
    },
    "area": {"head": Task("regression", 1, "log", gate=False)},
}


def measures(tiles: Sequence[LabelledTile], model: LoadedModel, finders: Finders) -> Iterator[dict[str, float]]:
    """What is measured on the nuclei found in each tile; all of these tiles is tissue."""
    import shapely

    graph, events = model.card.graph, Events(quiet=True)
    for (image, mpp, patient), group in groupby(tiles, lambda tile: (tile.image, tile.mpp, tile.patient)):
        with open_slide(image, mpp) as slide:
            asked = [Tile(t.x_px, t.y_px, t.side_px, graph.tile_px, graph.mpp) for t in group]
            nuclei = as_learnt(model.card, slide, asked, events, finders.of(patient))
            assert nuclei is not None
            for tile in asked:
                area = shapely.area(nuclei.map(tile).outlines).astype(np.float64) * mpp**2
                yield Measured(tile.area_mm2, area.astype(np.float32)).values()


def out_of_fold(
    task: Task, tokens: Tokens, truth: Floats, use: NDArray[np.bool_], patients: list[str], seed: int
) -> Floats:
    """Answers (T,) of heads that learnt from the tiles to `use` of other patients."""
    folds, out = np.asarray(patient_folds(patients, FOLDS, seed)), np.full(len(truth), np.nan)
    for fold in range(FOLDS):
        fit, test = np.flatnonzero((folds != fold) & use), np.flatnonzero(folds == fold)
        head = fit_head(task, tokens.pick(fit), truth[fit], [patients[k] for k in fit], seed)
        out[test] = predict_head(head, tokens.pick(test))[:, 0]
    return out


def across(task: Task, tokens: Tokens, truth: Floats, sources: NDArray[np.str_], patients: list[str]) -> Floats:
    """Answers (T,) of heads that learnt from the tiles of other laboratories."""
    out = np.full(len(truth), np.nan)
    for source in np.unique(sources):
        fit, test = np.flatnonzero((sources != source) & np.isfinite(truth)), np.flatnonzero(sources == source)
        head = fit_head(task, tokens.pick(fit), truth[fit], [patients[k] for k in fit])
        out[test] = predict_head(head, tokens.pick(test))[:, 0]
    return out


def row(what: str, kinds: NDArray[np.str_], truth: Floats, said: Floats) -> str:
    """R2 and median ratio to the truth, for each kind of label."""
    cells = []
    for own in (kinds == "instances", kinds == "components", kinds == "watershed", kinds != "watershed"):
        own = own & np.isfinite(truth) & np.isfinite(said)
        y, p = truth[own], said[own]
        cells.append(f"{1 - ((y - p) ** 2).sum() / ((y - y.mean()) ** 2).sum():.2f}, {np.median(p / y):.2f}")
    return f"| {what} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Nuclei measured against nuclei predicted.")
    parser.add_argument("tiles", type=Path)
    parser.add_argument("detectors", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    asked = parser.parse_args()
    model, finders, tiles = load(asked.model), Finders.read(asked.detectors), read_csv(asked.tiles)
    found = list(measures(tiles, model, finders))
    encoded = encoded_tiles(tiles, model, Events(quiet=True), finders)
    tokens = Tokens.of([(tile.tokens, tile.latent) for tile in encoded], model.encoder.kinds)
    patients, sources = [tile.patient for tile in tiles], np.array([tile.source for tile in tiles])
    kinds = np.array([str(tile.labels["annotation"]) for tile in tiles])
    print("R2, and median of said over true, on")
    for label, tasks in TASKS.items():
        truth = np.array([float(tile.labels.get(label, np.nan)) for tile in tiles])
        print(f"\n| {label} | true outlines | TNBC | watershed | all but watershed |\n|---|---|---|---|---|")
        print(row("measured", kinds, truth, np.array([each.get(NAMES[label], np.nan) for each in found])))
        every = {"all": np.isfinite(truth), "all but watershed": np.isfinite(truth) & (kinds != "watershed")}
        for what, task in tasks.items():
            for from_what, use in every.items():
                for seed in asked.seeds:
                    said = out_of_fold(task, tokens, truth, use, patients, seed)
                    print(row(f"{what}, learnt from {from_what}, folds {seed}", kinds, truth, said), flush=True)
            said = across(task, tokens, truth, sources, patients)
            print(row(f"{what}, learnt from the other laboratory", kinds, truth, said), flush=True)


if __name__ == "__main__":
    main()
