"""`train survival` end to end: feature files and an outcome table become a results folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from benchmarks.survival import settings_for, simulated
from hmgdm_plugin.analysis.survival import GRAPH, MEAN, cross_validated, measured, verdict
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.survival.saved import load_risk
from hmgdm_plugin.train import train_survival

SETTINGS = """
features = ["features"]
folds = 3
maps = 2
[outcome]
path = "outcome.csv"
[risk]
hidden = 8
layers = 1
epochs = 12
"""


@pytest.fixture(name="study")
def _study(tmp_path: Path) -> Path:
    """Twenty-one patients, the first with two slides, the last without an outcome; a slide of nobody."""
    rng = np.random.default_rng(5)
    (tmp_path / "features").mkdir()
    lines = ["bcr_patient_barcode,OS,OS.time"]
    for number in range(22):
        name = f"TCGA-AA-{number:04d}"
        known = number < 20
        lines += [f"{name},{number % 2},{100 + 13 * number}" if known else f"{name},,"] if number < 21 else []
        for slide in range(2 if number == 0 else 1):
            with h5py.File(tmp_path / "features" / f"{name}-01Z-00-DX{slide + 1}.h5", "w") as file:
                file["features"] = rng.normal(size=(9, 6)).astype(np.float32) + number / 10
                file["coords"] = np.stack(np.meshgrid(np.arange(3), np.arange(3)), -1).reshape(-1, 2) * 512
                file["coords"].attrs.update({"patch_size": 256, "patch_size_level0": 512, "target_mpp": 0.5})
    (tmp_path / "outcome.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "study.toml").write_text(SETTINGS, "utf-8")
    return tmp_path / "study.toml"


def test_a_study_becomes_a_results_folder(study: Path, tmp_path: Path) -> None:
    events = Events()
    out = tmp_path / "out"
    found = train_survival(study, out, events)
    assert [note.split(":")[0] for note in events.notes] == [
        "1 of 23 slides left out, not in the outcome table",
        "1 of 23 slides left out, whose patient has no time or event",
    ]
    rows = {(r["metric"], r["model"], r["fold"]): r for r in json.loads((out / "metrics.json").read_text())}
    assert rows["C-index", GRAPH, "all"]["patients"] == 20
    assert sum(rows["C-index", GRAPH, str(fold)]["events"] for fold in range(3)) == 10
    page = found["report.html"].read_text("utf-8")
    assert "10 events in 20 patients prove nothing about prognosis" in page
    assert {p.name for p in (out / "figures").iterdir()} == {"kaplan-meier.png", "auc.png", "brier.png"}
    assert len(list((out / "contributions").iterdir())) == 21
    assert len(list((out / "overlays").glob("*.png"))) >= 2
    with (out / "predictions.csv").open(encoding="utf-8") as file:
        patients = list(csv.DictReader(file))
    assert {row["group"] for row in patients} <= {"low risk", "high risk"}
    saved = load_risk(out / "model" / "weights.safetensors", out / "model" / "risk.json")
    assert torch.isfinite(saved.network.score.weight).all()
    with pytest.raises(InputError, match="another run"):
        train_survival(study, out, Events())


def test_contributions_add_up_to_the_log_risk_above_the_median(study: Path, tmp_path: Path) -> None:
    train_survival(study, tmp_path / "out", Events())
    groups = {r["patient"]: r["group"] for r in csv.DictReader((tmp_path / "out/predictions.csv").open())}
    for patient, group in groups.items():
        slides = (tmp_path / "out/contributions").glob(f"{patient}*.csv")
        total = sum(float(row["log_risk"]) for slide in slides for row in csv.DictReader(slide.open()))
        assert (total > 1e-5) == (group == "high risk") or abs(total) < 1e-4


def test_slides_that_find_no_outcome_are_said(study: Path, tmp_path: Path) -> None:
    study.write_text(f'patient_pattern = "(DX.)"\n{SETTINGS}', "utf-8")
    with pytest.raises(InputError, match="none of 23 slides is in the outcome table"):
        train_survival(study, tmp_path / "out", Events())
    study.write_text(SETTINGS.replace("[risk]", 'endpoint = "PFI"\n[risk]'), "utf-8")
    with pytest.raises(InputError, match=r"no column PFI\.time"):
        train_survival(study, tmp_path / "out", Events())
    assert not (tmp_path / "out").exists()


def test_21_the_graph_sees_arrangement_that_the_mean_cannot() -> None:
    """The benchmark in small: two kinds of tile, hazard by how they lie."""
    rng = np.random.default_rng(0)
    rich, poor = (rng.normal(mean, 0.5, (50, 6)).astype(np.float32) for mean in (1.0, -1.0))
    patients = simulated(rich, poor, 75, seed=4)
    study = cross_validated(patients, settings_for(0, folds=3, hidden=8, epochs=40, lr=0.02), Events())
    rows = {(r["metric"], r["model"]): r for r in measured(study) if r["fold"] == "all"}
    assert rows["C-index", GRAPH]["low"] > 0.6
    assert rows["C-index", MEAN]["high"] < rows["C-index", GRAPH]["value"]


def test_22_folds_are_stratified_by_event() -> None:
    rng = np.random.default_rng(0)
    rich, poor = (rng.normal(mean, 0.5, (9, 3)).astype(np.float32) for mean in (1.0, -1.0))
    patients = simulated(rich, poor, 30, seed=1)
    study = cross_validated(patients, settings_for(0, folds=3, hidden=4, epochs=2), Events())
    events = np.array([p.event for p in patients])
    per_fold = [int(events[study.fold == fold].sum()) for fold in range(3)]
    assert max(per_fold) - min(per_fold) <= 1  # stratified by event
    assert verdict(patients).startswith(f"{events.sum()} events in 30 patients")
