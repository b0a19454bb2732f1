"""`hmgdm evaluate` on a few tiles: rows are trained once, judged, and written as a page; wrong settings are refused."""

from __future__ import annotations

import csv
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.analysis.contest import key_of
from hmgdm_plugin.analysis.ground import Ground
from hmgdm_plugin.evaluate import evaluate
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.evaluation import EvaluateSettings
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import EvaluateOptions
from hmgdm_plugin.schema.parsing import parse
from hmgdm_plugin.schema.settings import PretrainSettings
from hmgdm_plugin.training.labelled import LabelledTile, write_csv
from hmgdm_plugin.training.world import World
from hmgdm_plugin.zoo.digest import SUMS, sums_of
from tests.recipes import SMALL

RECIPE = (
    """
name = "tiny"
windows_per_graph = 4
held_out = 0.0
evaluation_graphs = 2
"""
    + SMALL
    + """\
readout = 4
arrangement = 2
[stage1]
batch = 4
[stage2]
batch = 4
"""
)
SETTINGS = """
recipe = "recipe.toml"
reference = "H-MGDM"
budget_minutes = 0.002
readout = "mean"
[[row]]
name = "H-MGDM"
kind = "pretrain"
paper = "H-MGDM"
[[row]]
name = "without edges"
kind = "pretrain"
settings = { diffusion = { edges = false } }
[[row]]
name = "random weights"
kind = "random"
[[row]]
name = "random weights, readout fitted"
kind = "random"
fitted = true
[[row]]
name = "no network"
kind = "entities"
readout = "agreed"
[[row]]
name = "descriptors alone"
kind = "pretrain"
settings = { diffusion = { features = "descriptors" } }
[[row]]
name = "entity features"
kind = "entities"
[[row]]
name = "GraphMAE"
kind = "graphmae"
[[row]]
name = "statistics"
kind = "statistics"
[[yardstick]]
name = "brightness"
tiles = "tiles.csv"
label = "bright"
kind = "regression"
folds = 2
repeats = 1
[[yardstick]]
name = "real neighbourhoods"
tiles = "tiles.csv"
shuffled = true
kind = "classification"
folds = 2
repeats = 1
"""


