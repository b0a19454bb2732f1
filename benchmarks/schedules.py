"""How much the encoder is asked under each noise schedule: the same short stage 2, one schedule after the other.

    python -m benchmarks.schedules LATENTS_FOLDER RESULTS_FOLDER [--epochs 2] [--schedule NAME …]

LATENTS_FOLDER is the ``latents`` folder of a pre-training. Prints the last evaluation on held-out graphs as markdown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from hmgdm_plugin.pretrain import show_curves
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import DiffusionSettings, PretrainSettings, TrainingSettings
from hmgdm_plugin.training.log import Log
from hmgdm_plugin.training.objective import Run
from hmgdm_plugin.training.stages import HELD_LATENTS, LATENTS, diffusion_stage, sets_of
from hmgdm_plugin.training.world import World

SCHEDULES = ("sigmoid", "zero-terminal-snr", "mask-only")
PARTS = (256, 63)  # latents of the auto-encoder, descriptors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--schedule", action="append")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    logs = {name: _trained(asked.latents, asked.results / name, asked.epochs, name) for name in _named(asked.schedule)}
    print("| schedule | t | own loss | rescaled x_t | the mean | another tile's context | it costs |")
    print("|---|---|---|---|---|---|---|")
    for name, log in logs.items():
        last = max(float(row["step"]) for row in log.evaluations)
        for row in log.evaluations:
            if row["step"] == last and row["graphs"] == "held-out":
                values = [f"{float(row[key]):.3f}" for key in ("loss", "trivial", "mean", "other")]
                print(f"| {name} | {row['noise']} | {' | '.join(values)} | {100 * float(row['context']):+.1f} % |")


def _named(schedules: list[str] | None) -> tuple[str, ...]:
    return tuple(schedules) if schedules else SCHEDULES


def _trained(latents: Path, folder: Path, epochs: int, schedule: str) -> Log:
    """Stage 2 with the settings of `model_zoo/recipes/hmgdm-small.toml`, but shorter."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = TrainingSettings(batch=16, epochs=epochs, lr=5e-4, ema=0.99, precision="bfloat16", evaluations=3)
    diffusion = DiffusionSettings.model_validate({"schedule": schedule})
    settings = PretrainSettings(name="trial", sources=(), diffusion=diffusion, stage2=stage, evaluation_graphs=128)

    def watch(name: str, log: Log) -> None:
        show_curves(folder, name, log)

    world = World(torch.device("cpu"))
    run = Run("diffusion", folder, f"{schedule}-{epochs}", settings.seed, settings.mixed_shards, world, Events(), watch)
    return diffusion_stage(sets_of(latents, LATENTS, HELD_LATENTS), PARTS, settings, run)[1]


if __name__ == "__main__":
    main()
