"""How large the fault suite is: seconds as part of all tests, everything with ``python -m tests.faults.full``."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.batch_slide import SlideJob
from hmgdm_plugin.cohort.listing import slides_of_folder
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import work
from hmgdm_plugin.schema.entry import keyed
from hmgdm_plugin.schema.options import BatchOptions
from hmgdm_plugin.schema.run import RECORD
from hmgdm_plugin.zoo.digest import verify
from hmgdm_plugin.zoo.load import find

ODD = """
import os, random, socket, sys, time
time.time = lambda: random.uniform(0, 4e9)
def closed(event, *arguments):
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"}:
        os.write(2, f"network: {event} {arguments}\\n".encode())
        os._exit(99)
sys.addaudithook(closed)
socket.socket.listen = lambda *arguments: closed("socket.connect", *arguments)
"""
REPO = Path(__file__).resolve().parents[2]
FULL = os.environ.get("HMGDM_FAULTS") == "full"
Counts = Callable[..., None]
_counted: list[str] = []


@pytest.fixture(name="size")
def _size() -> Callable[[int, int], int]:
    """The first number for a run of seconds, the second for the full one."""
    return lambda small, full: full if FULL else small


@pytest.fixture(name="full_only")
def _full_only() -> None:
    """For what takes minutes."""
    if not FULL:
        pytest.skip("part of the full fault suite: python -m tests.faults.full")


@pytest.fixture(name="count")
def _count(request: pytest.FixtureRequest) -> Counts:
    """Called with numbers that the full run prints."""

    def say(**numbers: Any) -> None:
        _counted.append(f"{request.node.name}: {', '.join(f'{value} {name}' for name, value in numbers.items())}")

    return say


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for line in _counted if FULL else []:
        terminalreporter.write_line(line.replace("_", " "))


@pytest.fixture(name="chance")
def _chance(request: pytest.FixtureRequest) -> random.Random:
    """Random, and the same each time."""
    return random.Random(request.node.name)


@pytest.fixture(scope="session", name="model")
def _model(saved_model: Path) -> Path:
    """The model that ships in the full run, else the tiny one."""
    return find("hmgdm-small") if FULL else saved_model


@pytest.fixture(scope="session", name="slides")
def _slides(tmp_path_factory: pytest.TempPathFactory, stained: NDArray[np.uint8]) -> Path:
    """Three small slides, one of several blocks."""
    side_px = 2400 if FULL else 1000  # tiles of the model that ships are larger
    folder = tmp_path_factory.mktemp("slides")
    for number in range(2):
        Image.fromarray(stained[60 * number : 60 * number + 250, 250:550]).save(folder / f"small {number}.png")
    Image.fromarray(np.tile(stained[:, 200:], (4, 4, 1))[:side_px, :side_px]).save(folder / "large.png")
    return folder


@pytest.fixture(scope="session", name="environment")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For processes of their own."""
    return {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session", name="odd")
def _odd(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, str]:
    """As `environment`, where the clock tells another time at each call, and a process that uses a socket ends."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(ODD)
    return {**environment, "PYTHONPATH": os.pathsep.join([str(site), environment["PYTHONPATH"]])}


@pytest.fixture(scope="session", name="command")
def _command(model: Path) -> Callable[..., list[str]]:
    """`hmgdm batch run`."""

    def words(source: Path, results: Path, *more: str) -> list[str]:
        given = [str(source), "--results-dir", str(results), "--model", str(model), "--mpp", "0.5"]
        return [sys.executable, "-m", "hmgdm_plugin.cli", "batch", "run", *given, *more]

    return words


@pytest.fixture(scope="session", name="unbroken")
def _unbroken(slides: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Results of a run that nothing happens to, without any other process."""
    store = Store(tmp_path_factory.mktemp("unbroken") / "r")
    store.begin({})
    job = SlideJob(BatchOptions(source=slides, model=str(model), mpp=0.5), verify(model), 1)
    work(keyed(slides_of_folder(slides)), store, job, lambda *told: None)
    return results_of(store.root)


def results_of(root: Path) -> dict[str, bytes]:
    """All result files of a batch but run records, which say when and how long."""
    files = (path for path in (root / "slides").rglob("*") if path.is_file() and path.name != RECORD)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="session", name="read_results")
def _read_results() -> Callable[[Path], dict[str, bytes]]:
    """`results_of`, for tests."""
    return results_of
