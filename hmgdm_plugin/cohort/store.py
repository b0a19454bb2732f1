"""The folder of a batch: what it was started with, and what became of each slide."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..schema.errors import InputError
from ..schema.run import BATCH, BLOCKS, RECORD, slide_folder, state_json, work_folder, write_whole, writing

ATTEMPTS = 2  # failures after which a slide is left alone until a person has looked
ABANDONED = 10  # times that a worker died over a slide without a word, after which this counts as a failure


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, and what can be done about it."""

    problem: str
    fix: str


@dataclass(frozen=True, slots=True)
class State:
    """What became of a slide.

    Parameters
    ----------
    slide_id, entry, path : str
        As its source calls it.
    fingerprint : str
        Of the slide that was analysed; empty before.
    done : bool
    failures : tuple of Failure
        All attempts that failed, in order.
    """

    slide_id: str
    path: str
    entry: str = ""
    fingerprint: str = ""
    done: bool = False
    failures: tuple[Failure, ...] = field(default=())

    @property
    def word(self) -> str:
        """``done``, ``quarantined``, ``failed`` or ``waiting``."""
        if self.done:
            return "done"
        if len(self.failures) >= ATTEMPTS:
            return "quarantined"
        return "failed" if self.failures else "waiting"


class Store:
    """States, results and work in progress of a batch, in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Bind the folder to `settings` at the first run; every later run must have the same.

        Raises
        ------
        InputError
            The folder holds something else, or a batch with other settings; it cannot be written.
        """
        path = self.root / BATCH
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            there = [each for each in self.root.iterdir() if not each.name.startswith(".")]
            if there and not path.exists() and {each.name for each in there} - {"states"}:
                raise InputError(f"{self.root}: is not empty and not a batch", "give an empty or new --results-dir")
            (self.root / state_json("any")).parent.mkdir(exist_ok=True)
            if not path.exists():
                draft = self.root / f".{BATCH}.{os.getpid()}"
                write_whole(draft, json.dumps(settings, indent=2, sort_keys=True) + "\n")
                _first(draft, path)
        self.check(settings)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Compare `settings` with those that the batch was started with.

        Raises
        ------
        InputError
            They differ, or the folder holds no batch.
        """
        _same(self.settings(), settings, self.root)

    def settings(self) -> dict[str, Any]:
        """What the batch was started with.

        Raises
        ------
        InputError
            The folder holds no batch, or its record is damaged.
        """
        path = self.root / BATCH
        try:
            found = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise InputError(f"{self.root}: holds no batch", "give the --results-dir of hmgdm batch run") from error
        except ValueError as error:
            raise InputError(f"{path}: is damaged ({error})", "start again in another --results-dir") from error
        if not isinstance(found, dict):
            raise InputError(f"{path}: is damaged", "start again in another --results-dir")
        return found

    def state(self, key: str) -> State | None:
        """State of a slide; None where nobody has begun, or its file is damaged."""
        try:
            raw = json.loads((self.root / state_json(key)).read_text("utf-8"))
            failures = tuple(Failure(**each) for each in raw.pop("failures", ()))
            state = State(**raw, failures=failures)
            return state if _sound(state) else None
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def keys(self) -> list[str]:
        """Keys of all slides that have a state, sorted."""
        folder = (self.root / state_json("any")).parent
        return sorted(path.stem for path in folder.glob("*.json") if not path.name.startswith("."))

    def save(self, key: str, state: State) -> None:
        """Write the state of a slide."""
        write_whole(self.root / state_json(key), json.dumps(asdict(state), indent=2, ensure_ascii=False) + "\n")

    def forget(self, key: str) -> None:
        """Let a slide that failed be tried again."""
        (self.root / state_json(key)).unlink(missing_ok=True)

    def results(self, key: str) -> Path:
        """Run folder of a slide that is done."""
        return self.root / slide_folder(key)

    def work(self, key: str) -> Path:
        """Where a slide is worked on."""
        return self.root / work_folder(key)

    def committed(self, key: str) -> bool:
        """Whether the results of a slide are in place: its whole folder came by one rename."""
        return (self.results(key) / RECORD).is_file()

    def commit(self, key: str, made: Path) -> bool:
        """Move the finished folder `made` into place; False where another process was first."""
        self.results(key).parent.mkdir(exist_ok=True)
        for path in made.rglob("*"):
            if path.is_file():
                _synced(path)
        try:
            made.rename(self.results(key))
        except OSError:
            if not self.committed(key):
                raise
            return False
        return True

    def sweep(self, key: str) -> None:
        """Remove what was needed while the slide was worked on; blocks of one that failed stay for another try."""
        if self.committed(key) or not any(self.work(key).glob(BLOCKS)):
            shutil.rmtree(self.work(key), ignore_errors=True)


def _sound(state: State) -> bool:
    """Whether everything in a file of a state is of its kind."""
    texts = (state.slide_id, state.path, state.entry, state.fingerprint)
    said = (text for each in state.failures for text in (each.problem, each.fix))
    return isinstance(state.done, bool) and all(isinstance(text, str) for text in (*texts, *said))


def _first(draft: Path, path: Path) -> None:
    """Rename `draft`, unless another run was first."""
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a disk without links
        draft.replace(path)
    draft.unlink(missing_ok=True)


def _same(before: Mapping[str, Any], now: Mapping[str, Any], root: Path) -> None:
    if before == now:
        return
    other = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    what = f"{other[0]} was {before.get(other[0])!r} and is {now.get(other[0])!r}"
    fix = "use the same again, or give another --results-dir"
    raise InputError(f"{root}: holds a batch that was started differently ({what})", fix)


def _synced(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
