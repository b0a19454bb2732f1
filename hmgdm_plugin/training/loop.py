"""The training loop of both stages: shuffle, step, record, save; it reads top to bottom and resumes exactly.

Why a loop of our own: `docs/adr/0001-training-loop.md`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..schema.errors import HmgdmError
from ..schema.events import Events
from ..schema.settings import TrainingSettings
from .checkpoint import State

B = TypeVar("B")


def fit(
    name: str,
    module: nn.Module,
    losses: Callable[[B, torch.Generator], dict[str, Tensor]],
    load: Callable[[np.ndarray, np.random.Generator], B],
    count: int,
    settings: TrainingSettings,
    checkpoint: Path,
    recipe: str,
    seed: int,
    events: Events,
) -> list[dict[str, float]]:
    """Train `module` in place; takes up `checkpoint` where it exists.

    Parameters
    ----------
    losses : callable
        (batch, generator) > named losses, of which ``total`` is minimised.
    load : callable
        (numbers of the items, random generator of this step) > batch.
    count : int
        Number of items; every epoch visits each once in a new order.
    recipe : str
        Digest of all settings: a checkpoint of another recipe is refused.

    Returns
    -------
    history : list of dict
        Mean losses, learning rate and seconds of every tenth step.

    Raises
    ------
    HmgdmError
        The loss is no longer finite.
    """
    batch = min(settings.batch, count)
    per_epoch = count // batch
    steps = per_epoch * settings.epochs
    optimiser = torch.optim.AdamW(module.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    generator = torch.Generator().manual_seed(seed)
    average = {name: value.detach().clone() for name, value in module.named_parameters()} if settings.ema else {}
    state = State(module, optimiser, generator, average, recipe)
    if checkpoint.exists():
        state.load(checkpoint)
    module.train()
    saved_s = start_s = time.monotonic()
    while state.step < steps:
        epoch, place = divmod(state.step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(count)
        items = order[place * batch : (place + 1) * batch]
        values = _step(state, losses, load(items, np.random.default_rng((seed, 7, state.step))), settings, steps)
        state.step += 1
        if state.step % 10 == 0 or state.step == steps:
            row = {"step": float(state.step), "seconds": time.monotonic() - start_s, **values}
            state.history.append(row)
            events.progress(name, state.step, steps, f"loss {values['total']:.4f}")
        if time.monotonic() - saved_s > 60 * settings.checkpoint_minutes or state.step == steps:
            state.save(checkpoint)
            saved_s = time.monotonic()
    if state.average:
        module.load_state_dict(state.average, strict=False)
    module.eval()
    return state.history


def _step(
    state: State,
    losses: Callable[[B, torch.Generator], dict[str, Tensor]],
    batch: B,
    settings: TrainingSettings,
    steps: int,
) -> dict[str, float]:
    """One update; returns the losses and the learning rate."""
    rate = settings.lr * _rate(state.step / max(steps, 1), settings.warmup)
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bfloat16"):
        parts = losses(batch, state.generator)
    if not torch.isfinite(parts["total"]):
        fix = "lower lr or use precision = 'float32', then --resume"
        raise HmgdmError(f"step {state.step}: the loss is not finite", fix)
    state.optimiser.zero_grad(set_to_none=True)
    parts["total"].backward()
    nn.utils.clip_grad_norm_(state.module.parameters(), settings.clip)
    state.optimiser.step()
    if state.average:
        weights = {name: value.detach() for name, value in state.module.named_parameters()}
        torch._foreach_lerp_([state.average[name] for name in weights], list(weights.values()), 1 - settings.ema)
    return {**{key: float(value.detach()) for key, value in parts.items()}, "lr": rate}


def _rate(share: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the learning rate."""
    if share < warmup:
        return (share + 1e-3) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))
