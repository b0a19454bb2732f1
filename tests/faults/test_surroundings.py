"""What surrounds a run fails it: the disk, the slide under the reader, the model, the clock, names, the network."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.batch_slide import SlideJob, _stamp
from hmgdm_plugin.cohort import worker
from hmgdm_plugin.cohort.listing import slides_of_folder
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import Progress, work
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError, RunError
from hmgdm_plugin.schema.options import BatchOptions
from hmgdm_plugin.zoo.digest import verify

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
Command = Callable[..., list[str]]


def _ran(words: list[str], environment: dict[str, str], **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=900, **more)  # type: ignore[call-overload]


@contextmanager
def _small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A disk of its own; skips where this is not allowed."""
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(
    slides: Path,
    unbroken: dict[str, bytes],
    model: Path,
    tmp_path: Path,
    read_results: Callable[[Path], dict[str, bytes]],
    size: Callable[[int, int], int],
    count: Callable,
) -> None:
    whole, rounds = sum(map(len, unbroken.values())) // 1024, size(1, 10)
    job = SlideJob(BatchOptions(source=slides, model=str(model), mpp=0.5), verify(model), 1)
    entries = keyed(slides_of_folder(slides))
    for number in range(rounds):
        place = tmp_path / str(number)
        with _small_disk(place, whole * (1 + 2 * number) // (2 * rounds + 2)):
            store = Store(place / "r")
            store.begin({})
            with pytest.raises(RunError, match=r"the disk is full|no space left"):
                work(entries, store, job, lambda *told: None)
            states = [json.loads(path.read_text()) for path in (place / "r" / "states").glob("*.json")]
            assert not any(state["failures"] for state in states), "no slide is blamed"
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            work(entries, store, job, lambda *told: None)
            assert read_results(place / "r") == unbroken
    count(disks_filled=rounds)


@contextmanager
def _read_only(source: Path, place: Path) -> Iterator[Path]:
    """The folder `source` where nothing can be written; root does not ask for permission, so it gets a mount."""
    if os.geteuid():
        source.chmod(0o555)
        try:
            yield source
        finally:
            source.chmod(0o755)
        return
    place.mkdir()
    if subprocess.run(
        ["mount", "--bind", "-o", "ro", str(source), str(place)], capture_output=True, check=False
    ).returncode:
        pytest.skip("only root of the machine can mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_source_that_cannot_be_written_to_is_analysed_all_the_same(
    slides: Path, unbroken: dict[str, bytes], command: Command, environment: dict[str, str], tmp_path: Path,
    read_results: Callable[[Path], dict[str, bytes]],
) -> None:  # fmt: skip
    with _read_only(slides, tmp_path / "source") as source:
        with pytest.raises(OSError, match=r"Read-only|denied"):
            (source / "new").write_text("")
        done = _ran(command(source, tmp_path / "r", "--workers", "1"), environment)
    assert done.returncode == 0, done.stderr
    named = {name for name, each in read_results(tmp_path / "r").items() if each != unbroken[name]}
    assert all(name.endswith(("summary.csv", "report.html", ".json")) for name in named), "but for the path"


def test_files_that_may_not_grow_stop_the_run_with_one_line(
    full_only: None, slides: Path, command: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = _ran(command(slides, tmp_path / "r", "--workers", "1"), environment, preexec_fn=limited)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.fixture(name="store")
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    store = Store(tmp_path / "r")
    store.begin({})
    return store


def _disturbed(store: Store, slide: Path, model: Path, how: Callable[[], None]) -> None:
    """Analyse a slide in this process; `how` happens after its first tiles."""
    job = SlideJob(BatchOptions(source=slide, model=str(model), mpp=0.5), verify(model), 1)

    def disturbed(entry: SlideEntry, made: Path, place: Path, heard: Progress) -> str:
        def first(done: int, total: int) -> None:
            how()

        return job(entry, made, place, first)

    work(keyed([SlideEntry(slide.stem, slide)]), store, disturbed, lambda *told: None)


@pytest.fixture(name="tiled")
def _tiled(tmp_path: Path, stained: NDArray[np.uint8]) -> Path:
    """A tiled TIFF, read tile by tile while it is analysed."""
    path = tmp_path / "tiled.tif"
    tifffile.imwrite(path, stained[:256, 250:600], tile=(64, 64), photometric="rgb", metadata=None)
    return path


@pytest.mark.parametrize("how", ["vanishes", "is cut short", "is written to", "is replaced"])
def test_a_slide_that_changes_under_way_fails_with_its_reason(
    how: str, tiled: Path, saved_model: Path, store: Store
) -> None:
    whole = tiled.read_bytes()

    def change() -> None:
        if how == "vanishes":
            tiled.unlink(missing_ok=True)
        elif how == "is cut short":
            os.truncate(tiled, len(whole) // 2)
        elif how == "is written to":
            with tiled.open("r+b") as file:
                file.seek(len(whole) // 2)
                file.write(os.urandom(16))
        else:
            tiled.with_name("other").write_bytes(whole)
            tiled.with_name("other").replace(tiled)

    _disturbed(store, tiled, saved_model, change)
    state = store.state("tiled")
    assert state is not None
    assert state.word == "quarantined"
    assert not (store.root / "slides").exists()
    assert not (store.root / "logs").exists(), "nothing unforeseen"
    assert "tiled.tif: " in state.failures[0].problem


def test_a_pipe_in_place_of_a_slide_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.svs")
    with pytest.raises(InputError, match=r"a\.svs: is no file"):
        _stamp(tmp_path / "a.svs")


def test_a_model_that_is_swapped_under_way_stops_the_run(tiled: Path, model_copy: Path, store: Store) -> None:
    def swap() -> None:
        (model_copy / "card.md").write_text("another model")

    with pytest.raises(RunError, match=r"card\.md: has been changed"):
        _disturbed(store, tiled, model_copy, swap)
    assert store.state("tiled") is None, "the slide is not to blame"
    assert not (store.root / "slides").exists()


def test_names_are_never_paths(stained: NDArray[np.uint8], saved_model: Path, store: Store, tmp_path: Path) -> None:
    names = ["../../escape", "/etc/escape", "c:\\escape <b>&"]
    slide = tmp_path / "in" / "<img src=x> & 'q'.png"
    slide.parent.mkdir()
    Image.fromarray(stained[:200, 250:450]).save(slide)
    before = {path for path in tmp_path.rglob("*") if store.root not in path.parents}
    job = SlideJob(BatchOptions(source=slide, model=str(saved_model), mpp=0.5), verify(saved_model), 1)
    work(keyed(SlideEntry(name, slide) for name in names), store, job, lambda *told: None)
    assert {path for path in tmp_path.rglob("*") if store.root not in path.parents} == before
    assert len(list((store.root / "slides").iterdir())) == len(names)
    pages = [path.read_text("utf-8") for path in store.root.rglob(run.REPORT)]
    assert not any("<img src=x>" in page for page in pages)
