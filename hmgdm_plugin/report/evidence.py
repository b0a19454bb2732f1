"""The picture of an evaluation: scores of all rows on every yardstick, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Score = tuple[float, float, float]  # value, low, high
_ACROSS = 4
_ABOVE, _BELOW, _LEVEL, _REFERENCE = "#00502A", "#B4530A", "#6E6E6E", "#0072B2"


def evidence(
    path: Path, rows: Sequence[str], panels: Mapping[str, Mapping[str, tuple[Score, str]]], reference: str
) -> None:
    """Draw one panel per yardstick.

    Parameters
    ----------
    path : Path
        PNG to write.
    rows : names, from top to bottom
    panels : yardstick > row > (score, mark); the mark is that of `evaluation.reading`
    reference : the row whose score is drawn through every panel
    """
    from matplotlib.figure import Figure

    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    size = (1.6 + 2.6 * across, 0.5 + down * (0.55 + 0.2 * len(rows)))
    figure = Figure(figsize=size, dpi=canvas.DPI, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for each, (name, scores) in zip(axes, panels.items(), strict=False):
        _panel(each, rows, scores, reference)
        each.set_title(name, loc="left", size=9, weight="bold")
    for each in axes[len(panels) :]:
        each.set_visible(False)
    canvas.save(figure, path)


def _panel(axes: Axes, rows: Sequence[str], scores: Mapping[str, tuple[Score, str]], reference: str) -> None:
    colours = {"▲": _ABOVE, "▼": _BELOW, "": _LEVEL}
    lowest = min(value for (value, _, _), _ in scores.values())
    for place, row in enumerate(rows):
        if row not in scores:
            continue
        (value, low, high), mark = scores[row]
        colour = _REFERENCE if row == reference else colours[mark]
        axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
        axes.plot([value], [place], "o", color=colour, markersize=4)
    if reference in scores:
        axes.axvline(scores[reference][0][0], color=_REFERENCE, linewidth=0.7, alpha=0.6)
    axes.set_xlim(left=max(lowest - 0.25, axes.get_xlim()[0]))
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="x", labelsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.6)
