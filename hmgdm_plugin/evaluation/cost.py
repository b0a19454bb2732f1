"""What a row of an evaluation costs: time of one core, memory, weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """What a row costs.

    Parameters
    ----------
    trained_s : float
        Seconds of one core for its training.
    tile_s : float
        Seconds of one core from the pixels of a tile to its embedding.
    memory_mb : float
        Most memory of the process while it was trained and while it embedded.
    parameters : int
        Weights that serve to embed a tile.
    """

    trained_s: float
    tile_s: float
    memory_mb: float
    parameters: int

    @classmethod
    def of_seeds(cls, costs: Sequence[Cost]) -> Cost:
        """Means of the times, most of the memory."""
        trained, tile = (sum(each) / len(costs) for each in zip(*((c.trained_s, c.tile_s) for c in costs), strict=True))
        return cls(trained, tile, max(c.memory_mb for c in costs), costs[0].parameters)


def fresh_peak() -> None:
    """Let the process's peak of memory count from here, where the system can (Linux)."""
    if sys.platform == "linux":
        _CLEAR.write_text("5", "ascii")


def peak_mb() -> float:
    """The most memory that the process has held, since `fresh_peak` where the system can."""
    if sys.platform == "linux":
        lines = _STATUS.read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS
