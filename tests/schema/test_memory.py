"""Memory that is freed goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from hmgdm_plugin.schema import memory

FRAGMENT = """
import numpy as np
from pathlib import Path
from hmgdm_plugin.schema.memory import return_freed
assert return_freed()
def held_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
np.ones(30 << 20, np.uint8)  # freed at once: the allocator learns from it
rng, pins, before_mb = np.random.default_rng(0), [], held_mb()
for size in rng.integers(2 << 20, 6 << 20, 40):
    array = [np.ones(size, np.uint8) for _ in range(3)]
    pins.append(np.ones(60_000, np.uint8))
print(held_mb() - before_mb)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are not told anything")
def test_only_what_is_used_stays() -> None:
    done = subprocess.run([sys.executable, "-c", FRAGMENT], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30  # the last three arrays and the pins


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.return_freed() is False


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"])
def test_what_the_environment_says_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(1 << 25))
    assert memory.return_freed() is False
