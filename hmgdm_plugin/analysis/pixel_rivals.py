"""The rows of an evaluation that look at pixels alone; the networks come from libraries of the extra `evaluate`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..evaluation.pixels import OfPixels, Pixels
from ..schema.errors import InputError
from ..schema.evaluation import RowSettings
from ..schema.settings import TrainingSettings
from ..training.loop import fit
from ..training.objective import Objective
from ..training.order import Ints
from ..training.statistics import statistics_of
from .ground import Ground
from .rivals import Rival, size

BATCH, RATE, DECAY = 32, 1e-3, 0.05


def on_pixels(ground: Ground, row: RowSettings, seed: int, key: str) -> Rival:
    """Train `row` with `seed`, or go on with it, or take it as it is; `key` names its checkpoint.

    Raises
    ------
    InputError
        The library that it needs is not installed.
    """
    if row.kind == "statistics":
        return Rival(lambda tiles: torch.from_numpy(statistics_of(tiles)))
    torch.manual_seed(ground.settings.seed + seed)
    try:
        network, encoder = _network(row.kind)
    except ImportError as error:
        fix = "pip install 'hmgdm-plugin[evaluate]', or leave the row out"
        raise InputError(f"row {row.name!r}: {error.name} is not installed", fix) from error
    spent_s = 0.0 if row.kind == "imagenet" else _trained(ground, row, network, seed, key)
    network.eval()
    rival: OfPixels = network
    return Rival(lambda tiles: rival.embed(torch.from_numpy(tiles)), None, spent_s, size(encoder))


def _network(kind: str) -> tuple[Any, nn.Module]:
    """The network of a kind, and the part of it that embeds."""
    from ..evaluation.imagenet import ImageNetFeatures
    from ..evaluation.simclr import Contrasted
    from ..evaluation.vit import MaskedAutoencoder, MaskedDiffusion

    if kind == "imagenet":
        imagenet = ImageNetFeatures()
        return imagenet, imagenet
    if kind == "simclr":
        contrasted = Contrasted()
        return contrasted, contrasted.resnet
    if kind == "mae":
        masked = MaskedAutoencoder()
        return masked, masked.mae.vit
    diffused = MaskedDiffusion()
    return diffused, diffused.vit


def _trained(ground: Ground, row: RowSettings, network: Any, seed: int, key: str) -> float:
    """Train for the whole budget; returns the seconds of one core that it took."""
    settings = TrainingSettings(
        batch=BATCH,
        lr=RATE,
        weight_decay=DECAY,
        evaluations=0,
        precision=ground.recipe.stage2.precision,
        minutes=ground.settings.budget_minutes,
        checkpoint_minutes=ground.settings.checkpoint_minutes,
    )
    pixels = ground.pixels()
    run = ground.run(row.kind, ground.folder / "rows" / key, key, ground.settings.seed + seed)
    return fit(run, network, _objective(network, pixels, 2 if row.kind == "simclr" else 1), pixels, settings).worked_s


def _objective(network: OfPixels, pixels: Pixels, views: int) -> Objective[Tensor]:
    """Mean error of `network` on `views` crops of each tile."""

    def load(numbers: Ints, rng: np.random.Generator) -> Tensor:
        return torch.cat([pixels.crops(numbers, rng) for _ in range(views)])

    def terms(crops: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"error": network.error(crops, generator) * len(crops)}

    def counts(crops: Tensor) -> dict[str, float]:
        return {"error": float(len(crops))}

    return Objective(load, lambda crops, device: crops.to(device), counts, terms, {"total": {"error": 1.0}})
