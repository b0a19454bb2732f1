"""Figures of studies are drawn for what really occurs: one group, many classes, names with markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hmgdm_plugin.report import study
from hmgdm_plugin.report.page import Picture


def _steps(name: str, at_risk: list[int]) -> study.Steps:
    times, left = np.array([0.0, 3.0, 8.0]), np.array([1.0, 0.8, 0.4])
    return study.Steps(name, times, left, left - 0.1, np.minimum(left + 0.1, 1), at_risk)


@pytest.mark.parametrize("groups", [1, 2])
def test_kaplan_meier_is_drawn_with_numbers_at_risk(tmp_path: Path, groups: int) -> None:
    ticks = np.array([0.0, 5.0, 10.0])
    steps = [_steps("low risk", [9, 7, 2]), _steps("high risk", [8, 3, 0])][:groups]
    study.kaplan_meier(tmp_path / "km.png", steps, ticks, "Groups", "days", "log-rank p = 0.02")
    with Image.open(tmp_path / "km.png") as image:
        found = np.asarray(image.convert("RGB")).reshape(-1, 3)
    orange = (found == (213, 94, 0)).all(1).sum()
    assert (orange > 100) == (groups == 2)


def test_confusion_and_reliability_are_drawn(tmp_path: Path) -> None:
    study.confusion(tmp_path / "c.png", [[8, 2, 0], [1, 5, 0], [0, 0, 0]], ["a $x$", "b" * 40, "none"], "Which?")
    bins = (np.array([0.3, 0.9]), np.array([0.2, 1.0]), np.array([3.0, 9.0]))
    study.reliability(tmp_path / "r.png", {"as it comes": bins, "tempered": bins}, "How sure?")
    for name in "cr":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert min(image.size) > 300


def test_the_page_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    table = study.Table("Scores", ("what", "value"), [("<b>x</b>", 1)])
    page = study.StudyPage("Survival", "29 patients", "9 events.", ["a <note>"], [table], {"Curves": [Picture(b"x")]})
    study.write_study(tmp_path / "report.html", page)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "a &lt;note&gt;" in text
    assert "<script" not in text
