"""Fine-tuning: encoder and head together, from the model's own weights, stopped on patients held out.

The head starts as the linear probe of the same training tiles (Kumar et al. 2022), so that its first, wild steps do not
spoil what the encoder has learnt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..model.batch import LatentBatch, side_by_side
from ..model.heads import GatedHead
from ..model.hmgdm import HMGDM
from ..schema.studies import FinetuneSettings
from .heads import Task, Tokens, linear_head
from .probe import class_weights

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Tiles ready for the encoder, with class (tiles,) and patient of each."""

    tiles: Sequence[LatentBatch]
    target: NDArray[np.int64]
    patients: Sequence[str]

    def pick(self, rows: NDArray[np.integer]) -> Examples:
        """Those of `rows`."""
        return Examples([self.tiles[k] for k in rows], self.target[rows], [self.patients[k] for k in rows])


@dataclass(frozen=True)
class Tuned:
    """Encoder and head, the epoch kept, and the digest of the encoder before the first step."""

    encoder: HMGDM
    head: GatedHead
    epoch: int
    started_from: str


def checksum(module: nn.Module) -> str:
    """SHA-256 over names and values of all weights: what two encoders share if and only if they are the same."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def finetune(
    encoder: HMGDM,
    weights: Mapping[str, Tensor],
    task: Task,
    train: Examples,
    held: Examples,
    settings: FinetuneSettings,
    seed: int = 0,
) -> Tuned:
    """Reload `weights` into a copy of `encoder` and train it with a head.

    Parameters
    ----------
    encoder : HMGDM
        Says how the network is built; it is not changed.
    weights : dict of str to Tensor
        Where every call starts from.
    held : Examples
        Choose the epoch, the start included; where there are none, the last epoch is kept.
    """
    torch.manual_seed(seed)
    own = deepcopy(encoder)
    own.load_state_dict(dict(weights))
    own.requires_grad_(True)
    started_from = checksum(own)
    head = linear_head(task, tokens_of(own, train.tiles), train.target, train.patients, seed)
    parts = nn.ModuleList([own, head])
    optimiser = torch.optim.AdamW(parts.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    balance = torch.from_numpy(class_weights(train.target, task.outputs)).float()
    rng = np.random.default_rng(seed)
    best, best_epoch, best_state = np.inf, 0, deepcopy(parts.state_dict())
    for epoch in range(settings.epochs + 1):
        loss = _loss(own, head, held, balance) if len(held.tiles) else -float(epoch)
        if loss < best - 1e-5:
            best, best_epoch, best_state = loss, epoch, deepcopy(parts.state_dict())
        if epoch == settings.epochs or epoch - best_epoch >= settings.patience:
            break
        order = rng.permutation(len(train.tiles))
        for start in range(0, len(order), settings.batch):
            _step(own, head, train.pick(order[start : start + settings.batch]), balance, optimiser)
    parts.load_state_dict(best_state)
    own.eval().requires_grad_(False)
    return Tuned(own, head.eval(), best_epoch, started_from)


def tokens_of(encoder: HMGDM, tiles: Sequence[LatentBatch]) -> Tokens:
    """Tokens of every tile by `encoder`, without gradient."""
    with torch.no_grad():
        return Tokens.of([(encoder.embed(tile).tokens(), tile) for tile in tiles], encoder.kinds)


def _answers(encoder: HMGDM, head: GatedHead, tiles: Sequence[LatentBatch]) -> Tensor:
    """Logits (tiles, classes)."""
    batch = side_by_side(tiles)
    return head(encoder.embed(batch).tokens(), batch.vertices).raw


def _loss(encoder: HMGDM, head: GatedHead, examples: Examples, balance: Tensor) -> float:
    encoder.eval()
    with torch.no_grad():
        logits = torch.cat([_answers(encoder, head, [tile]) for tile in examples.tiles])
    return float(nn.functional.cross_entropy(logits, torch.from_numpy(examples.target), balance))


def _step(encoder: HMGDM, head: GatedHead, part: Examples, balance: Tensor, optimiser: Any) -> None:
    encoder.train()
    optimiser.zero_grad()
    wanted = torch.from_numpy(part.target)
    losses = nn.functional.cross_entropy(_answers(encoder, head, part.tiles), wanted, reduction="none")
    (losses * balance[wanted]).sum().div(len(wanted)).backward()
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
    optimiser.step()


def cooled(head: GatedHead, degrees: float) -> GatedHead:
    """A copy of a classification head whose logits are divided by `degrees`."""
    own = deepcopy(head)
    with torch.no_grad():
        own.linear.weight.div_(degrees)
        own.linear.bias.div_(degrees)
    return own
