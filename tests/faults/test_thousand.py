"""Many small slides with some bad ones, the real analysis: every good one done, every bad one told, memory flat."""

from __future__ import annotations

import csv
import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.schema import run

MB = 1 << 20
Sample = tuple[int, int, int, int]  # seconds, slides done, MB of the largest worker, MB of the process above it


def _made(folder: Path, stained: NDArray[np.uint8], total: int) -> int:
    """Small slides, every twentieth bad in one of four ways; how many are bad."""
    rng, bad = np.random.default_rng(1), 0
    folder.mkdir()
    for number in range(total):
        path = folder / f"slide {number:04d}.png"
        x, y = rng.integers(200, 640), rng.integers(0, 440)
        Image.fromarray(stained[y : y + 160, x : x + 160]).save(path)
        if number % 20 == 3:
            _spoilt(path, bad % 4)
            bad += 1
    return bad


def _spoilt(path: Path, how: int) -> None:
    whole = path.read_bytes()
    if how == 0:
        path.write_bytes(whole[: len(whole) // 2])
    elif how == 1:
        path.write_bytes(b"")
    elif how == 2:
        path.write_bytes(bytes(200) + whole)
    else:
        Image.new("RGB", (160, 160), "white").save(path)


def _watched(process: subprocess.Popen[str], samples: list[Sample], results: Path) -> None:
    """Memory of the worker and of the process that started it, again and again, beside how many slides are done."""
    parent, start_s = psutil.Process(process.pid), time.monotonic()
    while process.poll() is None:
        try:
            own = parent.memory_info().rss
            sizes = [child.memory_info().rss for child in parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        done = len(list((results / "slides").iterdir())) if (results / "slides").is_dir() else 0
        samples.append((round(time.monotonic() - start_s), done, max(sizes, default=0) // MB, own // MB))
        time.sleep(0.5)


def _peaks(samples: list[Sample], total: int, column: int) -> list[int]:
    """The most memory while each tenth of the slides was done."""
    tenths = [[each[column] for each in samples if 10 * each[1] // total == tenth] for tenth in range(10)]
    return [max(tenth, default=0) for tenth in tenths]


def _kept(samples: list[Sample]) -> None:
    """Write the samples for `benchmarks.memory`, where asked to."""
    if folder := os.environ.get("HMGDM_FAULTS_KEEP"):
        with (Path(folder) / "memory.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("seconds", "slides", "worker_mb", "parent_mb"), *samples])


def test_every_good_slide_is_done_and_every_bad_one_told(
    full_only: None,
    tmp_path: Path,
    stained: NDArray[np.uint8],
    command: Callable[..., list[str]],
    environment: dict[str, str],
    count: Callable,
) -> None:
    total, results = int(os.environ.get("HMGDM_FAULTS_SLIDES", "1000")), tmp_path / "r"
    bad = _made(tmp_path / "slides", stained, total)
    words = command(tmp_path / "slides", results, "--workers", "1")  # one worker sees them all
    samples: list[Sample] = []
    start_s = time.monotonic()
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = threading.Thread(target=_watched, args=(process, samples, results))
    watch.start()
    _, warned = process.communicate(timeout=3 * 3600)
    watch.join()
    seconds = time.monotonic() - start_s
    _kept(samples)
    assert process.returncode == 1, warned
    assert "Traceback" not in warned
    with (results / run.SUMMARY).open(newline="", encoding="utf-8") as file:
        words_of = [row["state"] for row in csv.DictReader(file)]
    assert (words_of.count("done"), words_of.count("quarantined")) == (total - bad, bad)
    with (results / run.FAILURES).open(newline="", encoding="utf-8") as file:
        assert all(row["problem"] and row["fix"] for row in csv.DictReader(file))
    assert not (results / "logs").exists(), "nothing unforeseen"
    worker, parent = _peaks(samples, total, 2), _peaks(samples, total, 3)
    if total >= 100:  # the last tenth of the process above is the report
        assert max(worker[5:]) < 1.1 * max(worker[1:3]), f"memory grows with the slides: {worker}"
        assert max(parent[5:9]) < 1.1 * max(parent[1:3]), f"memory grows with the slides: {parent}"
    count(slides=total, bad=bad, seconds=round(seconds), MB_of_the_worker=worker, MB_of_the_process_above=parent)
