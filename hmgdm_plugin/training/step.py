"""One update: parts forward and backward, sums over processes, clipping, AdamW, averaged weights."""

from __future__ import annotations

import math
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..schema.settings import TrainingSettings
from .budget import Budget
from .checkpoint import State
from .objective import Made, Objective, Run
from .rescue import keep_batch

B = TypeVar("B")


class Stepper(Generic[B]):
    """One update after the other."""

    def __init__(
        self, run: Run, state: State, objective: Objective[B], settings: TrainingSettings, budget: Budget
    ) -> None:
        self._run, self._state, self._objective, self._settings = run, state, objective, settings
        self._budget = budget
        self._device = run.world.device
        self._generator = torch.Generator(self._device)
        self._half = use_bfloat16(settings.precision, self._device)
        self._weights = [value for value in state.module.parameters() if value.requires_grad]

    def __call__(self, made: Made[B]) -> dict[str, float]:
        """Update once; returns what is reported, and the learning rate."""
        state, settings = self._state, self._settings
        rate = settings.lr * _rate(self._budget.used(state) / self._budget.whole, settings.warmup)
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        parts = [(part, self._objective.move(batch, self._device)) for part, batch in made.parts]
        names = sorted({term for mix in self._objective.mixes.values() for term in mix})
        counts = self._counted(names, [batch for _, batch in parts])
        state.optimiser.zero_grad(set_to_none=True)
        sums = torch.zeros(len(names), device=self._device)
        for part, batch in parts:
            sums += self._backward(names, counts, part, batch)
        sums = self._together(sums)
        norm = nn.utils.clip_grad_norm_(self._weights, settings.clip)
        means = dict(zip(names, (sums / counts).tolist(), strict=True))
        mixed = {
            key: sum(weight * means[term] for term, weight in mix.items()) for key, mix in self._objective.mixes.items()
        }
        if not (math.isfinite(mixed["total"]) and math.isfinite(float(norm))):
            raise keep_batch(self._run.folder, self._run.name, state.step, made.drawn.parts, parts, self._run.world)
        state.optimiser.step()
        if state.average:
            self._averaged()
        state.step, state.place = state.step + 1, made.drawn.after
        return {**mixed, **means, "lr": rate}

    def _counted(self, names: list[str], batches: list[B]) -> Tensor:
        """Items behind each term, over all parts of all processes."""
        own = [self._objective.counts(batch) for batch in batches]
        total = torch.tensor([sum(each[name] for each in own) for name in names], device=self._device)
        return self._run.world.sum(total.float()).clamp(min=1.0)

    def _backward(self, names: list[str], counts: Tensor, part: int, batch: B) -> Tensor:
        """Add the gradients of one part; returns its sums."""
        seed = np.random.SeedSequence((self._run.seed, 11, self._state.step, part)).generate_state(1, np.uint64)
        self._generator.manual_seed(int(seed[0] >> np.uint64(1)))
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            terms = self._objective.terms(batch, self._generator)
        sums = torch.stack([terms[name].float() for name in names])
        weights = self._objective.mixes["total"]
        own = torch.tensor([weights.get(name, 0.0) for name in names], device=self._device)
        minimised = torch.where(own > 0, sums * own / counts, torch.zeros_like(sums)).sum()
        minimised.backward()
        return sums.detach()

    def _together(self, sums: Tensor) -> Tensor:
        """Sum gradients and `sums` over the processes, in one message."""
        if self._run.world.size == 1:
            return sums
        for value in self._weights:
            value.grad = torch.zeros_like(value) if value.grad is None else value.grad
        grads = [value.grad for value in self._weights if value.grad is not None]
        flat = self._run.world.sum(torch.cat([*(grad.flatten() for grad in grads), sums]))
        *shared, sums = flat.split([*(grad.numel() for grad in grads), sums.numel()])
        for grad, total in zip(grads, shared, strict=True):
            grad.copy_(total.view_as(grad))
        return sums

    def _averaged(self) -> None:
        weights = {name: value.detach() for name, value in self._state.module.named_parameters()}
        average = [self._state.average[name] for name in weights]
        torch._foreach_lerp_(average, list(weights.values()), 1 - self._settings.ema)


def use_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products are done in bfloat16; weights, sums and losses never are.

    ``auto``: where the device has it, on a GPU or as AVX-512 BF16 or AMX on a processor.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _rate(share: float, warmup: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the learning rate."""
    if share < warmup:
        return (share + 1e-3) / warmup
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - warmup) / (1 - warmup)))
