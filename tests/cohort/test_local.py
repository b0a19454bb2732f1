"""Worker processes and signals: a worker is never begun without being known."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

from hmgdm_plugin.cohort.local import LocalRun, _undisturbed
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import Progress
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import Cancelled
from hmgdm_plugin.schema.events import ended_by_signal


def _begins_a_worker(came: list[str]) -> None:
    """As `LocalRun` does, with a signal in the middle that another thread lets in."""
    with ended_by_signal():
        with _undisturbed():
            sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM))
            sender.start()
            sender.join()
            came.append("begun")
            came.append("known")
        for _ in range(500):  # the thread that takes it may still be on its way: a moment later is no fault
            time.sleep(0.01)
        came.append("never")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_signal_waits_until_a_worker_that_was_begun_is_known() -> None:
    came: list[str] = []
    with pytest.raises(Cancelled):
        _begins_a_worker(came)
    assert came == ["begun", "known"]


class _Full:
    """Has no memory for a slide, nor for the end of its process."""

    def __call__(self, entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        Finalize(None, os.abort, exitpriority=0)
        raise MemoryError


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_an_attempt_that_fails_and_then_kills_its_worker_counts_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    store.begin({})
    LocalRun(store, keyed([SlideEntry("a", Path("a.svs"))]), _Full, lambda *told: None).run(1)
    state = store.state("a")
    assert state is not None
    assert [failure.problem for failure in state.failures] == ["out of memory"] * 2
