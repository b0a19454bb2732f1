"""Numbers of explanations, tile by tile, and what they come to: tables with intervals over patients, and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.explained import AREA, NUCLEI, SHARE, SHOWN, WITHOUT
from hmgdm_plugin.report.lines import curves as draw_curves
from hmgdm_plugin.training import intervals
from hmgdm_plugin.zoo.card import Head

METHODS = (*SHOWN, WITHOUT, SHARE)
ORDERS = (*METHODS, NUCLEI, AREA)
CONTACTS = "contact gradient x input"
STEPS = 10

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


def over_patients(values: Sequence[float] | Floats, patients: Sequence[str]) -> intervals.Interval:
    """Mean over tiles with its interval over patients; tiles without a number are left out.

    `KeyError` where no tile has one, as where a column was not measured.
    """
    numbers = np.asarray(values, np.float64)
    known = np.isfinite(numbers)
    if not known.any():
        raise KeyError("no tile has a number")
    weights = intervals.resamples(np.asarray(patients, str)[known])
    return intervals.interval(weights @ numbers[known] / weights.sum(1))


def cell(values: Callable[[], Sequence[float] | Floats], patients: Sequence[str]) -> str:
    """An interval as text, "-" where nothing was measured or, as for an importance that is constant, nothing can be."""
    try:
        return str(over_patients(values(), patients))
    except KeyError:
        return "-"


def table(found: Measured, seeds: Mapping[str, Sequence[float]]) -> str:
    """The table of one head as markdown."""
    lines = ["| order | deletion v random | v nuclei | insertion v random | v nuclei | shift | seed | nuclei |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name in ORDERS:
        gaps = [(way, rival) for way in ("deletion", "insertion") for rival in ("random", NUCLEI)]
        cells = [
            "-" if rival == name else cell(lambda w=way, r=rival, o=name: found.gap(w, o, r), found.patients)
            for way, rival in gaps
        ]
        cells.append(cell(lambda o=name: found.numbers["shift", o], found.patients))
        cells.append(cell(lambda o=name: seeds[o], found.patients))
        cells.append(cell(lambda o=name: found.numbers["nuclei", o], found.patients))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    gap = cell(lambda: found.gap("contact deletion", CONTACTS, "random"), found.patients)
    lines.append(f"| {CONTACTS} | {gap} | - | - | - | - | - | - |")
    return "\n".join(lines)


def versus(found: Measured, seeds: Mapping[str, Sequence[float]], first: str) -> str:
    """How much better the method `first` is than every other, tile by tile, as markdown."""
    lines = [f"| {first} against | deletion | insertion | shift | seed | nuclei |", "|---|---|---|---|---|---|"]
    for name in METHODS:
        if name == first:
            continue
        differences = [
            *(lambda w=way, o=name: found.gap(w, first, o) for way in ("deletion", "insertion")),
            lambda o=name: np.subtract(found.numbers["shift", first], found.numbers["shift", o]),
            lambda o=name: np.subtract(seeds[first], seeds[o]),
            lambda o=name: np.subtract(found.numbers["nuclei", first], found.numbers["nuclei", o]),
        ]
        shown = [cell(each, found.patients) for each in differences]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def pictures(found: Measured, shown: Head, folder: Path) -> None:
    """Both curves of one head: change of the answer in its deviations, mean over tiles with 95 % interval."""
    share = 100 * np.arange(STEPS + 1) / STEPS
    for way, start, text in (("deletion", 0, "removed"), ("insertion", -1, "kept")):
        series = {}
        for name in (*SHOWN, WITHOUT, NUCLEI, "random"):
            rows = np.stack(found.curves[way, name]) / found.deviation()
            rows = rows - rows[:, [start]]
            bands = [over_patients(column, found.patients) for column in rows.T]
            series[name] = tuple(np.array([getattr(b, part) for b in bands]) for part in ("value", "low", "high"))
        path = folder / f"explanation-{shown.name}-{way}.png"
        axes = f"{text}, most important first (%)", "change (deviations of the answer)"
        draw_curves(path, share, series, f"{shown.title}: {way}", *axes)
