"""What a run says while it works: JSON lines for programs (`--events`), a progress bar for people.

Lines are ``{"stage": ..., "done": n, "total": n, "message": ...}``; the last is ``{"result": {...}}`` or
``{"error": ..., "fix": ...}``. With events on, nothing else goes to stdout.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import Cancelled, HmgdmError

T = TypeVar("T")


class Events:
    """Reports progress, notes, the result or the error of one run.

    Parameters
    ----------
    as_json : bool
        JSON lines on stdout; otherwise progress and notes go to stderr for a person.
    every_s : float
        Shortest time between two progress reports of one stage.
    quiet : bool
        Say neither progress nor notes: another process of the same run does.
    """

    def __init__(self, as_json: bool = False, every_s: float = 0.2, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}
        self._every_s = every_s
        self._last_s = 0.0
        self._open_line = False

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """Say that `done` of `total` steps of `stage` are finished."""
        now_s = time.monotonic()
        if self.quiet or (done < total and now_s - self._last_s < self._every_s):
            return
        self._last_s = now_s
        if self.as_json:
            self._line({"stage": stage, "done": done, "total": total, "message": message})
        elif sys.stderr.isatty():
            bar = "#" * (24 * done // max(total, 1))
            sys.stderr.write(f"\r{stage:>12} [{bar:<24}] {done}/{total} {message[:40]:<40}")
            self._open_line = True
            if done >= total:
                self._close_line()

    def note(self, message: str) -> None:
        """Say something the user should know; kept in `notes` for the run record and the report."""
        self.notes.append(message)
        if self.quiet:
            return
        if self.as_json:
            self._line({"stage": "note", "done": 0, "total": 0, "message": message})
        else:
            self._close_line()
            print(message, file=sys.stderr)

    def track(self, stage: str, items: Iterable[T], total: int) -> Iterator[T]:
        """Yield `items`, reporting progress after each."""
        for done, item in enumerate(items, 1):
            yield item
            self.progress(stage, done, total)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds spent inside to `seconds[stage]`."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start_s

    def result(self, paths: Mapping[str, Any]) -> None:
        """The run is finished; `paths` names what it wrote."""
        if self.as_json:
            self._line({"result": {key: str(value) for key, value in paths.items()}})
        else:
            self._close_line()
            for key, value in paths.items():
                print(f"{key:>12}  {value}")

    def error(self, error: HmgdmError) -> None:
        """The run has failed; say why and what to do, once."""
        if self.as_json:
            self._line({"error": error.problem, "fix": error.fix})
        else:
            self._close_line()
            print(f"hmgdm: {error}", file=sys.stderr)

    def _line(self, event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def _close_line(self) -> None:
        if self._open_line:
            sys.stderr.write("\n")
            self._open_line = False


class Relayed(Events):
    """Events of one slide of many: progress goes to `heard` as (done, total), notes are kept and not printed."""

    def __init__(self, heard: Callable[[int, int], None], every_s: float = 1.0) -> None:
        super().__init__(every_s=every_s)
        self._heard = heard

    def progress(self, stage: str, done: int, total: int, message: str = "") -> None:
        """As `Events.progress`."""
        now_s = time.monotonic()
        if now_s - self._last_s >= self._every_s:
            self._last_s = now_s
            self._heard(done, total)

    def note(self, message: str) -> None:
        """As `Events.note`."""
        self.notes.append(message)


@contextmanager
def ended_by_signal(last_word: Callable[[], None] = lambda: None, grace_s: float = 1.0) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into `Cancelled` after every `finally` has run; main thread only.

    Inside, the signal arrives as `KeyboardInterrupt`, which no `except Exception` of a library (and no handler
    of our own errors, slide by slide) can swallow.

    Parameters
    ----------
    last_word : callable
        Called once if the run has not ended by itself `grace_s` after the signal; the process then exits with 130.
    grace_s : float
        How long a call into compiled code, or cleaning up, may still take, in seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _watched(last_word, grace_s):
            yield
    except KeyboardInterrupt as error:
        raise Cancelled from error
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _watched(last_word: Callable[[], None], grace_s: float) -> Iterator[None]:
    """End the process where a signal did not: Python's handlers wait for compiled code to return, this does not."""
    if os.name != "posix":
        yield
        return
    ended = threading.Event()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)

    def watch() -> None:
        while (number := os.read(wake, 1)[0]) not in (signal.SIGTERM, signal.SIGINT):
            if number == 0:
                return
        if not ended.wait(grace_s):
            for child in multiprocessing.active_children():
                child.kill()
            last_word()
            os._exit(Cancelled.exit_code)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        ended.set()
        os.write(woken, b"\0")
        thread.join()
        os.close(wake)
        os.close(woken)


if os.name == "posix":
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # a worker's signal is not its parent's
