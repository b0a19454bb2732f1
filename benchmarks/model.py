"""How fast stage 2 trains and encodes, what memory it takes, and how far that is from the arithmetic limit.

    python -m benchmarks.model [--quick] [--threads 1 2] [--batches 1 8 32 128] [--graphs random real]
        [--attributes 3072 256+63] [--precisions fp32 bf16] [--no-plain] [--folder FOLDER]

FOLDER keeps the shapes of real graphs, so that a table made in pieces builds them once.

Every line is a new process. *Step*: losses, gradients, clipping, AdamW; *encode*: embeddings without gradients. On
random graphs the least of several, each on another draw of the noise; on real ones the median over batches of other
graphs, none seen before, so that what a library compiles for a new shape counts, as in training; the limits are those
of one batch of median size. Processor time with one thread, else wall time. *torch.mm*, *fastest*, *and
traffic*: three limits (`benchmarks.arithmetic`, same process), each in ms and how many times it was taken. *Plain*:
the same network with attention over all pairs of the batch (`benchmarks.dense`), in float32, on random graphs.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from benchmarks.arithmetic import Products, attention_flops, limits_s, seconds, traffic_s
from benchmarks.dense import dense, need_bytes
from benchmarks.graphs import EDGES, VERTICES, batch_of, random_shapes, read_shapes, real_shapes
from hmgdm_plugin.model import layers, products
from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import DiffusionSettings
from hmgdm_plugin.training.labelled import data_root

SIZES = {"3072": ((3072,), 256), "256+63": ((256, 63), 128)}  # attribute blocks and width of the network
LARGEST_GB = 12.0
REAL = 64
SEVERAL = 32  # graphs in a batch of which more than one step is timed


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table, one process."""

    graphs: str
    size: str
    batch: int
    precision: str
    threads: int
    plain: bool = False
    least_s: float = 1.0


