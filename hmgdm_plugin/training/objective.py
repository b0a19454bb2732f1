"""What a stage of training minimises, on what, and who takes part."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..schema.events import Events
from .log import Log
from .order import Drawn, Ints
from .world import World

B = TypeVar("B")
LOOK_S = 20.0  # least time between two pictures of the curves


@dataclass(frozen=True)
class Objective(Generic[B]):
    """What a stage minimises and reports.

    Parameters
    ----------
    load : callable
        (numbers of graphs, random generator) > batch on the processor; called in the background.
    move : callable
        (batch, device) > batch there.
    counts : callable
        batch > number of items behind each term (float), known before anything is drawn.
    terms : callable
        (batch, generator) > sums of each term over these items, scalars.
    mixes : mapping
        Reported value > weights of the terms' means in it; ``total`` is minimised.
    """

    load: Callable[[Ints, np.random.Generator], B]
    move: Callable[[B, torch.device], B]
    counts: Callable[[B], dict[str, float]]
    terms: Callable[[B, torch.Generator], dict[str, Tensor]]
    mixes: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """One stage of one run: its name, where it keeps its files, and who takes part."""

    name: str
    folder: Path
    recipe: str
    seed: int
    mixed_shards: int
    world: World
    events: Events
    watch: Callable[[str, Log], None] = lambda name, log: None  # shows the log to whoever looks
    looked_s: list[float] = field(default_factory=list)

    @property
    def checkpoint(self) -> Path:
        """The file that the run goes on from."""
        return self.folder / f"{self.name}.safetensors"

    def seen(self, log: Log, at_once: bool = False) -> None:
        """Show the log, unless that was done a moment ago: it is the first process's, and takes a second."""
        now_s = time.monotonic()
        if at_once or not self.looked_s or now_s - self.looked_s[-1] > LOOK_S:
            self.looked_s[:] = [now_s]
            self.watch(self.name, log)


@dataclass(frozen=True)
class Made(Generic[B]):
    """One step's own parts, loaded."""

    drawn: Drawn
    parts: list[tuple[int, B]]
