"""How far a run has come: by graphs seen, or by the time it has worked on one core; both go on after a resume."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from ..schema.settings import TrainingSettings
from .checkpoint import State


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Parameters
    ----------
    settings : TrainingSettings
        `minutes` above 0 counts time, else graphs are counted.
    graphs : int
        Graphs that a run over all epochs sees.
    device : torch.device
    """

    settings: TrainingSettings
    graphs: int
    device: torch.device

    @property
    def whole(self) -> int:
        """All of it, in graphs or milliseconds."""
        return round(self.settings.minutes * 60_000) or self.graphs

    def used(self, state: State) -> int:
        """What `state` has used of it, at most `whole`."""
        spent = round(state.log.worked_s * 1000) if self.settings.minutes else state.place.seen
        return min(spent, self.whole)

    def clock(self) -> float:
        """Seconds that this process has computed, on all its threads; on another device than the CPU, seconds."""
        return time.process_time() if self.device.type == "cpu" else time.monotonic()
