"""kill -9 at any moment, two runs on one folder, workers that die: nothing lost, nothing done twice, the same bytes."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from hmgdm_plugin.schema.run import BLOCKS

LIGHT = Path(__file__).with_name("light.py")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
Run = Callable[[Path], list[str]]
Moments = tuple[int, random.Random, float]


def _used_s(process: psutil.Process) -> float:
    """Processor time of a process and of all that it has begun."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(each.cpu_times()[:2])
    return total


def _killed(words: list[str], environment: dict[str, str], after_s: float, group: bool) -> bool:
    """Start a run and kill it after so much processor time, with its workers or without; False where it needed less."""
    process = subprocess.Popen(
        words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    seen = psutil.Process(process.pid)
    while process.poll() is None:
        if _used_s(seen) >= after_s:
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


def _children_s() -> float:
    """Processor time of all processes that this one began and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _folders(results: Path) -> dict[str, int]:
    """Finished slides, and what tells a folder from one that replaced it."""
    return {path.name: path.stat().st_ino for path in results.glob("slides/*")}


def _claims(results: Path) -> set[Path]:
    """Claims on slides that are not done."""
    return set(results.glob("work/*/claim-*"))


def _worn_down(run: Run, results: Path, environments: Sequence[dict[str, str]], times: Moments) -> Counter[str]:
    """Kill runs on one folder at random moments, then let one finish elsewhere; how often which moment was hit."""
    kills, chance, longest_s = times
    done, hit = {}, Counter[str]()
    for _ in range(kills):
        old = _claims(results)
        if not _killed(run(results), environments[0], chance.uniform(0.05, longest_s), chance.random() < 0.5):
            break
        blocks = any(results.glob(f"work/*/{BLOCKS}"))
        hit["kills"] += 1
        hit["inside a slide"] += bool(_claims(results) - old)
        hit["with blocks to go on from"] += blocks
        now = _folders(results)
        assert done.items() <= now.items(), "a slide that was done is gone or was done again"
        done = now
    last = subprocess.run(run(results), env=environments[1], capture_output=True, text=True, check=False, timeout=600)
    assert last.returncode == 0, last.stderr
    assert done.items() <= _folders(results).items()
    assert not list(results.glob("work/*/*"))
    return hit


def _light(slides: int, *more: str) -> Run:
    return lambda results: [sys.executable, str(LIGHT), str(results), str(slides), "2", *more]


def _result(root: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in root.glob("slides/*/result")}


def test_killed_while_handing_out_slides(
    tmp_path: Path, environment: dict[str, str], chance: random.Random, size: Callable[[int, int], int], count: Callable
) -> None:
    slides, wanted, hits, runs = size(60, 1500), size(3, 50), Counter[str](), 0
    subprocess.run(_light(slides)(tmp_path / "a" / "r"), env=environment, check=True, capture_output=True)
    while hits["kills"] < wanted:
        results = tmp_path / f"b{runs}" / "r"
        times = (wanted - hits["kills"], chance, size(10, 15) / 10)
        hits += _worn_down(_light(slides), results, (environment, environment), times)
        assert _result(results) == _result(tmp_path / "a" / "r")
        runs += 1
    count(slides=slides, runs_finished_with_the_same_bytes=runs, **hits)


def test_killed_while_analysing_and_finished_with_odd_clocks_and_no_network(
    slides: Path,
    unbroken: dict[str, bytes],
    command: Callable[..., list[str]],
    environment: dict[str, str],
    odd: dict[str, str],
    tmp_path: Path,
    chance: random.Random,
    read_results: Callable[[Path], dict[str, bytes]],
    size: Callable[[int, int], int],
    count: Callable,
) -> None:
    proof = [sys.executable, "-c", "import socket; socket.socket().listen()"]
    assert subprocess.run(proof, env=odd, check=False, capture_output=True).returncode == 99
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in slides.iterdir()}
    hits, runs, wanted = Counter[str](), 0, size(1, 50)

    def run(place: Path) -> list[str]:
        return command(slides, place, "--workers", str(size(1, 2)))

    start_s, before_s = time.monotonic(), _children_s()
    if wanted > 1:  # processor time: a moment between start and end of a run, whatever else the machine does
        subprocess.run(run(tmp_path / "whole"), env=environment, check=True, capture_output=True)
        assert read_results(tmp_path / "whole") == unbroken
    longest_s = max(4.0, _children_s() - before_s)
    while hits["kills"] < wanted:
        results = tmp_path / str(runs)
        times = (min(size(2, 5), wanted - hits["kills"]), chance, longest_s)
        hits += _worn_down(run, results, (environment, odd), times)
        assert read_results(results) == unbroken
        runs += 1
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in slides.iterdir()} == before
    count(**hits, runs_finished_with_the_same_bytes=runs, seconds=round(time.monotonic() - start_s))


def test_two_runs_on_one_folder_share_the_work(
    tmp_path: Path, environment: dict[str, str], size: Callable[[int, int], int], count: Callable
) -> None:
    slides = size(60, 600)
    words = _light(slides)(tmp_path / "r")
    runs = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert f'{{"done": {slides}}}' in "".join(said)
    begun = Counter((tmp_path / "begun").read_text().split("\n")[:-1])
    assert len(begun) == slides
    assert max(begun.values()) == 1, "no slide is begun by both"
    count(slides=slides, begun_twice=0)


@pytest.mark.parametrize(
    ("fault", "reason"), [("bad", "cannot be read"), ("memory", "out of memory"), ("killed", "ended by signal 9")]
)
def test_some_slides_are_bad_or_too_much_for_a_worker(
    fault: str,
    reason: str,
    tmp_path: Path,
    environment: dict[str, str],
    size: Callable[[int, int], int],
    count: Callable,
) -> None:
    slides = size(40, 1000 if fault == "bad" else 200)
    done = subprocess.run(
        _light(slides, fault)(tmp_path / "r"), env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    bad = slides // 20
    assert done.stdout == f'{{"done": {slides - bad}, "quarantined": {bad}}}\n', done.stderr
    states = [path.read_text() for path in (tmp_path / "r" / "states").glob("*.json")]
    assert sum(state.count(reason) for state in states) == 2 * bad, "two attempts each, with the reason"
    count(slides=slides, quarantined=bad)
