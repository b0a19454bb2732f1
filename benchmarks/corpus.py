"""Corpora of very many graphs: opening, order, reading and memory, at a thousand times different sizes.

    python -m benchmarks.corpus FOLDER [--graphs 1000 1000000] [--read 200000]
    python -m benchmarks.corpus FOLDER --train LATENTS_FOLDER [--steps 60]

Writes shards of tiny random graphs under FOLDER, opens them in a new process, and reads batches in training order
through the background thread, as training does. Prints seconds and this process's own memory (anonymous; pages of
mapped files belong to the system and are counted apart) as markdown.

``--train`` asks what training waits for, once it has begun: stage 2 as `hmgdm-small` on a corpus of a million graphs of
real size, made of links to the shards in LATENTS_FOLDER. Their pages stay in memory: no disk is part of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import DiffusionSettings, TrainingSettings
from hmgdm_plugin.training.budget import Budget
from hmgdm_plugin.training.checkpoint import State
from hmgdm_plugin.training.objective import Made, Run
from hmgdm_plugin.training.objectives import diffusion_objective
from hmgdm_plugin.training.order import Order, Place
from hmgdm_plugin.training.prefetch import Prefetch
from hmgdm_plugin.training.shards import Shards, shard_name, write_index, write_latents
from hmgdm_plugin.training.stages import GRAPHS_PER_SHARD
from hmgdm_plugin.training.step import Stepper
from hmgdm_plugin.training.world import World

PER_SHARD, VERTICES, EDGES, DIM = 2048, 4, 5, 8
PATTERN = "latents-*.safetensors"


def write(folder: Path, graphs: int) -> None:
    """Shards of `graphs` graphs of 4 vertices and 5 edges, unless they are there."""
    if (folder / "index-of-latents-all.safetensors").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, graphs, PER_SHARD)):
        own = min(PER_SHARD, graphs - first)
        write_latents(folder / shard_name(PATTERN, number), _random(own, number), ["P"] * own)
    write_index(folder, PATTERN)


def _random(graphs: int, seed: int) -> LatentBatch:
    generator = torch.Generator().manual_seed(seed)
    n, m = graphs * VERTICES, graphs * EDGES
    ends = torch.tensor([[0, 0, 1, 1, 2], [1, 2, 2, 3, 3]]).repeat(1, graphs)
    owner = torch.arange(graphs)
    return LatentBatch(
        x=torch.randn(n, DIM, generator=generator),
        edge_attr=torch.randn(m, DIM, generator=generator),
        edge_index=ends + VERTICES * owner.repeat_interleave(EDGES),
        pos=torch.rand(n, 2, generator=generator),
        edge_pos=torch.rand(m, 2, generator=generator),
        batch=owner.repeat_interleave(VERTICES),
        edge_batch=owner.repeat_interleave(EDGES),
        num_graphs=graphs,
        kind=torch.zeros(n, dtype=torch.int64),
    )


def read(folder: Path, count: int) -> dict[str, float]:
    """Open, then read `count` graphs in batches of 512; memory in MB above that before opening."""
    before = _memory()
    start_s = time.perf_counter()
    shards = Shards(folder, PATTERN)
    opened_s = time.perf_counter() - start_s
    opened = _memory()
    order = Order(shards, TrainingSettings(batch=512, epochs=1 + count // len(shards)), 0, 16, 1)
    seen, peaks, first_s = 0, [], 0.0
    cpu_s = time.process_time()
    batches = (shards.latents(drawn.parts[0].tolist()) for drawn in order.batches(Place()))
    with Prefetch(batches) as ready:
        for batch in ready:
            first_s = first_s or time.perf_counter() - start_s
            seen += batch.num_graphs
            peaks.append(_memory())
            if seen >= count:
                break
    tenth = max(len(peaks) // 10, 1)
    return {
        "graphs": len(shards),
        "opened_ms": 1e3 * opened_s,
        "opened_mb": opened[0] - before[0],
        "early_mb": max(own for own, _ in peaks[tenth : 2 * tenth]) - before[0],
        "late_mb": max(own for own, _ in peaks[-tenth:]) - before[0],
        "mapped_mb": max(mapped for _, mapped in peaks) - before[1],
        "read": seen,
        "first_ms": 1e3 * first_s,
        "us": 1e6 * (time.process_time() - cpu_s) / seen,
    }


def train(folder: Path, latents: Path, graphs: int, steps: int) -> None:
    """Print the share of waiting of `steps` steps on `graphs` graphs, at batch 16 in both precisions."""
    real = sorted(latents.glob(PATTERN))
    shards = -(-graphs // GRAPHS_PER_SHARD)
    if not (folder / "index-of-latents-all.safetensors").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(shards):
            (folder / shard_name(PATTERN, number)).symlink_to(real[number % (len(real) - 1)].resolve())
        write_index(folder, PATTERN)
    corpus = Shards(folder, PATTERN)
    width = corpus.shard(0).field("x").shape[1]
    print("| graphs | numbers per entity | precision | steps | ms a step | waiting for data |\n" + "|---" * 6 + "|")
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = HMGDM(DiffusionSettings(), (width,), (width,))
        own = TrainingSettings.model_validate({"batch": 16, "precision": precision})
        run = Run("diffusion", folder, "r", 0, 64, World(torch.device("cpu")), Events(quiet=True))
        order = Order(corpus, own, 0, 64, 1)
        objective = diffusion_objective(model, corpus)
        optimiser = torch.optim.AdamW(model.parameters(), fused=True)
        state = State(model, optimiser, {}, run.recipe, 1)
        step = Stepper(run, state, objective, own, Budget(own, order.graphs, run.world.device))
        rng = np.random.default_rng(0)
        made = (Made(each, [(0, objective.load(each.parts[0], rng))]) for each in order.batches(Place()))
        with Prefetch(made) as ready:
            step(next(iter(ready)))  # with all that happens once
            start_s, before_s = time.perf_counter(), ready.waited_s
            for _, batch in zip(range(steps), ready, strict=False):
                step(batch)
            took_s, waited_s = time.perf_counter() - start_s, ready.waited_s - before_s
        cells = f"{len(corpus):,}", width, precision, steps, f"{1e3 * took_s / steps:.0f}"
        print(f"| {' | '.join(map(str, cells))} | {100 * waited_s / took_s:.2f} % |", flush=True)


def _memory() -> tuple[float, float]:
    """Anonymous and file-backed resident memory of this process, MB (Linux)."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    values = {
        name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if "Rss" in name
    }
    return values["RssAnon"] / 1e3, values["RssFile"] / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--graphs", type=int, nargs="+", default=[1000, 1_000_000])
    parser.add_argument("--read", type=int, default=200_000)
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--train", type=Path, metavar="LATENTS_FOLDER")
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.train:
        train(asked.folder, asked.train, asked.graphs[-1], asked.steps)
        return
    if asked.only:
        print(json.dumps(read(asked.folder, asked.read)))
        return
    print("| graphs | opened in | first batch after | own memory: opened | second tenth | last tenth ", end="")
    print("| mapped | read | CPU time a graph |")
    print("|---" * 9 + "|")
    for graphs in asked.graphs:
        folder = asked.folder / str(graphs)
        write(folder, graphs)
        command = [sys.executable, "-m", "benchmarks.corpus", str(folder), "--only", "--read", str(asked.read)]
        got = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        sizes = [f"{np.round(got[key], 1):.1f} MB" for key in ("opened_mb", "early_mb", "late_mb", "mapped_mb")]
        times = f"{got['opened_ms']:.1f} ms | {got['first_ms']:.0f} ms", f"{got['us']:.0f} µs"
        print(
            f"| {int(got['graphs']):,} | {times[0]} | {' | '.join(sizes)} | {int(got['read']):,} | {times[1]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
