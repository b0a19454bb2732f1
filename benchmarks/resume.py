"""A killed and resumed stage 2 at its real size, drawn on top of one that was never interrupted.

    python -m benchmarks.resume LATENTS_FOLDER RESULTS_FOLDER [--steps 60] [--kills 2]

LATENTS_FOLDER is the ``latents`` folder of a pre-training. Each start is a process of its own; it is ended with SIGKILL
once its checkpoint has reached the next of evenly spaced steps. Compares every logged loss and weight, to the last bit.
"""

from __future__ import annotations

import argparse
import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hmgdm_plugin.report.lines import curves
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import PretrainSettings, TrainingSettings
from hmgdm_plugin.training.log import write_csv
from hmgdm_plugin.training.objective import Run
from hmgdm_plugin.training.stages import GRAPHS_PER_SHARD, HELD_LATENTS, LATENTS, diffusion_stage, sets_of
from hmgdm_plugin.training.world import World

BATCH, PARTS = 16, (256, 63)  # graphs; numbers of the auto-encoder and descriptors per entity
CHECKPOINT = "diffusion.safetensors"


def train(latents: Path, folder: Path, steps: int) -> None:
    """`steps` steps of stage 2 at the size and with the settings of hmgdm-small, on the first graphs of `latents`."""
    torch.set_num_threads(1)
    few = folder / "latents"
    few.mkdir(parents=True, exist_ok=True)
    for path in sorted(latents.glob(LATENTS))[: -(-steps * BATCH // GRAPHS_PER_SHARD)]:
        if not (few / path.name).exists():
            (few / path.name).symlink_to(path.resolve())
    stage = TrainingSettings(
        batch=BATCH, epochs=1, lr=5e-4, ema=0.999, precision="bfloat16", evaluations=0, checkpoint_minutes=1e-3
    )
    settings = PretrainSettings(name="trial", sources=(), stage2=stage, evaluation_graphs=2)
    run = Run("diffusion", folder, f"resume-{steps}", settings.seed, 64, World(torch.device("cpu")), Events(quiet=True))
    log = diffusion_stage(sets_of(few, LATENTS, HELD_LATENTS), PARTS, settings, run)[1]
    write_csv(folder / "steps.csv", log.rows)


def step_of(folder: Path) -> int:
    """The step of the checkpoint, 0 before there is one."""
    if not (folder / CHECKPOINT).exists():
        return 0
    with safe_open(folder / CHECKPOINT, "pt") as file:
        return int(file.metadata()["step"])


def started(asked: argparse.Namespace, folder: Path) -> subprocess.Popen[bytes]:
    """A process that trains in `folder`, from its checkpoint on."""
    words = [str(asked.latents), str(folder), "--steps", str(asked.steps), "--only"]
    return subprocess.Popen([sys.executable, "-m", "benchmarks.resume", *words])


def killed(asked: argparse.Namespace, folder: Path) -> list[int]:
    """Train in `folder`, killed at `asked.kills` places; returns the steps of the checkpoints it went on from."""
    places = []
    for number in range(asked.kills):
        process, wanted = started(asked, folder), (number + 1) * asked.steps // (asked.kills + 1)
        while step_of(folder) < wanted and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        print(f"process {process.pid}: ended with {process.wait()} at the checkpoint of step {step_of(folder)}")
        places.append(step_of(folder))
    started(asked, folder).wait()
    return places


def columns(folder: Path) -> dict[str, list[str]]:
    """The log of a run as it is written, without times."""
    with (folder / "steps.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file)]
    return {key: [row[key] for row in rows] for key in rows[0] if key not in ("seconds", "waiting")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        train(asked.latents, asked.results, asked.steps)
        return
    whole, cut = asked.results / "whole", asked.results / "cut"
    started(asked, whole).wait()
    places = killed(asked, cut)
    one, other = columns(whole), columns(cut)
    weights = [load_file(folder / CHECKPOINT) for folder in (whole, cut)]
    same = weights[0].keys() == weights[1].keys() and all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    print(f"{len(one['step'])} rows; logged values identical: {one == other}; all {len(weights[0])} tensors: {same}")
    steps, total, again = ([float(value) for value in own] for own in (one["step"], one["total"], other["total"]))
    resumed = [value if step > places[0] else float("nan") for step, value in zip(steps, again, strict=True)]
    series = {
        "unbroken": total,
        "the linear denoiser": [float(value) for value in one["trivial"]],
        f"killed, resumed at {', '.join(map(str, places))}": resumed,
    }
    curves(asked.results / "resume.png", steps, series, "Killed and resumed", "step", "loss of stage 2")


if __name__ == "__main__":
    main()
