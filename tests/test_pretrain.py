"""Pre-training is killed twice at the worst moments and still gives the same model, bit for bit."""

from __future__ import annotations

import csv
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.zoo.load import WEIGHTS, load

SETTINGS = """
name = "tiny"
windows_per_graph = 4
[[sources]]
name = "made up"
licence = "CC0-1.0"
path = "images"
pattern = "*.png"
mpp = 0.5
patient_pattern = "^(p.)"
[graph]
tile_px = 128
segments = 16
stored_px = 16
window_px = 24
[autoencoder]
channels = 8
latent_channels = 2
[diffusion]
hidden = 16
layers = 1
heads = 2
[stage1]
batch = 4
epochs = 6
checkpoint_minutes = 1e-6
[stage2]
batch = 4
epochs = 12
ema = 0.9
checkpoint_minutes = 1e-6
"""


@pytest.fixture
def workplace(tmp_path: Path, stained: NDArray[np.uint8]) -> Path:
    """A folder with settings and two images of two patients."""
    (tmp_path / "images").mkdir()
    for name, image in (("p1.png", stained[:256, 200:584]), ("p2.png", stained[256:512, 200:584])):
        Image.fromarray(image).save(tmp_path / "images" / name)
    (tmp_path / "settings.toml").write_text(SETTINGS, "utf-8")
    return tmp_path


def _started(workplace: Path, results: str, *more: str) -> subprocess.Popen[str]:
    words = ["pretrain", "settings.toml", "--results-dir", results, *more]
    command = [sys.executable, "-m", "hmgdm_plugin.cli", *words]
    return subprocess.Popen(command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _killed_when(process: subprocess.Popen[str], appears: Path) -> None:
    """Kill `process`, as the machine would, once `appears` is there."""
    until_s = time.monotonic() + 120
    while not appears.exists() and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert appears.exists()


def test_a_killed_pretraining_goes_on_to_the_same_model(workplace: Path) -> None:
    _killed_when(_started(workplace, "b"), workplace / "b" / "autoencoder.safetensors")
    _killed_when(_started(workplace, "b", "--resume"), workplace / "b" / "diffusion.safetensors")
    assert not (workplace / "b" / "model").exists(), "killed too late to show anything"
    for results, more in (("a", ()), ("b", ("--resume",))):
        process = _started(workplace, results, *more)
        _, said = process.communicate(timeout=180)
        assert process.returncode == 0, said
    a, b = (workplace / results / "model" / "tiny" for results in "ab")
    assert (a / WEIGHTS).read_bytes() == (b / WEIGHTS).read_bytes()
    card = load(a).card
    assert (card.data[0].images, card.data[0].patients, card.data[0].licence) == (2, 2, "CC0-1.0")
    with (b / ".." / ".." / "diffusion.csv").open(encoding="utf-8") as file:
        steps = [float(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(set(steps)), "no step is reported twice"
    refused = _started(workplace, "b")
    assert "pass --resume" in refused.communicate(timeout=60)[1]
    assert refused.returncode == 2
