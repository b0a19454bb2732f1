"""Heads on frozen tokens: ridge or logistic at the start, then the gate learns, stopped on held-out patients.

The linear part is the ridge or logistic solution on mean pooling by area (`probe`); its penalty is chosen on left-out
patients. Gate and linear part are then trained together for as many steps as help patients
that were held out; none, if none help.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..model.batch import LatentBatch
from ..model.heads import GatedHead, HeadOutput
from ..model.kinds import Vertices
from .folds import patient_folds
from .probe import logistic_fit, ridge_fit

STEPS, EVERY, RATE = 60, 10, 2e-2
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Tokens:
    """Tokens (N, d) of many tiles, the vertices that they belong to, and how many kinds are told apart."""

    rows: Tensor
    vertices: Vertices
    kinds: int = 1

    @classmethod
    def of(cls, parts: Sequence[tuple[Tensor, LatentBatch]], kinds: int = 1) -> Tokens:
        """From tokens and graph of each tile."""
        sizes = torch.tensor([len(rows) for rows, _ in parts])
        batch = torch.repeat_interleave(torch.arange(len(parts)), sizes)
        rows, areas, of = zip(*((rows, graph.weight(), graph.kind) for rows, graph in parts), strict=True)
        return cls(torch.cat(rows), Vertices(batch, len(parts), torch.cat(areas), torch.cat(of)), kinds)

    @classmethod
    def whole(cls, rows: Tensor) -> Tokens:
        """One token (T, d) for each tile."""
        return cls(rows, Vertices(torch.arange(len(rows)), len(rows), torch.ones(len(rows))))

    def pick(self, tiles: Ints) -> Tokens:
        """The tokens of `tiles`, renumbered in that order; `tiles` ascending."""
        of = self.vertices
        number = torch.full((of.num_graphs,), -1)
        number[torch.from_numpy(tiles)] = torch.arange(len(tiles))
        own = number[of.batch]
        keep = own >= 0
        area, kind = (None if each is None else each[keep] for each in (of.area, of.kind))
        return Tokens(self.rows[keep], Vertices(own[keep], len(tiles), area, kind), self.kinds)

    def ask(self, head: GatedHead) -> HeadOutput:
        """What `head` says of all tiles."""
        said: HeadOutput = head(self.rows, self.vertices)
        return said


@dataclass(frozen=True)
class Task:
    """What a head learns: kind, number of outputs, transform of the target."""

    kind: Literal["regression", "classification"]
    outputs: int
    transform: Literal["none", "log"] = "none"
    spread: bool = True  # False: the mean of the tokens only, whose parts are exactly the entities' own
    gate: bool = True  # False: it stays the area
    balanced: bool = False  # classes weigh alike, however many tiles they have
    amounts_only: bool = False  # number and cover of the nuclei, and no entity's token


def fit_head(task: Task, tokens: Tokens, target: NDArray[Any], patients: Sequence[str], seed: int = 0) -> GatedHead:
    """Fit a head on all of `tokens`.

    Parameters
    ----------
    target : (tiles,) float64 in the target's own unit, or int64 classes
    patients : (tiles,)
        Groups of the inner folds.

    Returns
    -------
    GatedHead
        In evaluation mode.
    """
    if not task.gate or task.amounts_only:
        return linear_head(task, tokens, target, patients, seed)
    names = np.asarray(patients, str)
    inner = patient_folds(list(names), min(4, len(np.unique(names))), seed, _strata(task, target))
    fit, held = np.flatnonzero(inner != 0), np.flatnonzero(inner == 0)
    trial = _start(task, tokens.pick(fit), target[fit], names[fit], seed)
    steps = _train(trial, task, tokens.pick(fit), target[fit], STEPS, (tokens.pick(held), target[held]))
    head = _start(task, tokens, target, names, seed)
    _train(head, task, tokens, target, steps, None)
    return head.eval()


def linear_head(task: Task, tokens: Tokens, target: NDArray[Any], patients: Sequence[str], seed: int = 0) -> GatedHead:
    """The linear probe alone: a head whose gate stays the area; arguments as `fit_head`."""
    return _start(task, tokens, target, np.asarray(patients, str), seed).eval()


def predict_head(head: GatedHead, tokens: Tokens) -> NDArray[np.float64]:
    """Values (tiles, outputs) in the target's own unit, or class probabilities."""
    with torch.no_grad():
        return tokens.ask(head).value.double().numpy()


def out_of_fold(
    task: Task, tokens: Tokens, target: NDArray[Any], patients: Sequence[str], folds: Ints, seed: int = 0
) -> NDArray[np.float64]:
    """Values (tiles, outputs) of every tile from a head that never saw its patient."""
    names = np.asarray(patients, str)
    out = np.zeros((len(target), task.outputs))
    for fold in np.unique(folds):
        fit, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        head = fit_head(task, tokens.pick(fit), target[fit], list(names[fit]), seed)
        out[test] = predict_head(head, tokens.pick(test))
    return out


