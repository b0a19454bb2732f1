"""Lines over a common axis, with their bands: curves of survival, of deletion and insertion."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from numpy.typing import ArrayLike

from . import canvas

Curve = ArrayLike | tuple[ArrayLike, ArrayLike, ArrayLike]
_LINES = ("#0072B2", "#D55E00", "#6E6E6E", "#009E73", "#56B4E9", "#E69F00")


def curves(path: Path, x: ArrayLike, series: Mapping[str, Curve], title: str, xlabel: str, ylabel: str) -> None:
    """Draw lines over a common `x` (n,), each an array (n,) or (mean, low, high) with a band; NaN leaves a gap."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), dpi=canvas.DPI, layout="constrained")
    axes = figure.add_subplot()
    for (name, curve), colour in zip(series.items(), _LINES, strict=False):
        mean, *band = curve if isinstance(curve, tuple) else (curve,)
        axes.plot(x, mean, color=colour, linewidth=1.6, label=textwrap.shorten(name, 36))
        if band:
            axes.fill_between(x, *band, color=colour, alpha=0.18, linewidth=0)
    axes.set_title(textwrap.shorten(title, 60), loc="left", size=12.5, weight="bold", parse_math=False)
    axes.set_xlabel(textwrap.shorten(xlabel, 70), parse_math=False)
    axes.set_ylabel(textwrap.shorten(ylabel, 45), parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9", linewidth=0.6)
    shown = figure.legend(loc="outside lower left", ncols=2, frameon=False)
    for text in shown.get_texts():
        text.set_parse_math(False)
    canvas.save(figure, path)
