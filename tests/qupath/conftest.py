"""A real QuPath, where PAQUO_QUPATH_DIR points at one, and a virtual screen for its window."""

import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from benchmarks.screen import open_qupath, virtual_screen
from tests.qupath.headless import DRIVERS, first_image, hmgdm, script


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


@pytest.fixture(scope="session")
def results(tmp_path_factory, bounds_slide):
    """What predict writes about a slide that QuPath crops."""
    folder = tmp_path_factory.mktemp("results ä") / "run"
    hmgdm("predict", bounds_slide, "--results-dir", folder, "--explain", "--columns", "--workers", 1)
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory, bounds_slide):
    """A project of that slide, with what a person drew."""
    folder = tmp_path_factory.mktemp("projects") / "a project ü"
    hmgdm("project", "create", folder, bounds_slide)
    script(DRIVERS / "person.groovy", project=folder / "project.qpproj", image=first_image(folder), save=True)
    return folder
