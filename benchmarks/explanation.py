"""Can the importance of entities be believed? Every method that `hmgdm explain` shows, beside what it has to beat.

    python -m benchmarks.explanation TILES.csv FOLDER [--model hmgdm-small] [--per-patient 2]

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.explained import (
    AREA,
    NUCLEI,
    SHOWN,
    WITHOUT,
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
from hmgdm_plugin.report.pictures import curves as draw_curves
from hmgdm_plugin.training import intervals, metrics
from hmgdm_plugin.training.labelled import LabelledTile, read_csv
from hmgdm_plugin.zoo.card import Head
from hmgdm_plugin.zoo.load import LoadedModel, load

METHODS = (*SHOWN, WITHOUT)
ORDERS = (*METHODS, NUCLEI, AREA)
CONTACTS = "contact gradient x input"
STEPS, RANDOM_ORDERS = 10, 3
SHIFTS_PX = ((3, 0), (0, 3))
GRID = 4  # every so many pixels are compared

Floats = NDArray[np.float64]


@dataclass
class Measured:
    """Numbers of each tile: curves by way and order, and single numbers by column and method."""

    patients: list[str] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    curves: dict[tuple[str, str], list[Floats]] = field(default_factory=dict)
    numbers: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def curve(self, way: str, order: str, values: Floats) -> None:
        self.curves.setdefault((way, order), []).append(values)

    def number(self, column: str, method: str, value: float) -> None:
        self.numbers.setdefault((column, method), []).append(value)

    def deviation(self) -> float:
        """Of the answer over the tiles: the unit of the curves."""
        return max(float(np.std(self.answers)), 1e-9)

    def gap(self, way: str, order: str, rival: str) -> Floats:
        """How much better than `rival` an order is, per tile: lower while deleting, higher while inserting."""
        sign = 1 if way.endswith("deletion") else -1
        mean = {name: np.stack(self.curves[way, name])[:, 1:-1].mean(1) for name in (order, rival)}
        return sign * (mean[rival] - mean[order]) / self.deviation()


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
            found[name].append(rank_correlation(a, b))
    for name, values in found.items():
        out.number("shift", name, float(np.mean(values)))


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's, ties at their middle rank."""
    return float(metrics.spearman(a, b, np.ones((1, len(a))))[0])


def over_patients(values: Sequence[float] | Floats, patients: Sequence[str]) -> intervals.Interval:
    """Mean over tiles with its interval over patients; tiles without a number are left out."""
    numbers = np.asarray(values, np.float64)
    known = np.isfinite(numbers)
    weights = intervals.resamples(np.asarray(patients, str)[known])
    return intervals.interval(weights @ numbers[known] / weights.sum(1))


def table(found: Measured, seeds: Mapping[str, Sequence[float]]) -> str:
    """The table of one head as markdown."""
    lines = ["| order | deletion v random | v nuclei | insertion v random | v nuclei | shift | seed | nuclei |"]
    lines.append("|---|---|---|---|---|---|---|---|")

    def cell(values: Callable[[], Sequence[float] | Floats]) -> str:
        try:
            return str(over_patients(values(), found.patients))
        except KeyError:
            return "-"

    for name in ORDERS:
        gaps = [(way, rival) for way in ("deletion", "insertion") for rival in ("random", NUCLEI)]
        cells = [
            "-" if rival == name else cell(lambda w=way, r=rival, o=name: found.gap(w, o, r)) for way, rival in gaps
        ]
        cells.append(cell(lambda o=name: found.numbers["shift", o]))
        cells.append(cell(lambda o=name: seeds[o]))
        cells.append(cell(lambda o=name: found.numbers["nuclei", o]))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    gap = cell(lambda: found.gap("contact deletion", CONTACTS, "random"))
    lines.append(f"| {CONTACTS} | {gap} | - | - | - | - | - | - |")
    return "\n".join(lines)


def pictures(found: Measured, shown: Head, folder: Path) -> None:
    """Both curves of one head: change of the answer in its deviations, mean over tiles with 95 % interval."""
    share = 100 * np.arange(STEPS + 1) / STEPS
    for way, start, text in (("deletion", 0, "removed"), ("insertion", -1, "kept")):
        series = {}
        for name in (*METHODS, NUCLEI, "random"):
            rows = np.stack(found.curves[way, name]) / found.deviation()
            rows = rows - rows[:, [start]]
            bands = [over_patients(column, found.patients) for column in rows.T]
            series[name] = tuple(np.array([getattr(b, part) for b in bands]) for part in ("value", "low", "high"))
        path = folder / f"explanation-{shown.name}-{way}.png"
        axes = f"{text}, most important first (%)", "change (deviations of the answer)"
        draw_curves(path, share, series, f"{shown.title}: {way}", *axes)


def main() -> None:
    from benchmarks.retaught import seeds_of

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiles", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--heads", nargs="+", default=["nuclear-density", "nuclear-area", "organ"])
    parser.add_argument(
        "--labels", nargs="+", default=["density", "area", ""], help="of the heads, for those taught again"
    )
    parser.add_argument("--per-patient", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = load(asked.model)
    tiles = some(read_csv(asked.tiles), asked.per_patient)
    looks = [look(tile, model) for tile in tiles]
    specs = {spec.name: spec for spec in model.card.head}
    for name, label in zip(asked.heads, asked.labels, strict=True):
        found = measure(tiles, looks, model, specs[name])
        seeds = seeds_of(tiles, looks, model, specs[name], label) if label else {}
        print(f"\n{specs[name].title}, {len(tiles)} tiles of {len(set(found.patients))} patients\n", flush=True)
        print(table(found, seeds), flush=True)
        pictures(found, specs[name], asked.folder)


if __name__ == "__main__":
    main()
