"""Does the slide graph see arrangement? A simulated cohort with a known answer, from real tiles.

    python -m benchmarks.survival --cache DIR [--slides 200] [--model hmgdm-small] [--seed 0]

Each slide is a square of real tiles (MoNuSeg and TNBC, embedded by the model), some rich in nuclei, some poor. How many
are rich is drawn by chance and means nothing. How they lie, in islands or strewn, sets the hazard: its logarithm is
`EFFECT` standard deviations of the share of rich-poor contacts. The mean of the tiles cannot know that; neighbours can.
The same tile images recur in many slides; where they lie does not.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.tiles import build
from hmgdm_plugin.analysis.survival import cross_validated, measured
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.studies import OutcomeSettings, RiskSettings, SurvivalSettings
from hmgdm_plugin.survival.concordance import concordance
from hmgdm_plugin.survival.fit import Patient, outcomes_of, patient_of
from hmgdm_plugin.survival.slides import SlideFeatures
from hmgdm_plugin.training.labelled import data_root
from hmgdm_plugin.zoo.digest import verify
from hmgdm_plugin.zoo.load import find

SIDE = 8  # tiles along a slide
EFFECT = 1.5
CENSORED = 0.3
TILE_PX = 256.0
Floats = NDArray[np.float64]


def simulated(
    rich: NDArray[np.float32], poor: NDArray[np.float32], slides: int, seed: int, near: int = 8
) -> list[Patient]:
    """Patients of one slide each, of tiles drawn from `rich` and `poor` (tiles, D)."""
    rng = np.random.default_rng(seed)
    maps = _maps(rng, slides)
    contacts = np.array([mixing(each) for each in maps])
    hazard = np.exp(EFFECT * (contacts - contacts.mean()) / contacts.std())
    event_time = rng.exponential(1 / hazard)
    follow_up = rng.uniform(0, np.quantile(event_time, 1 - CENSORED) * 2, slides)
    corners = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2) * TILE_PX
    patients = []
    for number, each in enumerate(maps):
        rows = [rng.choice(rich) if tile else rng.choice(poor) for tile in each.ravel()]
        slide = SlideFeatures(f"s{number:03d}", corners, TILE_PX, np.stack(rows))
        outcome = (float(min(event_time[number], follow_up[number])), bool(event_time[number] <= follow_up[number]))
        patients.append(patient_of(slide.name, [slide], outcome, near))
    return patients


def best_reachable(patients: Sequence[Patient], seed: int) -> float:
    """C-index of the arrangement itself, which sets the hazard of `simulated` patients of that seed."""
    contacts = np.array([mixing(each) for each in _maps(np.random.default_rng(seed), len(patients))])
    return float(concordance(*outcomes_of(patients), contacts)[0])


def _maps(rng: np.random.Generator, slides: int) -> list[NDArray[np.bool_]]:
    return [_arranged(rng) for _ in range(slides)]


def mixing(rich: NDArray[np.bool_]) -> float:
    """Share of contacts (right and down) between unlike tiles of a map (rows, columns)."""
    unlike = np.concatenate([(rich[1:] != rich[:-1]).ravel(), (rich[:, 1:] != rich[:, :-1]).ravel()])
    return float(unlike.mean())


def _arranged(rng: np.random.Generator) -> NDArray[np.bool_]:
    """A map of rich tiles: 40 to 60 % of them, where noise of a random grain is highest."""
    grain = rng.uniform(0, 2)
    field = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), grain)
    return field > np.quantile(field, rng.uniform(0.4, 0.6))


def real_tiles(model: str, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Embeddings of real tiles, the upper and the lower 40 % by number of nuclei; computed once, kept in `cache`."""
    tiles = build(data_root(), ("monuseg", "tnbc"))
    path = cache / f"tiles-{verify(find(model))[:12]}.npz"
    if not path.exists():
        from hmgdm_plugin.analysis.labelled import encoded_tiles
        from hmgdm_plugin.zoo.load import load

        pooled = np.stack([tile.pooled.numpy() for tile in encoded_tiles(tiles, load(model), Events())])
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, x=pooled)
        os.replace(partial, path)
    x = np.load(path, allow_pickle=False)["x"]
    count = np.array([float(tile.labels["count"]) for tile in tiles])
    low, high = np.quantile(count, [0.4, 0.6])
    return x[count >= high], x[count <= low]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The scores of all folds together as markdown."""
    lines = ["| metric | model | value [95 %] | slide graph minus this [95 %] |", "|---|---|---|---|"]
    for row in rows:
        if row["fold"] == "all":
            value = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
            lines.append(f"| {row['metric']} | {row['model']} | {value} | {row['graph_minus_this'] or '-'} |")
    return "\n".join(lines)


def settings_for(seed: int, folds: int = 5, **risk: Any) -> SurvivalSettings:
    """The verb's own defaults; the paths are never read."""
    nowhere = Path()
    risks = RiskSettings(**risk)
    return SurvivalSettings(
        features=(nowhere,), outcome=OutcomeSettings(path=nowhere), risk=risks, folds=folds, seed=seed
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Slide graph against tile mean where the hazard is the arrangement.")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the embeddings, outside the repository")
    parser.add_argument("--slides", type=int, default=200)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rich, poor = real_tiles(arguments.model, arguments.cache)
    start_s = time.perf_counter()
    patients = simulated(rich, poor, arguments.slides, arguments.seed)
    rows = measured(cross_validated(patients, settings_for(arguments.seed), Events()))
    print(f"{len(patients)} slides of {SIDE * SIDE} tiles, {sum(p.event for p in patients)} events\n\n{table(rows)}")
    print(f"\nThe arrangement itself, which nobody is told: C-index {best_reachable(patients, arguments.seed):.3f}")
    print(f"5 folds, three models each, in {time.perf_counter() - start_s:.0f} s")


if __name__ == "__main__":
    main()
