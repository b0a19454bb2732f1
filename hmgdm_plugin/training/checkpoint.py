"""Checkpoints as safetensors: weights, optimiser, averaged weights, place in the order, log; resumed exactly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..schema.errors import InputError
from ..schema.weights import write_tensors
from .log import Log
from .order import Place


@dataclass
class State:
    """Everything that decides the next step of a training run; chance follows from seed and step."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]
    recipe: str
    processes: int = 1
    step: int = 0
    place: Place = field(default_factory=Place)
    log: Log = field(default_factory=Log)

    def save(self, path: Path) -> None:
        """Write the state whole, then rename it into place."""
        tensors = {f"module.{key}": value for key, value in self.module.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": torch.as_tensor(value) for key, value in values.items()}
        about = {
            "step": self.step,
            "recipe": self.recipe,
            "processes": self.processes,
            "place": asdict(self.place),
            "log": asdict(self.log),
        }
        write_tensors(path, tensors, {key: json.dumps(value) for key, value in about.items()})

    def load(self, path: Path) -> None:
        """Take up the state saved at `path`.

        Raises
        ------
        InputError
            The checkpoint was made with other settings, or by another number of processes.
        """
        device = next(self.module.parameters()).device
        with safe_open(path, "pt", device=str(device)) as file:
            about = {key: json.loads(value) for key, value in file.metadata().items()}
            if about["recipe"] != self.recipe:
                raise InputError(f"{path}: was made with other settings", "restore them, or use another --results-dir")
            if about["processes"] != self.processes:
                raise InputError(
                    f"{path}: was made by {about['processes']} processes, not {self.processes}",
                    f"pass --processes {about['processes']} (torchrun: --nproc-per-node), or another --results-dir",
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.module.load_state_dict(_under(tensors, "module."))
        if self.average:
            self.average = _under(tensors, "average.")
        saved = self.optimiser.state_dict()
        for key, value in _under(tensors, "optimiser.").items():
            number, name = key.split(".", 1)
            saved["state"].setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict(saved)
        self.step, self.place, self.log = about["step"], Place(**about["place"]), Log(**about["log"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
