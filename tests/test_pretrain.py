"""Pre-training is killed in the middle of both stages and still goes on to the same numbers, to the last bit."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.analysis.corpus import held_out_patients, patient_of
from hmgdm_plugin.schema.settings import PretrainSettings, SourceSettings
from hmgdm_plugin.training.shards import Shards
from hmgdm_plugin.zoo.load import WEIGHTS, load
from tests.recipes import SMALL

SETTINGS = (
    """
name = "tiny"
windows_per_graph = 4
held_out = 0.3
evaluation_graphs = 4
"""
    + SMALL
    + """\
[stage1]
batch = 4
epochs = 10
checkpoint_minutes = 1e-6
evaluations = 2
[stage2]
batch = 4
epochs = 12
ema = 0.9
checkpoint_minutes = 1e-6
evaluations = 2
"""
)
STEPS = {"autoencoder": 30, "diffusion": 36}  # 12 graphs of two patients, the third is held out
TIMES = {"seconds", "waiting"}


@pytest.fixture
def workplace(tmp_path: Path, stained: NDArray[np.uint8]) -> Path:
    """A folder with settings and three images of three patients."""
    (tmp_path / "images").mkdir()
    crops = {"p1": stained[:256, 200:584], "p2": stained[256:512, 200:584], "p3": stained[300:556, 400:784]}
    for name, image in crops.items():
        Image.fromarray(image).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "settings.toml").write_text(SETTINGS, "utf-8")
    return tmp_path


def _started(workplace: Path, results: str, *more: str) -> subprocess.Popen[str]:
    words = ["pretrain", "settings.toml", "--results-dir", results, *more]
    command = [sys.executable, "-m", "hmgdm_plugin.cli", *words]
    return subprocess.Popen(command, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finished(workplace: Path, results: str, *more: str) -> tuple[int, str, str]:
    process = _started(workplace, results, *more)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


def _step(checkpoint: Path) -> int:
    """The step of a checkpoint, 0 before there is one."""
    if not checkpoint.exists():
        return 0
    with checkpoint.open("rb") as file:  # through one handle: the next checkpoint may take its place meanwhile
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return int(header["__metadata__"]["step"])


def _killed_in(stage: str, workplace: Path, results: str, *more: str) -> None:
    """Kill a run, as the machine would, in the middle of `stage`."""
    process, checkpoint = _started(workplace, results, *more), workplace / results / f"{stage}.safetensors"
    until_s = time.monotonic() + 200
    while _step(checkpoint) < STEPS[stage] // 3 and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert STEPS[stage] // 3 <= _step(checkpoint) < STEPS[stage], "killed too early or too late to show anything"


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [{key: row[key] for key in row if key not in TIMES} for row in csv.DictReader(file)]


def test_a_killed_pretraining_goes_on_to_the_same_numbers(workplace: Path) -> None:
    _killed_in("autoencoder", workplace, "b")
    _killed_in("diffusion", workplace, "b", "--resume")
    for results, more in (("a", ()), ("b", ("--resume",))):
        code, _, said = _finished(workplace, results, *more)
        assert code == 0, said
    assert "of the time waiting for data" in said
    for stage, steps in STEPS.items():
        rows, again = (_table(workplace / results / f"{stage}.csv") for results in "ab")
        assert rows == again, "every loss, to the last bit"
        assert [int(float(row["step"])) for row in rows][-1] == steps
        assert rows[-1]["held-out loss"]
        assert (workplace / "b" / f"{stage}.png").stat().st_size > 10_000
        evaluations = (_table(workplace / results / f"{stage}-evaluation.csv") for results in "ab")
        assert next(evaluations) == next(evaluations)
    assert {"trivial", "mean", "held-out other", "held-out context"} <= set(rows[-1])
    a, b = (workplace / results / "model" / "tiny" for results in "ab")
    assert (a / WEIGHTS).read_bytes() == (b / WEIGHTS).read_bytes()
    card = load(a).card
    assert (card.data[0].images, card.data[0].patients, card.data[0].tiles) == (2, 2, 12)
    held = card.data[0].use.partition("patients made up:")[2]
    learnt = Shards(workplace / "a" / "latents", "latents-*.safetensors")
    assert held in {"p1", "p2", "p3"}
    assert {learnt.patient(n) for n in range(12)} == {f"made up:{p}" for p in ("p1", "p2", "p3") if p != held}
    code, _, said = _finished(workplace, "b")
    assert (code, "pass --resume" in said) == (2, True)


def test_two_processes_are_one_run(workplace: Path) -> None:
    code, out, said = _finished(workplace, "c", "--processes", "2", "--stage", "autoencoder", "--events")
    assert code == 0, said
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line for line in lines if "result" in line] == lines[-1:], "one result, said last"
    assert Path(workplace / lines[-1]["result"]["curves"]).exists()
    assert _step(workplace / "c" / "autoencoder.safetensors") == STEPS["autoencoder"]
    assert sorted(path.name for path in (workplace / "c").iterdir() if path.name.startswith(".")) == []


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(workplace: Path) -> None:
    code, _, said = _finished(workplace, "d", "--dry-run")
    assert code == 0, said
    assert '"held_out": 0.3' in said
    assert "graphs: about 18 (6 of them held out), 3 files" in said
    for stage, steps in (("stage 1", 30), ("stage 2", 36)):
        assert f"{stage}: {steps} steps of" in said
    assert "memory: about" in said
    assert "disk: about" in said
    assert not (workplace / "d").exists()


def test_held_out_patients_are_whole_few_and_always_the_same() -> None:
    source = SourceSettings(path=Path("x"), name="s", licence="CC0", patient_pattern="^(p[0-9]+)")
    files = [(source, Path(f"p{k % 40}-{k}.png")) for k in range(200)]

    def held(share: float, some: int = 200, seed: int = 1) -> set[str]:
        settings = PretrainSettings(name="m", sources=(source,), held_out=share, seed=seed)
        return held_out_patients(files[:some], settings)

    assert len(held(0.1)) == 4
    assert held(0.1) == held(0.1) != held(0.1, seed=2)
    assert held(0.1) <= {patient_of(*each) for each in files}
    assert (len(held(0.05, 6)), len(held(0.05, 4)), held(0.0)) == (1, 0, set())
    assert len(held(1.0, 3)) == 2, "somebody is left to learn from"
