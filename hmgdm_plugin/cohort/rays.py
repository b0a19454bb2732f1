"""The door to Ray: slides as tasks of a cluster. Tasks get paths and settings, never pixels; results lie on the disk.

A task does what a local worker does, once, under the same claim. Tasks that vanish with their machine are put out
again; Ray says that they are gone, so nobody has to wait for a sign of life.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..schema.entry import SlideEntry
from ..schema.errors import HmgdmError, InputError, RunError
from .claims import Claims
from .store import Store
from .worker import BACKOFF_S, Job, Tell, attempt, finished

IN_FLIGHT = 2  # tasks put out for each place where one can run
VANISHED = 5  # times that a task may vanish with its machine or process
_kept: dict[str, Job] = {}
_INSTALL = 'run: .venv/bin/pip install -c constraints.txt -e ".[ray]"'


class RayRun:
    """As `local.LocalRun`, on a Ray cluster: the one of ``RAY_ADDRESS``, the one of this process, or a local one."""

    def __init__(self, store: Store, entries: Sequence[SlideEntry], make_job: Callable[[], Job], heard: Tell) -> None:
        self._store, self._entries, self._make_job, self._heard = store, entries, make_job, heard
        self._claims = Claims(store.root)
        self._todo = deque((time.monotonic(), entry, 0) for entry in entries)
        self._running: dict[Any, tuple[SlideEntry, int]] = {}

    def run(self, cpus: float, gpus: float) -> None:
        """Work until nothing is left to do, with so many cores and so much of a GPU for each slide.

        Raises
        ------
        RunError
            No slide can be worked on any more.
        InputError
            Ray is not installed, or no machine of the cluster has what a slide needs.
        """
        ray = _ray()
        begun_here = not ray.is_initialized()
        if begun_here:
            ray.init(os.environ.get("RAY_ADDRESS"), include_dashboard=False, log_to_driver=False)
        try:
            task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(_task)
            self._go_on(ray, task, cpus, gpus)
        finally:
            for reference in self._running:
                ray.cancel(reference, force=True)
            if begun_here:
                ray.shutdown()

    def _go_on(self, ray: Any, task: Any, cpus: float, gpus: float) -> None:
        while self._todo or self._running:
            room = IN_FLIGHT * _places(ray, cpus, gpus) - len(self._running)
            while self._todo and room > 0 and self._todo[0][0] <= time.monotonic():
                _, entry, vanished = self._todo.popleft()
                reference = task.remote(self._store, entry, self._make_job)
                self._running[reference] = entry, vanished
                room -= 1
            done, _ = ray.wait(list(self._running), timeout=0.5) if self._running else ([], [])
            for reference in done:
                self._ended(ray, reference)
            if not self._running and self._todo:
                time.sleep(0.1)

    def _ended(self, ray: Any, reference: Any) -> None:
        """Take what a task says, or put it out again."""
        entry, vanished = self._running.pop(reference)
        try:
            word, more = ray.get(reference)
        except ray.exceptions.RayTaskError:  # unforeseen, written down by the task
            word, more = "failed", ""
        except ray.exceptions.RayError as error:
            self._claims.end(entry.key)
            if vanished >= VANISHED:
                problem = f"{entry.slide_id}: its task vanished {vanished} times ({type(error).__name__})"
                raise HmgdmError(problem, "see the logs of Ray") from error
            self._todo.append((time.monotonic() + BACKOFF_S, entry, vanished + 1))
            return
        if word == "stop":
            raise RunError(*more)
        self._heard(entry.key, word, "")
        claim = self._claims.state(entry.key)  # watched from here: tasks end too soon to see somebody dead
        if claim == "dead":
            self._claims.end(entry.key)
        if not finished(entry, self._store) and (word or claim != "held"):
            self._todo.append((time.monotonic() + BACKOFF_S, entry, vanished))


def _task(store: Store, entry: SlideEntry, make_job: Callable[[], Job]) -> tuple[str, Any]:
    """One attempt at one slide, in a process of the cluster."""
    try:
        return attempt(entry, store, _job(make_job), lambda *told: None, Claims(store.root)), ""
    except RunError as error:
        return "stop", (error.problem, error.fix)


def _job(make_job: Callable[[], Job]) -> Job:
    """The job of this process: made once, again only when another batch comes."""
    name = repr(make_job)
    if name not in _kept:
        _kept.clear()
        _kept[name] = make_job()
    return _kept[name]


def _places(ray: Any, cpus: float, gpus: float) -> int:
    """How many slides the cluster can work on at a time, at least one.

    Raises
    ------
    InputError
        No machine of it has what one slide needs.
    """
    machines = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    fits = [
        int(min(each.get("CPU", 0) / cpus, each.get("GPU", 0) / gpus if gpus else 1 << 20) + 1e-9) for each in machines
    ]
    if machines and not any(fits):
        raise InputError(
            f"no machine of the Ray cluster has {cpus:g} cores and {gpus:g} GPUs", "lower --cpus or --gpus"
        )
    return max(sum(fits), 1)


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError(f"Ray is not installed ({error})", _INSTALL) from error
    return ray
