"""Processes that train together: who this one is, sums over all, weights of the first for all.

Started by `launch` (``--processes N``) or by ``torchrun``. On one machine they meet at a file and talk over the
loopback interface: nothing can be reached from outside, and without more than one process nothing listens at all.
Across machines torchrun's own meeting point is used.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, distributed, nn

from ..schema.errors import HmgdmError

MEETING = "HMGDM_MEETING"  # the file at which the processes of one run meet
PATIENCE = timedelta(days=2)  # one may build graphs while the others wait
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


@dataclass(frozen=True)
class World:
    """This process, `rank` of `size`, and the device it computes on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process keeps the log, the checkpoints and the averaged weights."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum over all processes, in place."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def share(self, module: nn.Module) -> None:
        """Give all processes the weights of the first."""
        if self.size > 1:
            for value in module.state_dict().values():
                distributed.broadcast(value, 0)

    def wait(self) -> None:
        """Until all processes are here."""
        self.sum(torch.zeros(1, device=self.device))

    def once(self, work: Callable[[], None]) -> None:
        """Let the first process do `work` while the others wait; an error of ours ends all of them.

        Raises
        ------
        HmgdmError
            `work` failed.
        """
        failed = None
        if self.first:
            try:
                work()
            except HmgdmError as error:
                failed = error
        anywhere = self.sum(torch.tensor(float(failed is not None), device=self.device))
        if failed is not None:
            raise failed
        if anywhere:
            raise HmgdmError("another process failed", "see what it says")


def rank_and_size() -> tuple[int, int]:
    """What the launcher says about this process; (0, 1) without one."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Meet the other processes of this run, if there are any, and part from them at the end."""
    rank, size = rank_and_size()
    if size == 1:
        yield World(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
        torch.cuda.set_device(device)
    one_machine = os.environ.get("LOCAL_WORLD_SIZE", str(size)) == str(size)
    if one_machine:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", LOOPBACK)
    place = f"file://{_meeting()}" if one_machine else "env://"
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=place, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield World(device, rank, size)
    finally:
        distributed.destroy_process_group()


def _meeting() -> Path:
    """A file that only the processes of this start know: named by `launch`, else after torchrun's own process."""
    given = os.environ.get(MEETING)
    if given:
        return Path(given)
    start = f"{os.getppid()}-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"
    return Path(tempfile.gettempdir()) / f"hmgdm-{start}"
