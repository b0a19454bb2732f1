"""A slide that takes too long is ended, whatever it waits for, and told as a failure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hmgdm_plugin.cohort import worker
from hmgdm_plugin.cohort.limit import OVERTIME, limited, overtime
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import Progress, work
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.run import block_file, slide_log

LATE = """
import ctypes, sys
from pathlib import Path
from hmgdm_plugin.cohort.limit import limited
with limited(Path(sys.argv[1]), 0.002):
    ctypes.PyDLL(None).sleep(60)  # holds Python's lock: no thread of Python runs meanwhile
"""


def _late(work: Path) -> int:
    return subprocess.run([sys.executable, "-c", LATE, str(work)], check=False, timeout=30).returncode


def test_compiled_code_that_never_returns_is_ended(tmp_path: Path) -> None:
    assert _late(tmp_path / "work") == 1
    found = overtime(tmp_path / "work")
    assert found is not None
    assert found[0] == "0:00:00"
    assert 'File "<string>", line 6' in found[1], "says where it was"
    assert overtime(tmp_path / "work") is None, "says so once"


def test_who_keeps_within_the_limit_leaves_nothing(tmp_path: Path) -> None:
    with limited(tmp_path / "work", 1.0):
        pass
    assert not list((tmp_path / "work").iterdir())
    with pytest.raises(InputError), limited(tmp_path / "work", 1.0):
        raise InputError("bad", "mend it")
    assert overtime(tmp_path / "work") is None
    with limited(tmp_path / "none", 0.0):
        pass
    assert not (tmp_path / "none").exists()


def test_a_late_slide_is_tried_twice_then_left_with_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    entries, store = keyed([SlideEntry("a", Path("a.svs"))]), Store(tmp_path)
    store.begin({})
    (block := store.work("a") / block_file(0)).parent.mkdir(parents=True)
    block.touch()
    tries = 0

    def job(entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        nonlocal tries
        tries += 1
        (work / OVERTIME).write_text("Timeout (4:00:00)!\nThread 0x1\n")
        raise KeyboardInterrupt  # the process is gone

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work(entries, store, job, lambda *told: None)
    work(entries, store, job, lambda *told: None)
    assert tries == 2
    state = store.state("a")
    assert state is not None
    assert state.word == "quarantined"
    assert "longer than its limit of 4:00:00" in state.failures[0].problem
    assert "--slide-minutes" in state.failures[0].fix
    assert (tmp_path / slide_log("a")).read_text().startswith("Timeout")
    assert block.exists(), "for a run with --retry"
