"""Worker processes and signals: a worker is never begun without being known."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from hmgdm_plugin.cohort.local import _undisturbed
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
        came.append("never")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_signal_waits_until_a_worker_that_was_begun_is_known() -> None:
    came: list[str] = []
    with pytest.raises(Cancelled):
        _begins_a_worker(came)
    assert came == ["begun", "known"]
