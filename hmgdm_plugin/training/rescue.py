"""A batch whose loss or gradient is not finite is kept, with the graphs it was made of, before the run stops."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..schema.errors import HmgdmError
from ..schema.weights import write_tensors
from .order import Ints
from .world import World


def keep_batch(
    folder: Path, name: str, step: int, numbers: Sequence[Ints], parts: Sequence[tuple[int, Any]], world: World
) -> HmgdmError:
    """Write this process's `parts` of the batch of `step`; returns the sentence to end with.

    The file holds the tensors as ``part.field``; its metadata name the step and, for each part, the graphs by their
    number over the stage's shards.
    """
    own = f"-{world.rank}" if world.size > 1 else ""
    path = folder / f"{name}-not-finite{own}.safetensors"
    tensors = {f"{part}.{key}": value for part, batch in parts for key, value in tensors_of(batch).items()}
    graphs = {part: numbers[part].tolist() for part, _ in parts}
    write_tensors(path, tensors, {"step": str(step), "graphs": json.dumps(graphs)})
    bad = [key for key, value in tensors.items() if value.is_floating_point() and not torch.isfinite(value).all()]
    what = f"{', '.join(bad)} of the batch" if bad else "the loss or its gradient, though not the batch,"
    fix = f"look at {path} (docs/pretrain.md says how); lower lr or use precision = 'float32', then --resume"
    return HmgdmError(f"{name}, step {step}: {what} is not finite", fix)


def tensors_of(batch: Any) -> dict[str, Tensor]:
    """The tensors of a batch by name."""
    if isinstance(batch, Tensor):
        return {"windows": batch}
    if not is_dataclass(batch):
        return {}
    named = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return {key: value for key, value in named.items() if isinstance(value, Tensor)}
