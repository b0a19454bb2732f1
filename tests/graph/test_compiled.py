"""Two processes compile all kernels, a third those of nuclei, and a fourth finds them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hmgdm_plugin.graph import compiled

BUILD = """
import numpy as np
import shapely
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.nuclei import burned
from hmgdm_plugin.graph.outlines import outlines
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.schema.space import Tile
tile = Tile(0.0, 0.0, 128.0, 128, 0.5)
rgb = np.random.default_rng(1).integers(0, 256, (128, 128, 3), np.uint8)
near = shapely.box(np.array([10, 40, 200]), 10, np.array([30, 60, 220]), 30)
graph, labels = build(rgb, tile, "slide", GraphSettings(), burned(near, tile))
outlines(labels, int(graph.num_nodes), tile)
"""


def test_a_build_finds_every_kernel_that_was_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert compiled.missing() == list(compiled.HALVES)
    with compiled.compiling():
        compiled.start([compiled.NUCLEI])
        processes = list(compiled._running.values())
        compiled.wait()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert compiled.missing(compiled.LAST) == []
    kernels = set(tmp_path.glob("**/*.nbc"))
    assert len(kernels) >= 10
    subprocess.run([sys.executable, "-c", BUILD], env=os.environ, check=True)
    assert set(tmp_path.glob("**/*.nbc")) == kernels
    with compiled.compiling(compiled.LAST):
        assert compiled._running == {}


def test_nothing_is_left_running_when_the_block_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with compiled.compiling():
        processes = list(compiled._running.values())
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)
    compiled.start([compiled.NUCLEI])  # outside nobody would end it
    assert compiled._running == {}


def test_compilers_end_with_a_caller_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with compiled.compiling():
        for process in compiled._running.values():
            assert process.stdin is not None
            process.stdin.close()  # as happens when the caller is gone
        assert [process.wait(30) for process in compiled._running.values()] == [1, 1]


def test_an_older_cache_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for last in compiled.LAST.values():
        (tmp_path / f"{last}.kernel-1.py311.nbi").touch()
    assert compiled.missing() == []
    os.utime(tmp_path / "outlines.kernel-1.py311.nbi", (0, 0))
    assert compiled.missing() == ["entities"]
