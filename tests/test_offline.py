"""The demo, end to end, on a machine without a network: a process whose first connection would be its last."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hmgdm_plugin.schema.run import RECORD, REPORT, SUMMARY

REPO = Path(__file__).resolve().parents[1]
CLOSED = """
import os, sys
def closed(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"}:
        sys.stderr.write(f"network: {event} {arguments}\\n")
        os._exit(99)
sys.addaudithook(closed)
"""


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An environment whose Python ends at the first attempt to reach a network, and whose home is empty."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CLOSED, "utf-8")
    (tmp_path / "home").mkdir()
    paths = os.pathsep.join([str(tmp_path / "site"), str(REPO)])
    return {**os.environ, "PYTHONPATH": paths, "HOME": str(tmp_path / "home")}


def _demo(results: Path) -> list[str]:
    return [sys.executable, "-m", "hmgdm_plugin.cli", "demo", "--events", "--results-dir", str(results)]


def test_a_connection_would_be_noticed(offline: dict[str, str]) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], env=offline, capture_output=True, text=True, check=False)
    assert done.returncode == 99


def test_the_demo_needs_no_network(offline: dict[str, str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = subprocess.run(_demo(results), env=offline, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(Path(path).exists() for path in lines[-1]["result"].values())
    assert any(line.get("stage") == "predict" and line["done"] == line["total"] for line in lines[:-1])
    assert {RECORD, REPORT, SUMMARY} <= {path.name for path in results.iterdir()}
    report = (results / REPORT).read_text("utf-8")
    assert re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*""", report) == [], "the report must open offline too"
    assert [path.name for path in results.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_cancelled_demo_ends_in_time_and_leaves_nothing(offline: dict[str, str], tmp_path: Path) -> None:
    results = tmp_path / "results"
    process = subprocess.Popen(_demo(results), env=offline, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["stage"] != "predict":
        pass
    start_s = time.monotonic()
    process.terminate()
    said, _ = process.communicate(timeout=30)
    assert time.monotonic() - start_s < 2.0
    assert process.returncode == 130
    assert json.loads(said.splitlines()[-1])["error"] == "cancelled"
    assert not results.exists()
