"""Claims: one owner at a time, dead ones taken over, whatever the clocks say."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hmgdm_plugin.cohort import process
from hmgdm_plugin.cohort.claims import Claim, Claims
from hmgdm_plugin.schema.run import claim_json


def _elsewhere(root: Path, beat: int, number: int = 1) -> Path:
    """A claim of a process on another machine."""
    path = root / claim_json("a", number)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {"host": "elsewhere", "pid": 1, "start": "1", "beat": f"{beat:012d}", "released": 0, "abandoned": 0}
    path.write_text(json.dumps(facts))
    return path


def _taken(root: Path) -> Claim:
    claim = Claims(root).take("a")
    assert claim is not None
    return claim


def test_a_slide_has_one_owner_until_it_is_given_back(tmp_path: Path) -> None:
    claim = _taken(tmp_path)
    assert Claims(tmp_path).take("a") is None
    assert Claims(tmp_path).state("a") == "held"
    claim.release()
    again = _taken(tmp_path)
    assert (again.number, again.abandoned) == (2, 0)
    assert not claim.mine()
    assert again.mine()
    again.release()


def _race(root: Path, gate: str, out: str) -> None:
    while not os.path.exists(gate):
        pass
    claims = Claims(root)
    won = [key for key in map(str, range(40)) if claims.take(key)]
    Path(out).write_text(" ".join(won))
    time.sleep(60)


def test_of_many_that_reach_out_at_once_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    outs = [tmp_path / f"out{number}" for number in range(4)]
    racers = [
        context.Process(target=_race, args=(tmp_path / "r", str(tmp_path / "go"), str(out)), daemon=True)
        for out in outs
    ]
    for racer in racers:
        racer.start()
    (tmp_path / "go").touch()
    deadline = time.monotonic() + 30
    while not all(out.exists() and time.sleep(0.05) is None for out in outs):
        assert time.monotonic() < deadline
    time.sleep(0.2)
    won = [key for out in outs for key in out.read_text().split()]
    for racer in racers:
        racer.kill()
        racer.join()
    assert sorted(won, key=int) == [str(number) for number in range(40)]


def test_a_dead_owner_on_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from hmgdm_plugin.cohort.claims import Claims;"
        "assert Claims(pathlib.Path(sys.argv[1])).take('a'); os.kill(os.getpid(), 9)"
    )
    for number in (1, 2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert Claims(tmp_path).state("a") == "dead", number
    claim = _taken(tmp_path)
    assert (claim.number, claim.abandoned) == (3, 2)
    claim.release()


def test_a_number_that_another_process_got_meanwhile_is_not_the_owner(tmp_path: Path) -> None:
    path = _elsewhere(tmp_path, 0)
    facts = json.loads(path.read_text()) | {"host": process.host(), "pid": os.getpid(), "start": "1"}
    path.write_text(json.dumps(facts))
    assert Claims(tmp_path).state("a") == ("dead" if process.started(os.getpid()) else "held")


def test_an_owner_elsewhere_is_watched_and_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("hmgdm_plugin.cohort.claims.time.monotonic", lambda: now_s[0])
    path = _elsewhere(tmp_path, 1)
    claims = Claims(tmp_path)
    assert claims.state("a") == "unsure"
    for number in range(2, 5):
        now_s[0] += 50
        _elsewhere(tmp_path, number)
        assert claims.state("a") == "held"
        assert claims.take("a") is None
    now_s[0] += 61
    assert claims.state("a") == "dead"
    claim = claims.take("a")
    assert claim is not None
    assert claim.number == 2
    assert path.exists()
    claim.release()


@pytest.mark.parametrize("years", [-40, 40])
def test_clocks_that_jump_change_nothing(tmp_path: Path, years: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the wall clock nor the times of files are asked."""
    _elsewhere(tmp_path, 1)
    claims = Claims(tmp_path)
    assert claims.state("a") == "unsure"
    then_s = time.time() + years * 365 * 86400
    monkeypatch.setattr(time, "time", lambda: then_s)
    os.utime(tmp_path / claim_json("a", 1), (max(then_s, 0),) * 2)
    assert claims.state("a") == "unsure"
    assert claims.take("a") is None


def test_the_owner_is_seen_to_live_by_its_counter(tmp_path: Path) -> None:
    claim = Claims(tmp_path, every_s=0.01).take("a")
    assert claim is not None
    path = tmp_path / claim_json("a", 1)
    first, deadline = path.read_bytes(), time.monotonic() + 20
    while path.read_bytes() == first:
        assert time.monotonic() < deadline
    assert len(path.read_bytes()) == len(first), "written over, so that a full disk does not end it"
    claim.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"host": 1}'])
def test_a_claim_that_is_only_half_there_is_waited_for(tmp_path: Path, text: str) -> None:
    path = tmp_path / claim_json("a", 1)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert Claims(tmp_path).take("a") is None
    quick = Claims(tmp_path, dead_after_s=0.0)
    assert quick.state("a") == "dead"
    claim = quick.take("a")
    assert claim is not None
    claim.release()


def test_a_disk_without_links_is_good_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    claim = _taken(tmp_path)
    assert Claims(tmp_path).take("a") is None
    claim.release()


def test_a_claim_of_one_that_is_known_to_be_gone_can_be_given_back(tmp_path: Path) -> None:
    path = _elsewhere(tmp_path, 1)
    claims = Claims(tmp_path)
    claims.end("a", 77)
    assert claims.state("a") == "unsure"
    claims.end("a")
    assert claims.state("a") == "free"
    claims.end("b")
    assert json.loads(path.read_text())["released"] == 1