@pytest.fixture
def workplace(tmp_path: Path, stained: NDArray[np.uint8]) -> Path:
    """Settings, a recipe with three small images, and eight labelled tiles of four patients."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.fromarray(stained[130 * number : 130 * number + 130, 300:430]).save(
            tmp_path / "images" / f"p{number}.png"
        )
    tiles = []
    for number in range(8):
        image = tmp_path / f"t{number}.png"
        crop = stained[64 * (number % 4) : 64 * (number % 4) + 128, 128 * (number // 4) : 128 * (number // 4) + 128]
        Image.fromarray(crop).save(image)
        bright = {"bright": float(crop.mean()), "pixels": f"#{number}"}
        tiles.append(LabelledTile(image, 0.5, 0, 0, 128, "made up", f"q{number // 2}", f"s{number}", bright))
    write_csv(tiles, tmp_path / "tiles.csv")
    (tmp_path / "recipe.toml").write_text(RECIPE, "utf-8")
    (tmp_path / "evaluate.toml").write_text(SETTINGS, "utf-8")
    return tmp_path


def _options(workplace: Path, **more: object) -> EvaluateOptions:
    return EvaluateOptions(settings=workplace / "evaluate.toml", results_dir=workplace / "out", workers=1, **more)


def test_rows_are_made_once_and_the_page_says_what_came_out(workplace: Path) -> None:
    found = evaluate(_options(workplace, page=workplace / "docs" / "evidence.md"), Events(quiet=True))
    page = found["page"].read_text("utf-8")
    assert "hmgdm evaluate" in page.split("##")[0]
    assert "| **H-MGDM** |" in page
    assert "Against *random weights*, **H-MGDM** is better on" in page
    assert "82.06±1.17" in page
    assert "images/evidence.png" in page
    with found["table"].open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    asked = {(row["row"], row["yardstick"]) for row in rows}
    assert ("statistics", "brightness") in asked
    assert ("statistics", "real neighbourhoods") not in asked  # it sees no graph
    trained = {row["row"]: float(row["trained_s"]) for row in rows}
    assert trained["H-MGDM"] > 0.1
    assert trained["statistics"] == 0
    before = {path: path.stat().st_mtime_ns for path in (workplace / "out").rglob("*.safetensors")}
    with pytest.raises(InputError, match="holds an evaluation already; pass --resume"):
        evaluate(_options(workplace), Events(quiet=True))
    evaluate(_options(workplace, resume=True), Events(quiet=True))
    assert before == {path: path.stat().st_mtime_ns for path in (workplace / "out").rglob("*.safetensors")}
    assert json.loads((workplace / "out" / "run.json").read_text("utf-8"))["verb"] == "evaluate"


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('reference = "H-MGDM"', 'reference = "H-MGDN"', "no row is called 'H-MGDN'"),
        ("edges = false", "edgez = false", "row 'without edges': unknown key 'diffusion.edgez'; did you mean 'edges'"),
        ('label = "bright"', 'label = "dark"', "no tile has the label 'dark'"),
        ('name = "statistics"', 'name = "GraphMAE"', "row 'GraphMAE' is given twice"),
        ("folds = 2", "folds = 5", "4 patients do not fill 5 folds"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_made(workplace: Path, wrong: str, right: str, said: str) -> None:
    text = (workplace / "evaluate.toml").read_text("utf-8")
    (workplace / "evaluate.toml").write_text(text.replace(wrong, right, 1), "utf-8")
    with pytest.raises(InputError, match=said):
        evaluate(_options(workplace), Events(quiet=True))
    assert not (workplace / "out").exists()


@pytest.mark.parametrize(("features", "minutes"), [("both", (0.4, 1.6)), ("descriptors", (0.0, 2.0))])
def test_stage_1_has_a_share_of_the_budget_only_where_there_is_one(
    workplace: Path, features: str, minutes: tuple[float, float]
) -> None:
    settings = parse(tomllib.loads(SETTINGS), EvaluateSettings, "e").model_copy(update={"budget_minutes": 2.0})
    row = settings.row[1].model_copy(update={"settings": {"diffusion": {"features": features}}})
    recipe = parse(tomllib.loads(RECIPE), PretrainSettings, "r")
    world = World(torch.device("cpu"))
    ground = Ground(settings, recipe, workplace, workplace, workplace / "out", Events(quiet=True), world)
    found = ground.recipe_of(row)
    assert (found.stage1.minutes, found.stage2.minutes) == pytest.approx(minutes)
    assert found.diffusion.features == features


def test_a_model_of_the_same_name_with_other_weights_is_another_row(workplace: Path) -> None:
    folder = workplace / "ours"
    shutil.copytree(Path(__file__).parents[1] / "model_zoo" / "nuclei-stardist-he", folder)
    ours = {"row": [{"name": "H-MGDM", "kind": "model", "model": "ours"}]}
    settings = parse(tomllib.loads(SETTINGS) | ours, EvaluateSettings, "e")
    recipe, world = parse(tomllib.loads(RECIPE), PretrainSettings, "r"), World(torch.device("cpu"))
    ground = Ground(settings, recipe, workplace, workplace, workplace / "out", Events(quiet=True), world)
    before = key_of(ground, settings.row[0], 0)
    assert key_of(ground, settings.row[0], 0) == before
    with (folder / "card.md").open("a", encoding="utf-8") as file:
        file.write("changed")
    (folder / SUMS).write_text(sums_of(folder), "utf-8")
    assert key_of(ground, settings.row[0], 0) != before


def test_a_dry_run_says_what_it_would_do(workplace: Path) -> None:
    events = Events(quiet=True)
    evaluate(_options(workplace, dry_run=True), events)
    assert "4 trainings of 0.002 minutes of one core" in events.notes
    assert not (workplace / "out").exists()
