"""One worker on a batch folder: retries, quarantine, what stops the run, what an earlier process left."""

from __future__ import annotations

import errno
import gc
import json
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from hmgdm_plugin.cohort import worker
from hmgdm_plugin.cohort.claims import Claims
from hmgdm_plugin.cohort.store import ABANDONED, State, Store
from hmgdm_plugin.cohort.worker import Progress, work
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError, RunError
from hmgdm_plugin.schema.run import BATCH, RECORD, slide_log, state_json

ENTRIES = keyed(SlideEntry(name, Path(f"{name}.svs")) for name in "abc")


def _job(entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
    made.mkdir()
    (made / RECORD).write_text("{}")
    (made / "result").write_text(entry.slide_id)
    return f"print of {entry.slide_id}"


def _failing(error: Callable[[], BaseException], times: int = 99) -> worker.Job:
    tried: list[str] = []

    def job(entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        tried.append(entry.key)
        if entry.key == "b" and tried.count("b") <= times:
            raise error()
        return _job(entry, made, work, heard)

    return job


@pytest.fixture(name="store")
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    monkeypatch.setattr(worker, "POLL_S", 0.01)
    store = Store(tmp_path / "r")
    store.begin({"model": "m"})
    return store


def _silent(key: str, word: str, more: str) -> None:
    pass


def _words(store: Store) -> list[str]:
    states = [store.state(entry.key) for entry in ENTRIES]
    return [state.word if state else "waiting" for state in states]


def test_all_slides_are_done_and_nothing_else_is_left(store: Store) -> None:
    told: list[tuple[str, str]] = []
    work(ENTRIES, store, _job, lambda key, word, more: told.append((key, word)))
    assert told == [(key, word) for key in "abc" for word in ("begin", "done")]
    assert _words(store) == ["done"] * 3
    left = sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())
    slides = [f"slides/{key}/{name}" for key in "abc" for name in ("result", RECORD)]
    assert left == sorted([BATCH, *slides, *(f"states/{key}.json" for key in "abc")])
    work(ENTRIES, store, _failing(AssertionError), _silent)


class _Circle:
    """Holds itself, as a figure and its canvas do."""

    def __init__(self) -> None:
        self.me = self


def test_what_a_slide_leaves_in_circles_is_gone_before_the_next(store: Store) -> None:
    left: list[weakref.ref[_Circle]] = []

    def job(entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        assert not any(each() for each in left)
        left.append(weakref.ref(_Circle()))
        return _job(entry, made, work, heard)

    gc.disable()  # Python itself might look at the right moment
    try:
        work(ENTRIES, store, job, _silent)
    finally:
        gc.enable()
        gc.unfreeze()
    assert len(left) == len(ENTRIES)


def test_a_slide_that_fails_twice_is_left_with_its_reason(store: Store) -> None:
    told: list[str] = []
    job = _failing(lambda: InputError("b.svs: bad", "mend it"))
    work(ENTRIES, store, job, lambda key, word, more: told.append(word))
    assert _words(store) == ["done", "quarantined", "done"]
    assert [word for word in told if word != "begin"] == ["done", "failed", "done", "quarantined"], "others go first"
    state = store.state("b")
    assert state is not None
    assert [(each.problem, each.fix) for each in state.failures] == [("b.svs: bad", "mend it")] * 2
    assert not store.work("b").exists()
    store.forget("b")
    work(ENTRIES, store, _job, _silent)
    assert _words(store) == ["done"] * 3


def test_one_failure_is_forgiven(store: Store) -> None:
    work(ENTRIES, store, _failing(lambda: InputError("b.svs: away", "wait"), times=1), _silent)
    assert _words(store) == ["done"] * 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_stops_the_run_and_blames_no_slide(store: Store, number: int) -> None:
    def full() -> BaseException:
        error = InputError("r: cannot be written (the disk is full)", "free some")
        error.__cause__ = OSError(number, "full")
        return error

    with pytest.raises(RunError, match="cannot be written"):
        work(ENTRIES, store, _failing(full), _silent)
    assert _words(store) == ["done", "waiting", "waiting"]
    assert Claims(store.root).state("b") == "free"


@pytest.mark.parametrize("step", ["take", "save"])
def test_a_disk_too_full_for_a_claim_or_a_state_stops_the_run(
    store: Store, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Claims if step == "take" else Store, step, full)
    with pytest.raises(RunError, match="no space left on device; free some space"):
        work(ENTRIES, store, _job, _silent)


def test_a_changed_model_stops_the_run(store: Store) -> None:
    with pytest.raises(RunError, match="another model"):
        work(ENTRIES, store, _failing(lambda: RunError("another model", "restore it")), _silent)
    assert _words(store) == ["done", "waiting", "waiting"]


@pytest.mark.parametrize("error", [MemoryError, ZeroDivisionError])
def test_what_nobody_foresaw_is_written_down_and_ends_the_process(store: Store, error: type[Exception]) -> None:
    for _ in range(2):
        with pytest.raises((RuntimeError, ZeroDivisionError)):
            work(ENTRIES, store, _failing(error), _silent)
    state = store.state("b")
    assert state is not None
    assert state.word == "quarantined"
    if error is ZeroDivisionError:
        assert "ZeroDivisionError" in state.failures[0].problem
        assert "Traceback" in (store.root / slide_log("b")).read_text()
    work(ENTRIES, store, _job, _silent)
    assert _words(store) == ["done", "quarantined", "done"]


def test_results_that_were_in_place_before_the_state_are_taken(store: Store) -> None:
    _job(ENTRIES[1], store.root / "made", Path(), lambda done, total: None)
    assert store.commit("b", store.root / "made")
    work(ENTRIES, store, _failing(AssertionError), _silent)
    assert _words(store) == ["done"] * 3


def test_what_a_killed_process_left_of_a_slide_that_is_done_goes(store: Store) -> None:
    work(ENTRIES[:1], store, _job, _silent)
    for key in "ab":
        store.work(key).mkdir(parents=True)
    assert worker.remaining(ENTRIES, store) == ENTRIES[1:]
    assert not store.work("a").exists()
    assert store.work("b").exists()


def test_a_state_without_its_results_is_not_believed(store: Store) -> None:
    store.save("b", State("b", "b.svs", done=True))
    (store.root / "states" / "a.json").write_text("{half")
    work(ENTRIES, store, _job, _silent)
    assert (store.results("b") / "result").read_text() == "b"
    assert _words(store) == ["done"] * 3


@pytest.mark.parametrize(
    "wrong", [{"done": "yes"}, {"path": None}, {"failures": [{"problem": 1, "fix": []}]}, {"failures": [2]}]
)
def test_a_damaged_state_is_none(store: Store, wrong: dict[str, object]) -> None:
    store.save("a", State("a", "a.svs"))
    path = store.root / state_json("a")
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    assert store.state("a") is None


def test_the_second_to_finish_does_not_disturb_the_first(store: Store) -> None:
    """A worker that slept so long that it was thought dead comes back when its slide is done."""

    def slow(entry: SlideEntry, made: Path, place: Path, heard: Progress) -> str:
        if entry.key == "b":
            Claims(store.root).end("b")
            work([entry], store, _job, _silent)
        return _job(entry, made, place, heard) if made.parent.exists() else "late"

    work(ENTRIES, store, slow, _silent)
    assert (store.results("b") / "result").read_text() == "b"
    assert _words(store) == ["done"] * 3


def test_a_line_that_cannot_be_used_is_quarantined_without_trying(store: Store) -> None:
    entry = keyed([SlideEntry("x", Path(), problem="its line has no path", fix="correct it")])[0]
    work([entry], store, _failing(AssertionError), _silent)
    state = store.state("x")
    assert state is not None
    assert state.word == "quarantined"


def test_a_slide_over_which_workers_keep_dying_is_left(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(ABANDONED + 1):
        assert Claims(store.root).take("b") is not None
        monkeypatch.setattr("hmgdm_plugin.cohort.process.lives", lambda *claim: False)
    work(ENTRIES[1:2], store, _job, _silent)
    state = store.state("b")
    assert state is not None
    assert "workers died" in state.failures[0].problem
    assert state.done, "it gets another chance in a process that is well"


def test_a_folder_is_one_batchs_own(store: Store, tmp_path: Path) -> None:
    store.begin({"model": "m"})
    with pytest.raises(InputError, match=r"started differently \(model was 'm' and is 'n'\)"):
        store.begin({"model": "n"})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").touch()
    with pytest.raises(InputError, match="not empty and not a batch"):
        Store(tmp_path / "thesis").begin({})
    (store.root / BATCH).write_text("[1")
    with pytest.raises(InputError, match="is damaged"):
        store.begin({"model": "m"})
    with pytest.raises(InputError, match="holds no batch"):
        Store(tmp_path / "nothing").settings()
