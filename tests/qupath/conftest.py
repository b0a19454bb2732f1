"""A real QuPath, where PAQUO_QUPATH_DIR points at one, and a virtual screen for its window."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from benchmarks.screen import open_qupath, virtual_screen


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if item.get_closest_marker("qupath") and not Path(os.environ.get("PAQUO_QUPATH_DIR", "no QuPath")).is_dir():
        pytest.skip("no QuPath: set PAQUO_QUPATH_DIR to its folder")


@pytest.fixture(scope="session")
def open_window():
    """Open QuPath's window until its driver closes it; takes Java's properties and a limit in seconds."""
    if shutil.which("Xvfb") is None:
        pytest.skip("no virtual screen: install xvfb")
    with virtual_screen() as screen:
        yield partial(open_qupath, screen)
