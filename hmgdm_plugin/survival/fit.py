"""Fit the network on some patients, with the partial likelihood of all of them at once at every step.

The risk set of a patient is everybody still at risk, so a batch of patients would train another likelihood. Tiles of
all patients need not fit in memory together for that: log-risks first, without gradient; then the slope of the loss
along each of them is sent back through the network part by part, which is the same gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..schema.studies import RiskSettings
from .concordance import Bools, Floats, concordance
from .cox import cox_loss
from .network import Bags, RiskNetwork, Risks
from .slides import SlideFeatures, neighbours

TILES_AT_ONCE = 60_000
SLOPES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05)


@dataclass(frozen=True)
class Patient:
    """One patient: all tiles of all slides (T, D), links within slides (2, M), tiles per slide by name, outcome."""

    name: str
    x: Tensor
    links: Tensor
    tiles: dict[str, int]
    time: float
    event: bool


@dataclass(frozen=True)
class Fitted:
    """A network, the epoch it was taken from, and what its log-risk was multiplied by at the end.

    `history` (epochs + 1, 3): loss on the training and on the validation patients, C-index of the latter.
    """

    network: RiskNetwork
    epoch: int
    slope: float
    history: NDArray[np.float64]


def patient_of(name: str, slides: Sequence[SlideFeatures], outcome: tuple[float, bool], near: int) -> Patient:
    """Join the slides of one patient; `near` is the number of neighbours of a tile."""
    starts = np.cumsum([0, *(len(slide.features) for slide in slides)])
    links = [neighbours(slide.corner_px, near) + start for slide, start in zip(slides, starts, strict=False)]
    x = torch.from_numpy(np.concatenate([slide.features for slide in slides]))
    tiles = {slide.name: len(slide.features) for slide in slides}
    return Patient(name, x, torch.from_numpy(np.concatenate(links, axis=1)), tiles, *outcome)


def outcomes_of(patients: Sequence[Patient]) -> tuple[Floats, Bools]:
    """Time and event (n,) each."""
    return np.array([p.time for p in patients], np.float64), np.array([p.event for p in patients], bool)


def fit(train: Sequence[Patient], validation: Sequence[Patient], settings: RiskSettings, seed: int = 0) -> Fitted:
    """Train on `train`; keep the epoch that orders `validation` best, untrained included, and shrink its log-risk.

    A network that orders well is often far too sure, so its log-risk is multiplied by the number in `SLOPES` that makes
    `validation` most likely (van Houwelingen and le Cessie 1990). Where `validation` is empty or holds no comparable
    pair, the last epoch is kept as it is.
    """
    torch.manual_seed(seed)
    network = RiskNetwork(train[0].x.shape[1], settings)
    _standardise(network, train)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    parts, held = _parts(train), _parts(validation)
    best, best_epoch, best_state = -np.inf, 0, deepcopy(network.state_dict())
    history = []
    for epoch in range(settings.epochs + 1):
        told = _told(network, held)
        order = float(concordance(*outcomes_of(validation), told)[0]) if validation else np.nan
        history.append((_loss(_told(network, parts), train), _loss(told, validation), order))
        if np.isnan(order) or order > best + 1e-9:
            best, best_epoch, best_state = order, epoch, deepcopy(network.state_dict())
        if epoch == settings.epochs or epoch - best_epoch >= settings.patience:
            break
        _step(network, optimiser, parts, train, seed + epoch)
    network.load_state_dict(best_state)
    slope = 1.0 if np.isnan(best) else _slope_for(_told(network, held), validation)
    return Fitted(shrunk(network, slope).eval(), best_epoch, slope, np.array(history))


def shrunk(network: RiskNetwork, slope: float) -> RiskNetwork:
    """`network`, its log-risk and every contribution multiplied by `slope` from now on."""
    with torch.no_grad():
        network.score.weight.mul_(slope)
    return network


def predict(network: RiskNetwork, patients: Sequence[Patient]) -> list[Risks]:
    """Log-risk, contributions and gates, patient by patient."""
    network.eval()
    with torch.no_grad():
        return [network(_bags([patient])) for patient in patients]


def risks_of(network: RiskNetwork, patients: Sequence[Patient]) -> Floats:
    """Log-risk (n,)."""
    return np.array([float(found.risk[0]) for found in predict(network, patients)], np.float64)


def _parts(patients: Sequence[Patient]) -> list[Bags]:
    """Patients in order, joined up to so many tiles that they fit in memory."""
    if not patients:
        return []
    groups: list[list[Patient]] = [[]]
    size = 0
    for patient in patients:
        if groups[-1] and size + len(patient.x) > TILES_AT_ONCE:
            groups.append([])
            size = 0
        groups[-1].append(patient)
        size += len(patient.x)
    return [_bags(group) for group in groups]


def _bags(patients: Sequence[Patient]) -> Bags:
    sizes = torch.tensor([len(p.x) for p in patients])
    starts = sizes.cumsum(0) - sizes
    links = torch.cat([p.links + start for p, start in zip(patients, starts, strict=True)], dim=1)
    number = torch.repeat_interleave(torch.arange(len(patients)), sizes)
    return Bags(torch.cat([p.x for p in patients]), links, number, len(patients))


def _standardise(network: RiskNetwork, patients: Sequence[Patient]) -> None:
    """Centre the tiles of `patients`, over each feature's deviation plus the mean one; what never varies becomes 0."""
    total = sum(len(p.x) for p in patients)
    mean = sum((p.x.double().sum(0) for p in patients), torch.zeros(patients[0].x.shape[1]).double()) / total
    square = sum(((p.x.double() - mean).square().sum(0) for p in patients), torch.zeros_like(mean)) / total
    deviation = square.sqrt()
    network.mean.copy_(mean)
    # a number that hardly varies beside the others is not blown up to their size: 160 of the 362 numbers of hmgdm-small
    # say how a tile is laid out, with a fortieth of the spread of the rest, and drowned it
    varies = deviation > 1e-6 * (mean.abs() + 1e-3)
    network.scale.copy_(torch.where(varies, 1 / (deviation + deviation.mean()), 0.0))


