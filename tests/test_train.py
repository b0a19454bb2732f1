"""`train heads` end to end: a table of labelled tiles becomes a model folder that predicts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hmgdm_plugin.analysis import unlike
from hmgdm_plugin.predict import predict
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import PredictOptions
from hmgdm_plugin.train import train_heads
from hmgdm_plugin.training.spoilt import inverted
from hmgdm_plugin.zoo.load import find, load

SETTINGS = """
model = "{model}"
tiles = "tiles.csv"
clusters = 3
title = "Test"
description = "A test."
licence = "CC0"
intended_use = "Tests."
limits = ["None of it is true."]

[[head]]
name = "redness"
title = "redness"
label = "red"
kind = "regression"
unit = "grey levels"
folds = 3
repeats = 1

[[head]]
name = "side"
title = "side"
label = "side"
kind = "classification"
classes = ["dark", "pale"]
folds = 3
repeats = 1
default = false
"""


@pytest.fixture(name="table")
def _table(stained: np.ndarray, tmp_path: Path) -> Path:
    """Fields of six patients, three each, stained stronger from one to the next."""
    rows = []
    for number in range(18):
        strength = 0.5 + number / 18
        field = 255 - (255 - stained[:160, 30 * (number % 5) : 30 * (number % 5) + 160].astype(float)) * strength
        image = np.clip(field, 0, 255).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        side = "dark" if strength > 1 else "pale"
        labels = {"red": float(image[..., 0].mean()), "side": side}
        rows.append(
            {"image": f"{number}.png", "mpp": 0.5, "x_px": 0, "y_px": 0, "side_px": 160, "source": "made"}
            | {"patient": f"p{number % 6}", "slide": f"s{number % 6}", **labels}
        )
    with (tmp_path / "tiles.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (tmp_path / "heads.toml").write_text(SETTINGS.format(model=find("hmgdm-small").as_posix()), "utf-8")
    return tmp_path / "heads.toml"


def test_heads_are_trained_judged_and_ready_to_predict(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unlike, "SPOILT", {"inverted": inverted})
    folder = train_heads(table, tmp_path / "out", Events())["model"]
    model = load(folder)
    assert list(model.heads) == ["redness", "side", "tissue-clusters"]
    scores = {(s.task, s.metric, s.embedding): s for s in model.card.evaluation}
    assert {s.embedding for s in model.card.evaluation} == {
        "this model",
        "random weights",
        "entity features",
        "colour and texture",
    }
    assert scores["redness", "MAE", "this model"].patients == 6
    assert scores["redness", "Spearman", "this model"].value > 0.5
    assert ("redness", "inside the 90 % interval", "this model") not in scores  # six patients cannot promise it
    assert scores["side", "ECE", "this model"].value <= 1
    by_name = {head.name: head for head in model.card.head}
    assert by_name["side"].temperature is not None
    assert model.card.novelty is not None
    assert model.card.novelty.detected["inverted"] > 0.5
    options = PredictOptions(slides=(tmp_path / "3.png",), mpp=0.5, model=str(folder), results_dir=tmp_path / "r")
    assert predict(options, Events())["report"].exists()
    with pytest.raises(InputError, match="exists already"):
        train_heads(table, tmp_path / "out", Events())


def test_a_label_that_is_not_there_is_said(table: Path, tmp_path: Path) -> None:
    table.write_text(table.read_text("utf-8").replace('label = "red"', 'label = "rad"'), "utf-8")
    with pytest.raises(InputError, match="no tile has the label 'rad'"):
        train_heads(table, tmp_path / "out", Events())


def test_amounts_of_nuclei_need_a_model_that_knows_nuclei(table: Path, tmp_path: Path) -> None:
    words = table.read_text("utf-8").replace('"grey levels"', '"grey levels"\namounts_only = true')
    table.write_text(words.replace(find("hmgdm-small").as_posix(), find("hmgdm-windows").as_posix()), "utf-8")
    with pytest.raises(InputError, match="redness: hmgdm-windows knows no nuclei"):
        train_heads(table, tmp_path / "out", Events())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("patient", "", "0.png: no patient"),
        ("side_px", "-4", "no square there"),
        ("x_px", "nan", "no square there"),
        ("red", "-5", "'red' is below 0"),
    ],
)
def test_a_line_that_is_wrong_is_said(table: Path, tmp_path: Path, column: str, text: str, said: str) -> None:
    _write(tmp_path, 0, column, text)
    table.write_text(table.read_text("utf-8").replace('"grey levels"', '"grey levels"\ntransform = "log"'), "utf-8")
    with pytest.raises(InputError, match=said):
        train_heads(table, tmp_path / "out", Events())
    assert not (tmp_path / "out").exists()


def test_labels_that_are_left_out_are_spoken_of(table: Path, tmp_path: Path) -> None:
    for number, (column, text) in enumerate([("red", "inf"), ("red", "many"), ("side", "middle")]):
        _write(tmp_path, number, column, text)
    events = Events(quiet=True)
    table.write_text(table.read_text("utf-8").replace("folds = 3", "folds = 9"), "utf-8")
    with pytest.raises(InputError, match="do not fill 9 folds"):
        train_heads(table, tmp_path / "out", events)
    assert "redness: 2 of 18 labels 'red' are no finite numbers; left out" in events.notes
    assert "side: 1 of 18 labels 'side' are of no class of it; left out" in events.notes


def _write(folder: Path, number: int, column: str, text: str) -> None:
    """Change one cell of the table."""
    rows = list(csv.DictReader((folder / "tiles.csv").open(encoding="utf-8")))
    rows[number][column] = text
    with (folder / "tiles.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_same_picture_of_two_patients_stops_it(table: Path, tmp_path: Path) -> None:
    text = (tmp_path / "tiles.csv").read_text("utf-8").splitlines()
    rows = [f"{text[0]},pixels", *(f"{row},#same" for row in text[1:])]
    (tmp_path / "tiles.csv").write_text("\n".join(rows) + "\n", "utf-8")
    with pytest.raises(InputError):
        train_heads(table, tmp_path / "out", Events())