def _strata(task: Task, target: NDArray[Any]) -> list[float] | None:
    return [float(t) for t in target] if task.kind == "classification" else None


def _start(task: Task, tokens: Tokens, target: NDArray[Any], patients: NDArray[np.str_], seed: int) -> GatedHead:
    """A head whose gate is the area and whose linear part is the penalised solution on mean pooling."""
    torch.manual_seed(seed)
    head = GatedHead(tokens.rows.shape[1], task.outputs, task.kind, task.transform, kinds=tokens.kinds)
    _standardise(head, tokens)
    with torch.no_grad():
        pooled = head.pool(tokens.rows, tokens.vertices)
        x = pooled.rows().double().numpy().round(5)  # float32 noise is no feature
    read = _read(task, head)
    x = x[:, read.numpy()]
    if task.kind == "regression":
        wanted = np.log1p(target) if task.transform == "log" else target
        head.target_mean.fill_(float(wanted.mean()))
        head.target_std.fill_(float(max(wanted.std(), 1e-9)))
        head.target_low.fill_(float(target.min()))
        head.target_high.fill_(float(target.max()))
        scaled = (wanted - float(head.target_mean[0])) / float(head.target_std[0])
        weight, bias = ridge_fit(x, scaled[:, None], patients)
    else:
        weight, bias = logistic_fit(x, target, patients, task.outputs, balanced=task.balanced)
    with torch.no_grad():
        head.linear.weight[:, read] = torch.from_numpy(weight).to(head.linear.weight.dtype)
        head.linear.bias.copy_(torch.from_numpy(bias))
    return head


def _standardise(head: GatedHead, tokens: Tokens) -> None:
    """Mean and deviation of the tokens of each kind, and of the amounts, become those of the head."""
    for kind in range(head.kinds):
        own = tokens.rows if head.kinds == 1 else tokens.rows[tokens.vertices.kind == kind]
        if len(own) > 1:
            head.token_mean.view(head.kinds, -1)[kind] = own.mean(0)
            head.token_std.view(head.kinds, -1)[kind] = own.std(0).clamp(min=1e-6)
    if head.kinds > 1:
        found = tokens.vertices.amounts(head.kinds)
        head.amount_mean.copy_(found.mean(0))
        head.amount_std.copy_(found.std(0).clamp(min=1e-6))


def _read(task: Task, head: GatedHead) -> Tensor:
    """Which inputs of the linear part, means, amounts and spreads, `task` reads: booleans (inputs,)."""
    tokens, amounts = head.token_mean.numel(), head.linear.in_features - 2 * head.token_mean.numel()
    sizes = torch.tensor([tokens, amounts, tokens])
    parts = torch.tensor([not task.amounts_only, True, task.spread and not task.amounts_only])
    return parts.repeat_interleave(sizes)


def _train(
    head: GatedHead,
    task: Task,
    tokens: Tokens,
    target: NDArray[Any],
    steps: int,
    held: tuple[Tokens, NDArray[Any]] | None,
) -> int:
    """Train gate and linear part; with `held`, return the number of steps that was best there, and keep it."""
    start, best, best_step, best_state = head.linear.weight.detach().clone(), np.inf, 0, deepcopy(head.state_dict())
    groups = [(head.gate, RATE), (head.linear, RATE / 30)]
    optimiser = torch.optim.Adam([{"params": list(part.parameters()), "lr": rate} for part, rate in groups])
    wanted = _wanted(task, target)
    for step in range(steps + 1):
        if held is not None and step % EVERY == 0:
            with torch.no_grad():
                loss = float(_head_loss(head, held[0], _wanted(task, held[1])))
            if loss < best - 1e-4:
                best, best_step, best_state = loss, step, deepcopy(head.state_dict())
        if step == steps:
            break
        drift = (head.linear.weight - start).square().sum()
        optimiser.zero_grad()
        (_head_loss(head, tokens, wanted) + drift).backward()
        if head.linear.weight.grad is not None:
            head.linear.weight.grad[:, ~_read(task, head)] = 0
        optimiser.step()
    if held is not None:
        head.load_state_dict(best_state)
    return best_step


def _wanted(task: Task, target: NDArray[Any]) -> Tensor:
    """The target as `GatedHead.loss` takes it."""
    if task.kind == "classification":
        return torch.from_numpy(target.astype(np.int64))
    return torch.from_numpy(target.astype(np.float32))[:, None]


def _head_loss(head: GatedHead, tokens: Tokens, wanted: Tensor) -> Tensor:
    return head.loss(tokens.ask(head), wanted)
