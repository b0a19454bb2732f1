from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from hmgdm_plugin.schema.errors import Cancelled, InputError
from hmgdm_plugin.schema.events import Events, ended_by_signal

SWALLOWED = """
import time
from hmgdm_plugin.schema.errors import Cancelled, HmgdmError
from hmgdm_plugin.schema.events import ended_by_signal
try:
    with ended_by_signal():
        try:
            while True:
                try:
                    print("ready", flush=True)
                    time.sleep(60)
                except (HmgdmError, Exception):
                    print("swallowed")
        finally:
            print("cleaned up")
except Cancelled:
    print("cancelled")
"""
COMPILED = """
import hashlib, threading
from hmgdm_plugin.schema.events import ended_by_signal
with ended_by_signal(lambda: print("last word", flush=True)):
    threading.Timer(0.3, print, ("ready",), {"flush": True}).start()  # by then the main thread is in compiled code
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
WORKER = """
import multiprocessing, os, signal, time
from hmgdm_plugin.schema.events import ended_by_signal
with ended_by_signal(grace_s=0.3):
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    time.sleep(0.1)
    worker.terminate()
    worker.join()
    time.sleep(0.6)
    print("still here")
"""


def _ended(code: str) -> tuple[str, int, float]:
    """What a process printed after SIGTERM, its exit code, and the seconds it took to end."""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    start_s = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=10)
    return said, process.returncode, time.monotonic() - start_s


def test_sigterm_is_not_swallowed_and_everything_is_cleaned_up() -> None:
    said, code, _ = _ended(SWALLOWED)
    assert said.splitlines() == ["cleaned up", "cancelled"]
    assert code == 0


def test_sigterm_ends_compiled_code_within_two_seconds() -> None:
    said, code, seconds = _ended(COMPILED)
    assert said.splitlines() == ["last word"]
    assert code == 130
    assert seconds < 2.0


def test_the_end_of_a_worker_is_not_the_end_of_the_run() -> None:
    done = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "still here\n")


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Cancelled), ended_by_signal():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_json_lines_hold_nothing_but_events(capsys: pytest.CaptureFixture[str]) -> None:
    events = Events(as_json=True)
    for _ in events.track("graph", range(1000), 1000):
        pass
    events.note("pixel size taken from --mpp")
    events.result({"report": "r.html"})
    events.error(InputError("a.svs: no such file", "give another"))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-4] == {"stage": "graph", "done": 1000, "total": 1000, "message": ""}
    assert lines[-3]["message"] == "pixel size taken from --mpp"
    assert lines[-2:] == [{"result": {"report": "r.html"}}, {"error": "a.svs: no such file", "fix": "give another"}]
    assert len(lines) < 20, "progress must be throttled"


def test_for_people_only_the_result_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    events = Events()
    events.progress("graph", 1, 2)
    events.note("a note")
    events.result({"report": "r.html"})
    said = capsys.readouterr()
    assert said.out.split() == ["report", "r.html"]
    assert said.err == "a note\n"


def test_timed_adds_up() -> None:
    events = Events()
    for _ in range(2):
        with events.timed("read"):
            time.sleep(0.02)
    assert 0.04 <= events.seconds["read"] < 0.5


def test_a_quiet_process_says_nothing_but_keeps_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    events = Events(as_json=True, quiet=True)
    events.progress("graphs", 1, 1)
    events.note("one patient is held out")
    assert events.notes == ["one patient is held out"]
    assert capsys.readouterr().out == ""
