"""What a pre-training would cost, from a few tiles of the sources and a few steps on them.

Measured on this machine while it is as busy as it is now.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..model.autoencoder import EntityAutoencoder
from ..model.batch import LatentBatch, repeated
from ..model.features import EntityFeatures
from ..model.hmgdm import HMGDM
from ..schema.graph import EntityGraph, batched
from ..schema.settings import PretrainSettings, TrainingSettings
from ..training.step import use_bfloat16
from .corpus import Files, Item, built, held_out_patients, items_of, patient_of

FILES, TILES = 8, 12  # of each source, of all: looked at
STEP_STATE = 4  # weights, gradients and two moments, of float32


@dataclass(frozen=True)
class _Seen:
    """What the sources hold, extrapolated from some of their files; some graphs, and the seconds for each."""

    graphs: int
    held_out: int
    some: list[EntityGraph]
    graph_s: float

    def entities(self) -> float:
        return sum(g.num_entities for g in self.some) / len(self.some)


def estimate(
    settings: PretrainSettings, files: Files, beside: Path, workers: int, device: torch.device
) -> Iterator[str]:
    """Yield one line each for graphs, stages, memory and disk; takes some seconds, writes nothing."""
    torch.set_num_threads(1)
    seen = _look(settings, files, beside, workers)
    if not seen.some:
        yield "no tissue in the files that were looked at: nothing to estimate"
        return
    graph_bytes = sum(value.nbytes for g in seen.some for _, value in g.tensors())
    every = seen.graphs + seen.held_out
    disk = every * graph_bytes / len(seen.some)
    yield (
        f"graphs: about {every} ({seen.held_out} of them held out), {len(files)} files; {seen.graph_s * 1e3:.0f} ms "
        f"each on {workers} threads: {_clock(every * seen.graph_s)}; {_bytes(disk)} on disk"
    )
    batch = batched(seen.some)
    with_latents = settings.diffusion.features != "descriptors"
    model = EntityAutoencoder(settings.autoencoder, settings.graph.stored_px) if with_latents else None
    features = EntityFeatures(model, batch.desc.shape[1], settings.diffusion.features)
    latents = features(batch)
    features.requires_grad_(True)
    disk += every * 2 * sum(features.parts) * seen.entities()
    if model is not None:
        yield _stage_one(settings, batch, model.to(device), seen, device)
    yield _stage_two(
        settings, latents, HMGDM(settings.diffusion, features.parts, features.parts, features.beside), seen, device
    )
    yield f"memory: about {_bytes(_peak(device))} per process, the larger stage"
    yield f"disk: about {_bytes(disk)} in all, with latents"


def _look(settings: PretrainSettings, files: Files, beside: Path, workers: int) -> _Seen:
    """Count the tiles of a few files of each source, and build the graphs of the first few."""
    held = held_out_patients(files, settings)
    learnt = kept = 0.0
    items: list[Item] = []
    for source in settings.sources:
        own = [each for each in files if each[0] == source]
        some = own[:: max(len(own) // FILES, 1)][:FILES]
        found = [list(items_of([each], settings, beside)) for each in some]
        mean = sum(map(len, found)) / len(some)
        out = sum(patient_of(*each) in held for each in own)
        learnt, kept = learnt + mean * (len(own) - out), kept + mean * out
        items += [several[len(several) // 2] for several in found if several]
    items = items[:TILES]
    with ThreadPoolExecutor(workers) as pool:
        graphs = built(items[:1], settings, pool)  # compiles what is compiled
        start_s = time.perf_counter()
        graphs += built(items[1:], settings, pool)
    graph_s = (time.perf_counter() - start_s) / max(len(items) - 1, 1)
    return _Seen(round(learnt), round(kept), graphs, graph_s)


def _stage_one(
    settings: PretrainSettings, batch: Any, model: EntityAutoencoder, seen: _Seen, device: torch.device
) -> str:
    own = settings.stage1
    count = min(own.batch, max(seen.graphs, 1)) * settings.windows_per_graph
    windows = batch.x[torch.arange(math.ceil(count / own.parts)) % len(batch.x)].to(device)
    step_s = _timed(lambda: model.loss(windows)["total"], own, device) * own.parts
    return _line("stage 1", _steps(own, seen.graphs / own.batch, step_s), step_s, model)


def _steps(own: TrainingSettings, an_epoch: float, step_s: float) -> int:
    """Steps of a stage, by its minutes or its epochs."""
    return round(own.minutes * 60 / step_s) or math.ceil(an_epoch) * own.epochs


def _stage_two(
    settings: PretrainSettings, latents: LatentBatch, model: HMGDM, seen: _Seen, device: torch.device
) -> str:
    own = settings.stage2
    graphs = max(int(own.entities / seen.entities()), 1) if own.entities else own.batch
    batch = repeated(latents, math.ceil(graphs / own.parts / latents.num_graphs)).to(device)
    model.to(device)
    step_s = _timed(lambda: model(batch)["total"], own, device) * graphs / batch.num_graphs
    return _line("stage 2", _steps(own, seen.graphs / graphs, step_s), step_s, model)


def _timed(loss: Callable[[], torch.Tensor], settings: TrainingSettings, device: torch.device) -> float:
    """Seconds of forward and backward, the better of two after a first."""
    half, took_s = use_bfloat16(settings.precision, device), []
    for _ in range(3):
        start_s = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            value = loss()
        value.backward()
        float(value.detach())  # waits for a GPU
        took_s.append(time.perf_counter() - start_s)
    return min(took_s[1:])


def _line(stage: str, steps: int, step_s: float, model: torch.nn.Module) -> str:
    weights = sum(value.numel() for value in model.parameters())
    state = _bytes(4 * STEP_STATE * weights)
    return f"{stage}: {steps} steps of {step_s:.2f} s: {_clock(steps * step_s)}; {weights / 1e6:.1f} M weights, {state}"


def _peak(device: torch.device) -> float:
    """Most memory used so far, in bytes."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return math.nan
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)


def _clock(seconds: float) -> str:
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
