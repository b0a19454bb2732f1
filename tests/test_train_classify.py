"""`train classify` end to end: images or annotations become a study and a model that predicts."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hmgdm_plugin.predict import predict
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import PredictOptions
from hmgdm_plugin.train import train_classify
from hmgdm_plugin.zoo.load import find, load

SETTINGS = """
examples = "examples.csv"
folds = 3
name = "shade"
title = "shade"
"""
TUNED = SETTINGS + 'methods = ["linear", "finetune"]\nsave = "finetune"\n[finetune]\nepochs = 1\n'


def _image(stained: np.ndarray, number: int) -> np.ndarray:
    """A field of its own, dark for odd numbers."""
    field = stained[40 * (number % 4) : 40 * (number % 4) + 260, 210 + 9 * number : 470 + 9 * number].astype(float)
    return np.clip(255 - (255 - field) * (1.3 if number % 2 else 0.6), 0, 255).astype(np.uint8)


@pytest.fixture(name="study")
def _study(stained: np.ndarray, tmp_path: Path) -> Path:
    """Images of nine patients, each dark or pale; one of them a third."""
    rows = []
    for number in range(12):
        Image.fromarray(_image(stained, number)).save(tmp_path / f"{number}.png")
        label = "dark" if number % 2 else "pale"
        rows.append({"path": f"{number}.png", "label": label, "patient": f"p{number % 10}", "mpp": "0.5"})
    _write(tmp_path / "examples.csv", rows)
    (tmp_path / "study.toml").write_text(SETTINGS, "utf-8")
    return tmp_path / "study.toml"


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def test_a_study_becomes_a_folder_and_a_model_that_predicts(study: Path, tmp_path: Path) -> None:
    found = train_classify(study, tmp_path / "out", Events())
    scores = {(r["metric"], r["method"]): r for r in json.loads((tmp_path / "out/metrics.json").read_text("utf-8"))}
    assert scores["accuracy", "linear"]["value"] > 0.9
    assert scores["accuracy", "linear"]["patients"] == 10
    assert {method for _, method in scores} == {"linear", "knn"}
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").open(encoding="utf-8")))
    assert float(rows[1]["linear: dark"]) > 0.5 > float(rows[1]["linear: pale"])
    folds = {row["patient"]: row["fold"] for row in rows}
    assert all(folds[row["patient"]] == row["fold"] for row in rows)
    model = load(found["model"])
    assert [each.name for each in model.card.head[0].classes] == ["dark", "pale"]
    assert any(score.embedding == "linear probe" for score in model.card.evaluation)
    options = PredictOptions(
        slides=(tmp_path / "3.png",), mpp=0.5, model=str(found["model"]), results_dir=tmp_path / "p"
    )
    predict(options, Events())
    assert "dark" in (tmp_path / "p" / "summary.csv").read_text("utf-8")


def test_22_every_fold_starts_from_the_same_encoder_and_leaves_it(study: Path, tmp_path: Path) -> None:
    study.write_text(TUNED, "utf-8")
    found = train_classify(study, tmp_path / "out", Events())
    starts = json.loads((tmp_path / "out/run.json").read_text("utf-8"))["encoder_at_start"]
    assert len(starts) == 6  # three folds, each told by the model at hand and by what fine-tuning started from
    assert len(set(starts)) == 1
    before, after = load(find("hmgdm-small")).encoder.state_dict(), load(found["model"]).encoder.state_dict()
    assert any((before[name] != after[name]).any() for name in before)


def test_classes_may_be_annotations(study: Path, stained: np.ndarray, tmp_path: Path) -> None:
    rows = []
    for number in range(6):
        pair = np.concatenate([_image(stained, 2 * number), _image(stained, 2 * number + 1)], axis=1)
        Image.fromarray(pair).save(tmp_path / f"pair{number}.png")
        features = [_area(0, "pale"), _area(260, "dark"), _area(0, None)]
        (tmp_path / f"{number}.geojson").write_text(json.dumps(features), "utf-8")
        rows.append(
            {"path": f"pair{number}.png", "annotations": f"{number}.geojson", "patient": f"p{number}", "mpp": "0.5"}
        )
    _write(tmp_path / "examples.csv", rows)
    study.write_text(SETTINGS + 'methods = ["linear"]\n', "utf-8")
    train_classify(study, tmp_path / "out", Events())
    found = list(csv.DictReader((tmp_path / "out/predictions.csv").open(encoding="utf-8")))
    assert [row["example"] for row in found[:3]] == ["pair0#1", "pair0#2", "pair1#1"]
    assert sum(float(row[f"linear: {row['label']}"]) > 0.5 for row in found) >= 10


def _area(x_px: int, name: str | None) -> dict[str, object]:
    ring = [[x_px, 0], [x_px + 260, 0], [x_px + 260, 260], [x_px, 260], [x_px, 0]]
    properties = {"classification": {"name": name}} if name else {}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def test_22_the_same_pixels_or_slide_of_two_patients_stop_it(study: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader((tmp_path / "examples.csv").open(encoding="utf-8")))
    copy = [{**rows[0], "path": "copy.png", "patient": "p11"}]
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    _write(tmp_path / "examples.csv", [*rows, *copy, *({**each, "patient": "p12"} for each in copy)])
    with pytest.raises(InputError, match=r"(pixels|slide) .* is in folds"):
        train_classify(study, tmp_path / "out", Events())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patient": ""}, "row 2: no patient"),
        ({"label": ""}, r"0\.png: no label"),
        ({"mpp": "half"}, "mpp 'half'"),
        ({"path": "absent.png"}, "absent.png"),
    ],
)
def test_a_line_that_is_wrong_is_said(study: Path, tmp_path: Path, change: dict[str, str], said: str) -> None:
    rows = list(csv.DictReader((tmp_path / "examples.csv").open(encoding="utf-8")))
    _write(tmp_path / "examples.csv", [{**rows[0], **change}, *rows[1:]])
    with pytest.raises(InputError, match=said):
        train_classify(study, tmp_path / "out", Events())


def test_an_image_that_stands_there_twice_is_said(study: Path, tmp_path: Path) -> None:
    rows = list(csv.DictReader((tmp_path / "examples.csv").open(encoding="utf-8")))
    _write(tmp_path / "examples.csv", [*rows, rows[0]])
    with pytest.raises(InputError, match=r"0\.png stands there twice; leave one"):
        train_classify(study, tmp_path / "out", Events())


def test_one_class_or_an_unjudged_method_is_said(study: Path, tmp_path: Path) -> None:
    study.write_text(SETTINGS + 'classes = ["dark"]\n', "utf-8")
    with pytest.raises(InputError, match="1 class in it"):
        train_classify(study, tmp_path / "out", Events())
    study.write_text(SETTINGS + 'methods = ["knn"]\n', "utf-8")
    with pytest.raises(InputError, match="save must be one of methods"):
        train_classify(study, tmp_path / "out", Events())
