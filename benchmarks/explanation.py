"""Can the importance of entities be believed? Every method that `hmgdm explain` shows, beside what it has to beat.

    python -m benchmarks.explanation TILES.csv FOLDER [--model hmgdm-small] [--per-patient 3]

TILES.csv is that of `python -m benchmarks.tiles TILES.csv --sources monuseg tnbc`. Prints a table per head and writes
the curves as pictures into FOLDER. Columns, each with its 95 % interval over patients:

- deletion, insertion: how much lower (higher) the answer lies, while entities go out (come in) in the method's order,
  than in random order, and than with the entities of the largest nuclear share first; mean over the curve, in
  deviations of the answer over the tiles. `area` (largest entity first) is an order that anybody can guess.
- shift: rank correlation of the importance drawn on pixels with that of the same tile 3 px (1.5 microns) further.
- seed: rank correlation over entities with the importance for a head taught again, from another seed (regressions).
- nuclei: chance that a nuclear pixel is drawn as more important than another pixel of its tile.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.believed import CONTACTS, METHODS, ORDERS, STEPS, Measured, pictures, table, versus
from benchmarks.explained import (
    AREA,
    SHOWN,
    Look,
    contact_curve,
    head_of,
    importances,
    look,
    nuclear_mask,
)
from hmgdm_plugin.analysis.faithful import Explained
from hmgdm_plugin.model.heads import GatedHead
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.importance import both_curves
from hmgdm_plugin.training import metrics
from hmgdm_plugin.training.labelled import LabelledTile, read_csv
from hmgdm_plugin.zoo.card import Head
from hmgdm_plugin.zoo.load import LoadedModel, load

RANDOM_ORDERS = 3
SHIFTS_PX = ((3, 0), (0, 3))
GRID = 4  # every so many pixels are compared

Floats = NDArray[np.float64]


def some(tiles: Sequence[LabelledTile], per_patient: int) -> list[LabelledTile]:
    """Evenly spread tiles of every patient."""
    own: dict[str, list[LabelledTile]] = {}
    for tile in tiles:
        own.setdefault(tile.patient, []).append(tile)
    return [each[k] for each in own.values() for k in np.linspace(0, len(each) - 1, per_patient).round().astype(int)]


def measure(
    tiles: Sequence[LabelledTile], looks: Sequence[Look], model: LoadedModel, shown: Head, seed: int = 0
) -> Measured:
    """Everything but the seed of the head, for one head."""
    out, rng = Measured(), np.random.default_rng(seed)
    for tile, seen in zip(tiles, looks, strict=True):
        mask = nuclear_mask(tile, len(seen.labels))
        said, scores = importances(seen, model, shown, mask)
        out.patients.append(tile.patient)
        out.answers.append(said.value)
        head = head_of(model, shown)
        _curves(out, seen, model.encoder, head, said, scores, rng)
        _contacts(out, seen, model.encoder, head, said, rng)
        for name in (*METHODS, AREA):
            drawn = scores[name][seen.labels][::GRID, ::GRID].ravel()
            ones = np.ones((1, drawn.size))
            pixels = np.stack([-drawn, drawn], axis=1)
            nuclear = mask[::GRID, ::GRID].ravel().astype(np.int64)
            out.number("nuclei", name, float(metrics.auroc(nuclear, pixels, ones)[0]))
        if tile.source == "monuseg":
            _shifts(out, tile, seen, model, shown, scores)
        else:  # the tile is the whole image: nothing lies beside it
            for name in METHODS:
                out.number("shift", name, np.nan)
    return out


def _curves(
    out: Measured,
    seen: Look,
    encoder: HMGDM,
    head: GatedHead,
    said: Explained,
    scores: Mapping[str, Floats],
    rng: np.random.Generator,
) -> None:
    n = len(said.gate)
    orders = [(name, np.argsort(-scores[name], kind="stable")) for name in ORDERS]
    orders += [("random", rng.permutation(n)) for _ in range(RANDOM_ORDERS)]
    every = [torch.from_numpy(order.astype(np.int64)) for _, order in orders]
    both = both_curves(encoder, head, seen.encoded.latent, every, STEPS)
    for way, values in zip(("deletion", "insertion"), both, strict=True):
        found = values[:, :, said.output].double().numpy()
        for name in (*ORDERS, "random"):
            out.curve(way, name, found[[k for k, (own, _) in enumerate(orders) if own == name]].mean(0))


def _contacts(
    out: Measured, seen: Look, encoder: HMGDM, head: GatedHead, said: Explained, rng: np.random.Generator
) -> None:
    orders = [(CONTACTS, np.argsort(-said.contacts, kind="stable"))]
    orders += [("random", rng.permutation(len(said.contacts))) for _ in range(RANDOM_ORDERS)]
    latent = seen.encoded.latent
    found: dict[str, list[Floats]] = {}
    for name, order in orders:
        wanted = torch.from_numpy(order.astype(np.int64))
        found.setdefault(name, []).append(contact_curve(encoder, head, latent, wanted, said.output, STEPS))
    for name, rows in found.items():
        out.curve("contact deletion", name, np.mean(rows, axis=0))


def _shifts(
    out: Measured, tile: LabelledTile, seen: Look, model: LoadedModel, shown: Head, scores: Mapping[str, Floats]
) -> None:
    """Rank correlation with the same tile moved, towards the middle of the image, on the pixels that both show."""
    sign = [1 if start < 244 else -1 for start in (tile.x_px, tile.y_px)]
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for across, down in SHIFTS_PX:
        dx, dy = across * sign[0], down * sign[1]
        moved = look(tile, model, (dx, dy))
        _, others = importances(moved, model, shown)
        size = len(seen.labels)
        here = np.s_[max(dy, 0) : size + min(dy, 0) : GRID, max(dx, 0) : size + min(dx, 0) : GRID]
        there = np.s_[max(-dy, 0) : size + min(-dy, 0) : GRID, max(-dx, 0) : size + min(-dx, 0) : GRID]
        for name in METHODS:
            a, b = scores[name][seen.labels][here].ravel(), others[name][moved.labels][there].ravel()
            found[name].append(float(metrics.spearman(a, b, np.ones((1, len(a))))[0]))
    for name, values in found.items():
        out.number("shift", name, float(np.mean(values)))


LABELS = {"nuclear-density": "density", "nuclear-area": "area"}  # of the heads that are taught again


def main() -> None:
    from benchmarks.retaught import seeds_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--heads", nargs="+", default=["nuclear-density", "nuclear-area", "organ"])
    parser.add_argument("--per-patient", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = load(asked.model)
    tiles = some(read_csv(asked.tiles), asked.per_patient)
    looks = [look(tile, model) for tile in tiles]
    specs = {spec.name: spec for spec in model.card.head}
    for name in asked.heads:
        label = LABELS.get(name, "")
        found = measure(tiles, looks, model, specs[name])
        seeds = seeds_of(tiles, looks, model, specs[name], label) if label else {}
        print(f"\n{specs[name].title}, {len(tiles)} tiles of {len(set(found.patients))} patients\n", flush=True)
        print(table(found, seeds), flush=True)
        print(f"\nHow much better, tile by tile:\n\n{versus(found, seeds, SHOWN[0])}", flush=True)
        pictures(found, specs[name], asked.folder)


if __name__ == "__main__":
    main()
