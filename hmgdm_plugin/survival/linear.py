"""The rival: ridge Cox regression on the mean of a patient's tiles, which knows nothing of where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .concordance import Floats
from .cox import cox_loss
from .fit import Patient, outcomes_of

PENALTIES = tuple(float(10**k) for k in range(-3, 3))
ROUNDS = 60


@dataclass(frozen=True)
class LinearRisk:
    """Log-risk of the mean tile (n, D), standardised by the patients learnt from."""

    mean: Floats
    scale: Floats
    weight: Floats

    def risks(self, patients: Sequence[Patient]) -> Floats:
        """Log-risk (n,)."""
        return ((means(patients) - self.mean) * self.scale) @ self.weight


def means(patients: Sequence[Patient]) -> Floats:
    """Mean tile of each patient (n, D)."""
    return np.stack([patient.x.double().mean(0).numpy() for patient in patients])


def fit_linear(train: Sequence[Patient], validation: Sequence[Patient]) -> LinearRisk:
    """Fit on `train`, with the penalty of the least loss on `validation`; the strongest where nobody has an event."""
    x = means(train)
    mean, deviation = x.mean(0), x.std(0)
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * (np.abs(mean) + 1e-3))
    z = (x - mean) * scale
    _, size, directions = np.linalg.svd(z, full_matrices=False)
    directions = directions[size > 1e-8 * size.max(initial=1e-30)]  # (r, D): the solution lies in their span
    fits = [LinearRisk(mean, scale, directions.T @ _ridge(z @ directions.T, train, each)) for each in PENALTIES]
    time, event = (torch.from_numpy(part) for part in outcomes_of(validation))
    if not bool(event.any()):
        return fits[-1]
    losses = [float(cox_loss(torch.from_numpy(fit.risks(validation)), time, event)) for fit in fits]
    return fits[int(np.argmin(losses))]


def _ridge(z: Floats, patients: Sequence[Patient], penalty: float) -> NDArray[np.float64]:
    """Weights (r,) that minimise the loss per event plus half the penalty times their squared length."""
    x, weight = torch.from_numpy(z), torch.zeros(z.shape[1], dtype=torch.float64, requires_grad=True)
    time, event = (torch.from_numpy(part) for part in outcomes_of(patients))
    optimiser = torch.optim.LBFGS([weight], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = cox_loss(x @ weight, time, event) + penalty / 2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return weight.detach().numpy()