def _targets(patients: Sequence[Patient]) -> tuple[Tensor, Tensor]:
    time, event = outcomes_of(patients)
    return torch.from_numpy(time), torch.from_numpy(event)


def _told(network: RiskNetwork, parts: Sequence[Bags]) -> Floats:
    """Log-risk (n,) of the patients in `parts`, without dropout."""
    network.eval()
    with torch.no_grad():
        found = [network(part).risk.double().numpy() for part in parts]
    return np.concatenate(found) if found else np.zeros(0)


def _loss(told: Floats, patients: Sequence[Patient]) -> float:
    return float(cox_loss(torch.from_numpy(told), *_targets(patients))) if patients else float("nan")


def _slope_for(told: Floats, patients: Sequence[Patient]) -> float:
    return min(SLOPES, key=lambda slope: _loss(slope * told, patients))


def _step(
    network: RiskNetwork,
    optimiser: torch.optim.Optimizer,
    parts: Sequence[Bags],
    patients: Sequence[Patient],
    seed: int,
) -> None:
    """One step along the gradient of the whole likelihood; dropout falls alike in both passes."""
    network.train()
    optimiser.zero_grad()
    with torch.no_grad():
        risk = torch.cat([_seeded(network, part, seed + i) for i, part in enumerate(parts)])
    steepness = _gradient(risk, patients)
    for i, (part, own) in enumerate(zip(parts, steepness.split([part.count for part in parts]), strict=True)):
        _seeded(network, part, seed + i).backward(own)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def _seeded(network: RiskNetwork, part: Bags, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return network(part).risk


def _gradient(risk: Tensor, patients: Sequence[Patient]) -> Tensor:
    risk = risk.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(cox_loss(risk, *_targets(patients)), risk)
    return gradient
