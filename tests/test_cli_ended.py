"""What the program does when it is ended from outside: signals, and a reader who leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

TERMINATED = """
import sys, time, types
verb = types.ModuleType("hmgdm_plugin.predict")
def predict(options, events):
    try:
        events.progress("graph", 1, 2)
        time.sleep(30)
    finally:
        print("cleaned up", file=sys.stderr)
verb.predict = predict
sys.modules["hmgdm_plugin.predict"] = verb
from hmgdm_plugin.cli import main
main(["predict", "a.svs", "--events"])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("events", [True, False])
def test_a_signal_while_all_is_still_being_imported_is_answered(events: bool) -> None:
    code = """if True:
        import os, signal, sys
        class Signals:
            def find_spec(self, name, *others):
                if name == "typer":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Signals())
        from hmgdm_plugin.start import run
        run()
    """
    words = ["predict", "a.svs", *(["--events"] if events else [])]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130
    last = '{"error": "cancelled", "fix": "run the same command to start again"}\n'
    assert (done.stdout, done.stderr) == ((last, "") if events else ("", f"hmgdm: cancelled; {last[31:-3]}\n"))


def test_sigterm_ends_with_an_error_line_and_130() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINATED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["stage"] == "graph"
    start_s = time.monotonic()
    process.terminate()
    said, warned = process.communicate(timeout=10)
    assert time.monotonic() - start_s < 2.0
    assert process.returncode == 130
    assert json.loads(said) == {"error": "cancelled", "fix": "run the same command to start again"}
    assert warned == "cleaned up\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such pipes")
def test_a_reader_who_leaves_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "hmgdm_plugin.cli", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert done.stderr == b""
    assert done.returncode == 1
