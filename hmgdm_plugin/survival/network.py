"""From the tiles of a patient to a log-risk: neighbours exchange messages, attention pools, one linear layer.

The risk is linear in the pooled tiles, so it is exactly the sum of what the tiles contribute: gate times score.
Patch-GCN (Chen et al. 2021) is the model of the idea; messages are GraphSAGE's (Hamilton et al. 2017), the gate is that
of Ilse et al. (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.nn import SAGEConv
from torch_geometric.utils import scatter, softmax

from ..schema.studies import RiskSettings


@dataclass(frozen=True)
class Bags:
    """Tiles of some patients: features (N, D), links (2, M), patient of each tile (N,), number of patients."""

    x: Tensor
    links: Tensor
    patient: Tensor
    count: int


@dataclass(frozen=True)
class Risks:
    """Log-risk (B,), what each tile contributes to it (N,), and the gate (N,), which sums to 1 per patient."""

    risk: Tensor
    contribution: Tensor
    gate: Tensor


class RiskNetwork(nn.Module):
    """Log-risk of patients; 0 for everybody before it has learnt.

    Parameters
    ----------
    dim : int
        D, length of a tile's features.
    settings : RiskSettings

    Attributes
    ----------
    mean, scale : (D,)
        Standardisation of the features, of the training patients.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int, settings: RiskSettings) -> None:
        super().__init__()
        width = settings.hidden
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.enter = nn.Linear(dim, width)
        self.messages = nn.ModuleList(SAGEConv(width, width) for _ in range(settings.layers))
        self.dropout = nn.Dropout(settings.dropout)
        whole = width * (settings.layers + 1)
        self.look, self.sieve = nn.Linear(whole, width), nn.Linear(whole, width)
        self.gate = nn.Linear(width, 1, bias=False)
        self.score = nn.Linear(whole, 1, bias=False)  # a constant would change no partial likelihood
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.score.weight)

    def forward(self, bags: Bags) -> Risks:
        """Log-risk of each patient in `bags`."""
        h = torch.relu(self.enter((bags.x - self.mean) * self.scale))  # (N, width)
        levels = [h]
        for message in self.messages:
            h = h + torch.relu(message(self.dropout(h), bags.links))
            levels.append(h)
        z = self.dropout(torch.cat(levels, dim=1))  # (N, width * (layers + 1))
        seen = torch.tanh(self.look(z)) * torch.sigmoid(self.sieve(z))
        gate = softmax(self.gate(seen), bags.patient, num_nodes=bags.count).squeeze(1)  # (N,)
        contribution = gate * self.score(z).squeeze(1)
        return Risks(scatter(contribution, bags.patient, 0, bags.count, "sum"), contribution, gate)
