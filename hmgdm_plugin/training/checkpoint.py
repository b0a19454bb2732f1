"""Checkpoints as safetensors: weights, optimiser, averaged weights, random state, step; resumed exactly."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..schema.errors import InputError
from ..schema.weights import write_tensors


@dataclass
class State:
    """Everything that decides the next step of a training run."""

    module: nn.Module
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    average: dict[str, Tensor]
    recipe: str
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the state whole, then rename it into place."""
        tensors = {f"module.{key}": value for key, value in self.module.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{key}": torch.as_tensor(value) for key, value in values.items()}
        tensors["generator"] = self.generator.get_state()
        metadata = {"step": str(self.step), "recipe": self.recipe, "history": json.dumps(self.history)}
        write_tensors(path, tensors, metadata)

    def load(self, path: Path) -> None:
        """Take up the state saved at `path`.

        Raises
        ------
        InputError
            The checkpoint was made with other settings.
        """
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            if metadata["recipe"] != self.recipe:
                raise InputError(f"{path}: was made with other settings", "restore them, or use another --results-dir")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.module.load_state_dict(_under(tensors, "module."))
        self.average = _under(tensors, "average.")
        saved = self.optimiser.state_dict()
        for key, value in _under(tensors, "optimiser.").items():
            number, name = key.split(".", 1)
            saved["state"].setdefault(int(number), {})[name] = value
        self.optimiser.load_state_dict(saved)
        self.generator.set_state(tensors["generator"])
        self.step = int(metadata["step"])
        self.history = json.loads(metadata["history"])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