def measure(case: Case, folder: Path) -> dict[str, float]:
    """Everything about one case; memory in GB, times in seconds per graph."""
    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    parts, hidden = SIZES[case.size]
    model = HMGDM(DiffusionSettings(hidden=hidden), parts, parts)
    model = dense(model) if case.plain else model
    made = _batches(case, folder, sum(parts))
    batches, usual = itertools.cycle(made), statistics.median if case.graphs == "real" else min
    optimiser = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    generator = torch.Generator().manual_seed(0)
    half = case.precision == "bf16"

    def step(batch: LatentBatch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(batch, generator)["total"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    def encode(batch: LatentBatch) -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            model.embed(batch).pooled()

    before_gb = _rss_gb()
    least = min(len(made), 12) if case.graphs == "real" else 2 if case.batch <= SEVERAL else 1
    found = {"step": usual(seconds(lambda: step(next(batches)), case.least_s, least)) / case.batch}
    found |= {"peak": _peak_gb(), "grown": (_peak_gb() - before_gb) / case.batch}
    if case.plain:
        return found
    found["encode"] = usual(seconds(lambda: encode(next(batches)), case.least_s / 4, least + 1)) / case.batch
    batch = sorted(made, key=lambda each: len(each.x) + len(each.edge_attr))[len(made) // 2]
    dtype = torch.bfloat16 if half else torch.float32
    products.STEPS, products.TILED = (1, 1), 0  # in the limits, no filled-up rows, and no product unseen by torch:
    layers.fits = lambda *_: False  # type: ignore[assignment]
    with Products() as training:
        step(batch)
    with Products() as encoding:
        encode(batch)
    draw = model.draw(batch, generator)
    attention = attention_flops(batch, draw, hidden, model.settings.layers)
    attention -= 2 * hidden * (draw.vertex_noise.numel() + draw.edge_noise.numel())  # the last layers run twice
    features = 4 * hidden * (batch.x.shape[0] + batch.edge_attr.shape[0])
    for name, counted, extra in (("step", training, attention), ("encode", encoding, 0)):
        plain, fastest = (each / case.batch for each in limits_s(counted, extra, hidden, dtype))
        traffic = traffic_s(counted, features) / case.batch
        found |= {f"{name} limit": plain, f"{name} fastest": fastest, f"{name} traffic": fastest + traffic}
    return found | {"GFLOP": (training.flops() + attention) / case.batch / 1e9}


def _batches(case: Case, folder: Path, attributes: int) -> list[LatentBatch]:
    if case.graphs == "random":
        return [batch_of(random_shapes(case.batch), attributes)]
    shapes, chance = read_shapes(folder / "real.npz"), random.Random(0)
    different = 32 if case.batch * attributes < 3e4 else 3
    draw = chance.sample if case.batch <= len(shapes) else chance.choices
    return [batch_of(draw(shapes, k=case.batch), attributes, seed) for seed in range(different)]


def _rss_gb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e9


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def apart(case: Case, folder: Path) -> dict[str, float]:
    """`measure` in a new process; empty where it was killed."""
    arguments = [sys.executable, "-m", "benchmarks.model", "--case", json.dumps(dataclasses.asdict(case))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
    done = subprocess.run(
        [*arguments, "--folder", str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode and done.returncode > 0:
        raise SystemExit(done.stderr)
    return {} if done.returncode else json.loads(done.stdout)


def row(case: Case, folder: Path, plain: bool) -> str:
    """One line of the table, with the `plain` variant beside it if that is wanted."""
    found = apart(case, folder)
    cells = [case.graphs, case.size, str(case.batch), case.precision, str(case.threads)]
    if not found:
        return f"| {' | '.join([*cells, 'killed'])} |"
    for name in ("step", "encode"):
        cells.append(f"{1e3 * found[name]:.1f}")
        for limit in ("limit", "fastest", "traffic"):
            other = found[f"{name} {limit}"]
            cells.append(f"{1e3 * other:.1f}: {found[name] / other:.2f}")
    cells += [f"{found['peak']:.2f}", f"{1e3 * found['grown']:.0f}", _plain(case, folder) if plain else ""]
    return f"| {' | '.join(cells)} |"


def _plain(case: Case, folder: Path) -> str:
    """The plain variant's milliseconds and gigabytes, where it is measured."""
    if case.graphs != "random" or case.precision != "fp32":
        return ""
    need_gb = need_bytes(case.batch * (VERTICES + EDGES), DiffusionSettings().heads) / 1e9
    if need_gb > LARGEST_GB:
        return f"not run: {need_gb:.0f} GB"
    found = apart(dataclasses.replace(case, plain=True, least_s=0.1), folder)
    return f"{1e3 * found['step']:.0f}, {found['peak']:.1f} GB" if found else "killed"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time stage 2 beside its arithmetic limit.")
    parser.add_argument("--quick", action="store_true", help="batch 8, random graphs")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--graphs", nargs="+", default=["random", "real"])
    parser.add_argument("--attributes", choices=list(SIZES), nargs="+", default=list(SIZES))
    parser.add_argument("--precisions", choices=["fp32", "bf16"], nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--no-plain", dest="plain", action="store_false", help="do not run the plain variant")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        print(json.dumps(measure(Case(**json.loads(asked.case)), asked.folder)))
        return
    with tempfile.TemporaryDirectory() as place:
        table(asked, asked.folder or Path(place))


def table(asked: argparse.Namespace, folder: Path) -> None:
    """Print the table, line by line as it is measured."""
    kinds, batches = (["random"], [8]) if asked.quick else (asked.graphs, asked.batches)
    if "real" in kinds and not (data_root() / "nuc_monuseg_train").is_dir():
        kinds = [each for each in kinds if each != "real"]
    if "real" in kinds:
        if not (folder / "real.npz").exists():
            real_shapes(data_root(), REAL, folder / "real.npz")
        sizes = [(len(points), len(edges)) for points, edges in read_shapes(folder / "real.npz")]
        vertices, edges = (sum(each) / len(sizes) for each in zip(*sizes, strict=True))
        print(f"Real: {len(sizes)} tiles, {vertices:.0f} vertices and {edges:.0f} edges on average.\n")
    print(
        "| graphs | attributes | batch | precision | threads | step ms/graph | torch.mm | fastest | and traffic "
        "| encode ms/graph | torch.mm | fastest | and traffic | peak GB | MB/graph | plain ms/graph |"
    )
    print("|---" * 16 + "|")
    for cell in itertools.product(kinds, asked.attributes, batches, asked.precisions, asked.threads):
        print(row(Case(*cell, least_s=0.5 if asked.quick else 1.0), folder, asked.plain), flush=True)


if __name__ == "__main__":
    main()
