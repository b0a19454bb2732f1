"""The page and the figures of a study: curves of survival, tables of confusion, reliability of probabilities."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import canvas
from .page import Picture, write_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#6E6E6E", "#56B4E9", "#E69F00")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """A table under its heading."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


@dataclass(frozen=True)
class StudyPage:
    """What the page says, from top to bottom; `pictures` by heading."""

    title: str
    subject: str
    summary: str
    notes: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Steps:
    """Share free of the event (k,) from `times` (k,) on, with its interval, and how many are at risk at the ticks."""

    name: str
    times: Floats
    survival: Floats
    low: Floats
    high: Floats
    at_risk: Sequence[int]


def write_study(path: Path, page: StudyPage) -> None:
    """Write the page of a study; raises as `page.write_report`."""
    write_page(path, "study.html", page=page)


def kaplan_meier(path: Path, groups: Sequence[Steps], ticks: Floats, title: str, unit: str, note: str) -> None:
    """Draw curves of groups with their intervals and, under each tick, the numbers at risk.

    Parameters
    ----------
    path : Path
        PNG to write.
    groups : sequence of Steps
        At most six.
    ticks : (t,)
        Times at which the numbers at risk are given.
    title, unit, note : str
        Heading; unit of the time; what stands inside the picture, such as the p value.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.1 + 0.26 * len(groups)), dpi=canvas.DPI, layout="constrained")
    heights = [3.4, 0.36 + 0.24 * len(groups)]
    axes, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.02})
    for group, colour in zip(groups, COLOURS, strict=False):
        axes.step(group.times, group.survival, where="post", color=colour, linewidth=1.8, label=group.name)
        axes.fill_between(group.times, group.low, group.high, step="post", color=colour, alpha=0.15, linewidth=0)
    axes.set(ylim=(0, 1.03), xlim=(0, float(ticks[-1]) * 1.02), ylabel="share free of the event", xticks=ticks)
    legend = axes.legend(frameon=False, loc="best", title=note)
    legend.set_alignment("left")
    legend.get_title().set_parse_math(False)
    axes.tick_params(labelbottom=True)
    axes.set_xlabel(f"time ({unit})" if unit else "time", parse_math=False)
    _framed(axes, title)
    _at_risk(below, groups, ticks)
    canvas.save(figure, path)


def confusion(path: Path, counts: ArrayLike, names: Sequence[str], title: str) -> None:
    """Draw how often each class (rows) was taken for each (columns): counts (n, n), shaded by share of the row."""
    from matplotlib.figure import Figure

    table = np.asarray(counts, np.float64)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = 2.2 + 0.62 * len(names)
    figure = Figure(figsize=(side + 0.6, side), dpi=canvas.DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if share[row, column] > 0.55 else "black"
        text = f"{value:.0f}\n{100 * share[row, column]:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9.5)
    short = [textwrap.shorten(name, 18, placeholder="…") for name in names]
    axes.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="predicted", ylabel="true")
    axes.set_xticklabels(short, rotation=30 if len(names) > 3 else 0, parse_math=False)
    axes.set_yticklabels(short, parse_math=False)
    axes.set_title(textwrap.shorten(title, 44), loc="left", size=12, weight="bold", parse_math=False)
    canvas.save(figure, path)


def reliability(path: Path, bins: Mapping[str, tuple[Floats, Floats, Floats]], title: str) -> None:
    """Draw how often answers of some confidence are right: name > (confidence, share right, count), a point per bin."""
    figure, axes = _square(title)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="as sure as right")
    for (name, (sure, right, count)), colour in zip(bins.items(), COLOURS, strict=False):
        size = 12 + 90 * count / max(float(count.max(initial=1)), 1)
        axes.plot(sure, right, color=colour, linewidth=1.2)
        axes.scatter(sure, right, s=size, color=colour, label=name, alpha=0.8, linewidths=0)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence of the answer", ylabel="share of answers that are right")
    axes.legend(frameon=False, loc="upper left", fontsize=9.5)
    canvas.save(figure, path)


def _square(title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 4.6), dpi=canvas.DPI, layout="constrained")
    axes = figure.add_subplot()
    _framed(axes, title)
    return figure, axes


def _framed(axes: Axes, title: str) -> None:
    axes.set_title(textwrap.shorten(title, 60), loc="left", size=12.5, weight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.6)


def _at_risk(axes: Any, groups: Sequence[Steps], ticks: Floats) -> None:
    """Numbers under the ticks, a line per group."""
    for line, (group, colour) in enumerate(zip(groups, COLOURS, strict=False)):
        for tick, count in zip(ticks, group.at_risk, strict=True):
            axes.text(tick, -line, str(count), ha="center", va="center", fontsize=9.5, color=colour)
    axes.set(ylim=(-len(groups) + 0.4, 0.9), yticks=[-k for k in range(len(groups))])
    axes.set_yticklabels([group.name for group in groups], fontsize=9.5, parse_math=False)
    axes.tick_params(length=0, labelbottom=False, pad=16)
    axes.spines[:].set_visible(False)
    axes.set_title("at risk", loc="left", size=9.5, pad=2)
