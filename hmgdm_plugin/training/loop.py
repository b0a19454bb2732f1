"""The training loop of both stages: draw, step, record, evaluate, save; it reads top to bottom and resumes exactly.

A step is worked off in parts, one after another in one process or spread over several; sums and counts of all parts
meet before they are divided, so that neither their number nor their sizes change what is learnt. The chance of a part
follows from (seed, step, part). Why a loop of our own: `docs/adr/0001-training-loop.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from ..schema.errors import InputError
from ..schema.settings import TrainingSettings
from .budget import Budget
from .checkpoint import State
from .log import Log, Row, stretch
from .objective import Made, Objective, Run
from .order import Corpus, Order
from .prefetch import Prefetch
from .step import Stepper

B = TypeVar("B")


def fit(
    run: Run,
    module: nn.Module,
    objective: Objective[B],
    shards: Corpus,
    settings: TrainingSettings,
    evaluate: Callable[[], list[Row]] = lambda: [],
) -> Log:
    """Train `module` in place, from the checkpoint where there is one; it ends with the averaged weights, if any.

    Raises
    ------
    HmgdmError
        A loss or gradient is no longer finite; the batch is kept for inspection.
    InputError
        The checkpoint belongs to other settings, the parts do not divide over the processes, or these share minutes.
    """
    world = run.world
    parts = _parts(settings, world.size)
    order = Order(shards, settings, run.seed, run.mixed_shards, parts)
    optimiser = torch.optim.AdamW(module.parameters(), settings.lr, weight_decay=settings.weight_decay, fused=True)
    average = {key: value.detach().clone() for key, value in module.named_parameters()} if settings.ema else {}
    state = State(module, optimiser, average if world.first else {}, run.recipe, world.size)
    if run.checkpoint.exists():
        state.load(run.checkpoint)
    world.share(module)
    budget = Budget(settings, order.graphs, world.device)
    step = Stepper(run, state, objective, settings, budget)
    if state.step == 0:
        _evaluated(run, state, evaluate)
    saved_s, begun = time.monotonic(), (time.monotonic(), budget.clock())
    module.train()
    with Prefetch(_made(run, objective, order, state, parts)) as batches:
        for made in batches if budget.used(state) < budget.whole else ():
            waited_s, batches.waited_s = batches.waited_s, 0.0
            before = budget.used(state)
            values = step(made)
            now = (time.monotonic(), budget.clock())
            state.log.add(state.step, state.place.seen, values, now[0] - begun[0], waited_s)
            state.log.worked_s += now[1] - begun[1]
            begun = now
            used = budget.used(state)
            last, due = used == budget.whole, _due(before, used, budget.whole, settings.evaluations)
            if last or due or state.step % stretch(order.steps) == 0:
                state.log.close_row()
                run.events.progress(run.name, used, budget.whole, f"loss {values['total']:.4f}")
            if due:
                _evaluated(run, state, evaluate)
            if world.first and (last or time.monotonic() - saved_s > 60 * settings.checkpoint_minutes):
                state.save(run.checkpoint)
                run.seen(state.log, last)
                saved_s = time.monotonic()
            if last:
                break
            begun = (time.monotonic(), budget.clock())
    if state.average:
        module.load_state_dict(state.average, strict=False)
    world.share(module)
    module.eval()
    run.events.note(f"{run.name}: {state.step} steps; {100 * state.log.waiting:.1f} % of the time waiting for data")
    return state.log


def _parts(settings: TrainingSettings, processes: int) -> int:
    parts = max(settings.parts, processes)
    if settings.minutes and processes > 1:
        raise InputError(f"minutes = {settings.minutes:g} for {processes} processes", "give epochs instead")
    if parts % processes:
        raise InputError(
            f"parts = {parts} do not divide over {processes} processes", f"make parts a multiple of {processes}"
        )
    return parts


def _made(run: Run, objective: Objective[B], order: Order, state: State, parts: int) -> Iterator[Made[B]]:
    """Load this process's parts of every batch from the state's place on."""
    step = state.step
    for drawn in order.batches(state.place):
        own = []
        for part in range(run.world.rank, parts, run.world.size):
            if len(drawn.parts[part]):
                rng = np.random.default_rng((run.seed, 7, step, part))
                own.append((part, objective.load(drawn.parts[part], rng)))
        step += 1
        yield Made(drawn, own)


def _due(before: int, used: int, whole: int, evaluations: int) -> bool:
    """Whether one of the evenly spaced evaluations falls between two places in a budget."""
    return before * evaluations // whole < used * evaluations // whole


def _evaluated(run: Run, state: State, evaluate: Callable[[], list[Row]]) -> None:
    """Evaluate the averaged weights, or the weights themselves; the first process does, the others wait for it."""
    if not run.world.first:
        return
    module = state.module
    kept = {key: value.detach().clone() for key, value in module.named_parameters()} if state.average else {}
    module.load_state_dict(state.average, strict=False)
    module.eval()
    rows: list[Row] = [{"step": float(state.step), **row} for row in evaluate()]
    state.log.evaluations += rows
    module.load_state_dict(kept, strict=False)
    module.train()
    run.seen(state.log)
