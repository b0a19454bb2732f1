"""Heads taught again: from another seed, and on how much of a tile is of one type, without saying where.

    python -m benchmarks.retaught TILES.csv TYPE [--model hmgdm-small] [--folds 5]

TILES.csv has typed nuclei (`benchmarks.tiles --sources crchisto`, or `histolytics`). A head learns the share of TYPE,
a number per tile, on some images; on the others the table says how often a nucleus of that type lies in an entity of
higher importance than another nucleus of the same tile, by method. `haematoxylin` and `area` of the entity are what
anybody could guess by.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.believed import METHODS
from benchmarks.explained import AREA, Look, importances, look
from benchmarks.squares import inside
from benchmarks.typed import Nuclei, crchisto_nuclei, histolytics_nuclei
from hmgdm_plugin.model.heads import GatedHead
from hmgdm_plugin.training import intervals, metrics
from hmgdm_plugin.training.folds import patient_folds
from hmgdm_plugin.training.heads import Task, Tokens, fit_head, predict_head
from hmgdm_plugin.training.labelled import LabelledTile, data_root, read_csv
from hmgdm_plugin.zoo.card import Head
from hmgdm_plugin.zoo.load import LoadedModel, load

HAEMATOXYLIN = "haematoxylin"
FEWEST = 3  # nuclei of the type, and of other types, that a tile needs to be asked
NUCLEI = {"crchisto": crchisto_nuclei, "histolytics": histolytics_nuclei}

Floats = NDArray[np.float64]


def tokens_of(looks: Sequence[Look], kinds: int) -> Tokens:
    """What heads learn from."""
    return Tokens.of([(seen.encoded.tokens, seen.encoded.latent) for seen in looks], kinds)


def with_head(model: LoadedModel, shown: Head, head: GatedHead) -> LoadedModel:
    """The same model with `head` for the head called by `shown`."""
    return replace(model, heads={**model.heads, shown.name: head})


def seeds_of(
    tiles: Sequence[LabelledTile], looks: Sequence[Look], model: LoadedModel, shown: Head, label: str
) -> dict[str, list[float]]:
    """Rank correlation, per tile and method, of the importance for two heads taught from different seeds."""
    head = model.heads[shown.name]
    assert isinstance(head, GatedHead)
    weight, own = head.linear.weight, head.token_mean.numel()
    spread = bool(weight[:, -own:].any())
    task = Task("regression", 1, shown.transform, spread, amounts_only=not spread and not bool(weight[:, :own].any()))
    target = np.array([tile.labels[label] for tile in tiles], np.float64)
    patients = [tile.patient for tile in tiles]
    twins = [
        with_head(
            model, shown, fit_head(task, tokens_of(looks, head.kinds), target, patients, seed).requires_grad_(False)
        )
        for seed in (1, 2)
    ]
    out: dict[str, list[float]] = {name: [] for name in METHODS}
    for seen in looks:
        first, second = (importances(seen, twin, shown)[1] for twin in twins)
        for name in METHODS:
            n = np.ones((1, len(first[name])))
            out[name].append(float(metrics.spearman(first[name], second[name], n)[0]))
    return out


def pointed(
    tiles: Sequence[LabelledTile], looks: Sequence[Look], model: LoadedModel, kind: str, folds: int
) -> tuple[dict[str, list[float]], list[str], Floats]:
    """Per tile that can be asked: chance by method, and its slide; and the share that was predicted for every tile."""
    slides = [tile.slide for tile in tiles]
    share = np.array([tile.labels[f"share_{kind}"] for tile in tiles], np.float64)
    fold, tokens = patient_folds(slides, folds, 0), tokens_of(looks, model.encoder.kinds)
    shown = Head(name="share", title=f"share of {kind}", kind="regression")
    nuclei = NUCLEI[tiles[0].source](data_root())
    known = {path.resolve(): own for path, own in nuclei.items()}
    out: dict[str, list[float]] = {name: [] for name in (*METHODS, HAEMATOXYLIN, AREA)}
    asked, guess = [], np.zeros(len(tiles))
    for number in range(folds):
        fit, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        task = Task("regression", 1, spread=False)
        head = fit_head(task, tokens.pick(fit), share[fit], [slides[k] for k in fit]).requires_grad_(False)
        guess[test] = predict_head(head, tokens.pick(test))[:, 0]
        for k in test:
            entities, own = under(tiles[k], looks[k], known[tiles[k].image.resolve()], kind)
            if min(own.sum(), (~own).sum()) < FEWEST:
                continue
            asked.append(slides[k])
            for name, score in _scores(looks[k], with_head(model, shown, head), shown):
                values = np.stack([-score[entities], score[entities]], axis=1)
                out[name].append(float(metrics.auroc(own.astype(np.int64), values, np.ones((1, len(own))))[0]))
    return out, asked, guess


def under(tile: LabelledTile, seen: Look, nuclei: Nuclei, kind: str) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Entity under each typed nucleus of the tile, and whether the nucleus is of that kind."""
    centres, types = nuclei
    here = inside(centres, tile.x_px, tile.y_px, tile.side_px) & (types != "")
    step = tile.side_px / len(seen.labels)
    x, y = ((centres[here] - (tile.x_px, tile.y_px)) / step).astype(int).clip(0, len(seen.labels) - 1).T
    return seen.labels[y, x], types[here] == kind


def _scores(seen: Look, model: LoadedModel, shown: Head) -> Iterator[tuple[str, Floats]]:
    """Importance of the entities by method, then what anybody could guess by."""
    from skimage.color import rgb2hed

    found = importances(seen, model, shown)[1]
    yield from ((name, found[name]) for name in (*METHODS, AREA))
    stain = rgb2hed(seen.encoded.rgb)[..., 0]
    yield HAEMATOXYLIN, np.bincount(seen.labels.ravel(), stain.ravel()) / np.bincount(seen.labels.ravel())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("type")
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--folds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = load(asked.model)
    tiles = [tile for tile in read_csv(asked.tiles) if f"share_{asked.type}" in tile.labels]
    looks = [look(tile, model) for tile in tiles]
    found, slides, guess = pointed(tiles, looks, model, asked.type, asked.folds)
    share = np.array([tile.labels[f"share_{asked.type}"] for tile in tiles], np.float64)
    weights = intervals.resamples([tile.slide for tile in tiles])
    print(f"share of {asked.type}: R2 {intervals.interval(metrics.r2(share, guess, weights))}, {len(tiles)} tiles")
    print(f"\n| {asked.type} nuclei first | chance, {len(slides)} tiles of {len(set(slides))} images |\n|---|---|")
    weights = intervals.resamples(slides)
    for name, values in found.items():
        print(f"| {name} | {intervals.interval(weights @ np.array(values) / weights.sum(1))} |")


if __name__ == "__main__":
    main()
