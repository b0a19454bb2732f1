"""Curves of pre-training: drawn with and without context, and at their very beginning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hmgdm_plugin.report.learning import learning_curves

ROWS = [{"step": 10.0 * k, "total": 1 / k, "trivial": 0.5, "mean": 1.0, "lr": 1e-3} for k in range(1, 30)]


def _evaluations(context: bool) -> list[dict[str, float | str]]:
    out: list[dict[str, float | str]] = []
    for step in (0.0, 100.0, 290.0):
        for graphs in ("training", "held-out"):
            for noise in ("0-249", "250-499", "all") if context else ("all",):
                row = {"step": step, "graphs": graphs, "noise": noise, "loss": 0.4, "mean": 1.0}
                out.append(row | ({"other": 0.5, "trivial": 0.5, "context": step / 1000} if context else {}))
    return out


def test_both_stages_are_drawn(tmp_path: Path) -> None:
    for name, context in (("diffusion", True), ("autoencoder", False)):
        path = tmp_path / f"{name}.png"
        learning_curves(path, name, ROWS, _evaluations(context))
        image = np.asarray(Image.open(path).convert("RGB"))
        assert image.shape[0] > 400
        assert (image.shape[1] > 1200) == context, "context has a panel of its own"
        assert image.std() > 5


def test_nothing_yet_is_drawn_too(tmp_path: Path) -> None:
    learning_curves(tmp_path / "a.png", "diffusion", [], _evaluations(True)[:6])
    learning_curves(tmp_path / "b.png", "autoencoder", [], [])
    assert (tmp_path / "b.png").stat().st_size > 1000
