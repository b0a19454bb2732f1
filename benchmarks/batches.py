"""How a stage-2 epoch's time and memory depend on how its batches are cut: by graphs, by entities, sorted by size.

    python -m benchmarks.batches LATENTS_FOLDER RESULTS_FOLDER [--shards 8] [--repeats 2]

LATENTS_FOLDER is the ``latents`` folder of a pre-training. Every variant trains on the same graphs, one epoch, in a
process of its own; printed is processor time, the least of the repeats, so that other load matters little.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import DiffusionSettings, TrainingSettings
from hmgdm_plugin.training.loop import fit
from hmgdm_plugin.training.objective import Run
from hmgdm_plugin.training.objectives import diffusion_objective
from hmgdm_plugin.training.order import Order, Place
from hmgdm_plugin.training.shards import Shards
from hmgdm_plugin.training.stages import LATENTS
from hmgdm_plugin.training.world import World

VARIANTS: dict[str, dict[str, int]] = {
    "16 graphs": {},
    "16 graphs, 8 batches sorted": {"sorted_batches": 8},
    "3,000 entities": {"entities": 3000},
    "3,000 entities, 8 batches sorted": {"entities": 3000, "sorted_batches": 8},
    "16 graphs in 4 parts": {"parts": 4},
}


def measure(latents: Path, folder: Path, shards: int, variant: str) -> dict[str, float]:
    """One epoch on the first `shards` shards."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    few = folder / f"few-{shards}"
    few.mkdir(parents=True, exist_ok=True)
    for path in sorted(latents.glob(LATENTS))[:shards]:
        if not (few / path.name).exists():
            (few / path.name).symlink_to(path.resolve())
    graphs = Shards(few, LATENTS)
    own = TrainingSettings(**{"batch": 16, "epochs": 1, "precision": "bfloat16", "evaluations": 0, **VARIANTS[variant]})
    sizes = {n: int(size) for s in range(graphs.files) for n, size in enumerate(graphs.sizes(s), int(graphs.first[s]))}
    order = Order(graphs, own, 0, 64, own.parts)
    held = [sum(sizes[int(n)] for part in drawn.parts for n in part) for drawn in order.batches(Place())]
    model = HMGDM(DiffusionSettings(), (256, 63), (256, 63))
    run = Run(f"{variant}-{time.time_ns()}", folder, "r", 0, 64, World(torch.device("cpu")), Events(quiet=True))
    objective = diffusion_objective(model, graphs)
    start_s = time.process_time()
    log = fit(run, model, objective, graphs, own)
    took_s = time.process_time() - start_s
    run.checkpoint.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "steps": len(held),
        "least": min(held),
        "most": max(held),
        "ms": 1e3 * took_s / len(graphs),
        "gb": peak,
        "waiting": log.waiting,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only:
        print(json.dumps(measure(asked.latents, asked.results, asked.shards, asked.only)))
        return
    print("| batch | steps | entities a step | CPU time a graph | peak memory | waiting for data |")
    print("|---|---|---|---|---|---|")
    words = [str(asked.latents), str(asked.results), "--shards", str(asked.shards)]
    for variant in VARIANTS:
        command = [sys.executable, "-m", "benchmarks.batches", *words, "--only", variant]
        runs = [
            json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
            for _ in range(asked.repeats)
        ]
        got = min(runs, key=lambda own: own["ms"])
        cells = [variant, f"{got['steps']:.0f}", f"{got['least']:,.0f} to {got['most']:,.0f}", f"{got['ms']:.1f} ms"]
        print(f"| {' | '.join(cells)} | {got['gb']:.2f} GB | {100 * got['waiting']:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
