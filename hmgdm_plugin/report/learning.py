"""The picture of a stage of pre-training: losses beside predictors without context, and what context is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from . import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, float | str]
_OWN = "#0072B2"
_SIMPLE = (("trivial", "#6E6E6E", "rescaled x_t"), ("mean", "#A8A8A8", "guessing the mean"))
_LEVELS = ("#BFE3C6", "#74C18C", "#2F9258", "#00502A", "#111111")  # from little noise to much


def learning_curves(path: Path, stage: str, rows: Sequence[Row], evaluations: Sequence[Row]) -> None:
    """Draw the log of a stage.

    Parameters
    ----------
    path : Path
        PNG to write.
    stage : str
        ``autoencoder`` or ``diffusion``.
    rows, evaluations : sequences of mappings
        As in the stage's two tables; `docs/pretrain.md` explains their columns.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from matplotlib.figure import Figure

    asked = any("context" in row for row in evaluations)
    figure = Figure(figsize=(9.6 if asked else 5.0, 4.8), dpi=canvas.DPI, layout="constrained")
    axes = figure.subplots(1, 2 if asked else 1, squeeze=False)[0]
    _losses(axes[0], rows, evaluations)
    axes[0].set_title(f"{stage}: loss", loc="left", size=12, weight="bold")
    if asked:
        _context(axes[1], evaluations)
        axes[1].set_title("what another tile's context costs", loc="left", size=12, weight="bold")
    for each in axes:
        each.set_xlabel("step")
        each.spines[["top", "right"]].set_visible(False)
        each.grid(color="0.9", linewidth=0.6)
        each.legend(frameon=False, fontsize=8.5, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    canvas.save(figure, path)


def _losses(axes: Axes, rows: Sequence[Row], evaluations: Sequence[Row]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    step, total = _column(rows, "step"), _column(rows, "total")
    axes.plot(step, total, color=_OWN, linewidth=0.5, alpha=0.35)
    axes.plot(step, _smooth(total), color=_OWN, linewidth=1.6, label="training, step by step")
    for key, colour, name in _SIMPLE:
        values = _column(rows, key)
        if np.isfinite(values).any():
            axes.plot(step, _smooth(values), color=colour, linewidth=1.2, linestyle="--", label=f"the same: {name}")
    for graphs, colour in (("training", "#004B78"), ("held-out", "#D55E00")):
        own = [row for row in evaluations if row["graphs"] == graphs and row["noise"] == "all"]
        kinds = [("loss", colour, "o-", "")]
        if graphs == "held-out":
            kinds += [("other", "#CC79A7", "o:", ", another's context")]
            kinds += [(key, grey, "o:", f", {name}") for key, grey, name in _SIMPLE]
        for key, line, style, name in kinds:
            values = _column(own, key)
            if np.isfinite(values).any():
                label = f"{graphs} graphs{name}"
                axes.plot(_column(own, "step"), values, style, color=line, markersize=3, linewidth=1.1, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel("loss")


def _context(axes: Axes, evaluations: Sequence[Row]) -> None:
    """Share of the loss per noise level: held-out graphs where there are any, else those learnt from."""
    held = any(row["graphs"] == "held-out" for row in evaluations)
    graphs = "held-out" if held else "training"
    own = [row for row in evaluations if row["graphs"] == graphs]
    levels = list(dict.fromkeys(str(row["noise"]) for row in own))
    for level, colour in zip(levels, _LEVELS[-len(levels) :], strict=False):
        some = [row for row in own if row["noise"] == level]
        name = "all noise levels" if level == "all" else f"t = {level}"
        share = 100 * _column(some, "context")
        axes.plot(_column(some, "step"), share, "o-", color=colour, markersize=3, linewidth=1.3, label=name)
    axes.set_ylabel(f"% of the own loss, {graphs} graphs")
    axes.axhline(0, color="0.4", linewidth=0.6)


def _column(rows: Sequence[Row], key: str) -> NDArray[np.float64]:
    return np.array([float(row.get(key, np.nan)) for row in rows], np.float64)


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running mean over a fortieth of the curve, shorter at its ends; gaps stay."""
    half = max(len(values) // 80, 0)
    if half == 0:
        return values
    return np.array([np.nanmean(values[max(k - half, 0) : k + half + 1]) for k in range(len(values))])
