"""Worker processes on this machine: started, listened to, replaced when they die, ended with this process.

Workers ignore signals; this process ends them at once, which is safe at any moment, and gives back their claims.
A worker whose parent has died ends itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from ..schema.entry import SlideEntry
from ..schema.errors import HmgdmError, RunError
from .claims import Claims
from .store import Failure, State, Store
from .worker import MORE_MEMORY, Job, Tell, finished, work

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MB = 1 << 20
HEAP = {"MMAP_THRESHOLD": 32 * MB, "TRIM_THRESHOLD": 256 * MB, "TOP_PAD": 16 * MB}
DEATHS = 3  # workers that may die in a row without having begun a slide


@dataclass
class _Child:
    process: BaseProcess
    pipe: Connection
    slide: str = ""
    failures: int = 0  # of the slide, before this attempt


class LocalRun:
    """Workers in processes of their own on one batch folder.

    Parameters
    ----------
    store : Store
    entries : sequence of SlideEntry
    make_job : callable
        Called in each worker once; must be importable there.
    heard : callable
        Called as workers call it; see `worker.Tell`.
    """

    def __init__(self, store: Store, entries: Sequence[SlideEntry], make_job: Callable[[], Job], heard: Tell) -> None:
        self._store, self._entries, self._make_job, self._heard = store, entries, make_job, heard
        self._claims = Claims(store.root)
        self._children: list[_Child] = []
        self._deaths = 0

    def run(self, count: int) -> None:
        """Keep `count` workers going until nothing is left to do.

        Raises
        ------
        RunError
            No slide can be worked on any more.
        HmgdmError
            Workers die before they begin.
        """
        try:
            for _ in range(count):
                self._start()
            while self._children:
                ends = {child.pipe: child for child in self._children}
                for pipe in wait(list(ends)):
                    self._listen(ends[pipe])  # type: ignore[index]
        finally:
            with _undisturbed():
                self._end()

    def _start(self) -> None:
        """Begin a worker; a signal comes before it exists or when it is known."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, self._store, self._entries, self._make_job)
        process = context.Process(target=_child, args=arguments, daemon=True)
        with _undisturbed(), _kept_heap():
            process.start()
            self._children.append(_Child(process, ours))
        theirs.close()

    def _listen(self, child: _Child) -> None:
        try:
            key, word, more = child.pipe.recv()
        except (EOFError, OSError):
            self._ended(child)
            return
        if word == "stop":
            raise RunError(key, more)
        if word == "begin":
            child.slide, child.failures, self._deaths = key, int(more), 0
        elif word != "tiles":
            child.slide = ""
        self._heard(key, word, more)

    def _ended(self, child: _Child) -> None:
        """Bury a worker, and replace it where something is left to do."""
        child.process.join()
        self._children.remove(child)
        code = child.process.exitcode or 0
        if code < 0 and child.slide:
            self._died_over(child, -code)
        if code == 0 or all(finished(entry, self._store) for entry in self._entries):
            return
        self._deaths += 1
        if self._deaths >= DEATHS:
            raise HmgdmError(f"{self._deaths} workers in a row died before a slide", "run hmgdm doctor")
        self._start()

    def _died_over(self, child: _Child, number: int) -> None:
        """Write down that a slide may have killed its worker, where the worker itself has written down nothing."""
        entry = next(each for each in self._entries if each.key == child.slide)
        state = self._store.state(entry.key) or State(entry.slide_id, str(entry.path), entry.entry)
        self._claims.end(entry.key, child.process.pid)
        if not state.done and len(state.failures) <= child.failures:
            failure = Failure(f"its worker was ended by signal {number}, most often for want of memory", MORE_MEMORY)
            self._store.save(entry.key, replace(state, failures=(*state.failures, failure)))
            self._heard(entry.key, "failed", "")

    def _end(self) -> None:
        for child in self._children:
            child.process.kill()
        for child in self._children:
            child.process.join()
            if child.slide:
                self._claims.end(child.slide, child.process.pid)
            child.pipe.close()


def _child(pipe: Connection, store: Store, entries: Sequence[SlideEntry], make_job: Callable[[], Job]) -> None:
    """What a worker does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()

    def tell(key: str, word: str, more: str) -> None:
        pipe.send((key, word, more))

    try:
        work(entries, store, make_job(), tell)
    except HmgdmError as error:
        tell(error.problem, "stop", error.fix)


def _follow(parent: Any) -> None:
    """End this process when its parent has ended."""
    wait([parent])
    os._exit(1)


@contextmanager
def _kept_heap() -> Iterator[None]:
    """Processes started in the block keep what one slide freed for the next: a tenth of their time went into new pages.

    This is for the C library of Linux, which reads it when a process starts; settings of the user's own stay.
    """
    ours = {name: str(size) for word, size in HEAP.items() if (name := f"MALLOC_{word}_") not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until the block has ended; processes started in it never get them.

    To block them is not enough: another thread lets them in, and Python answers them in the main thread all the same.
    """
    came: list[int] = []
    answers = {}
    if threading.current_thread() is threading.main_thread():
        answers = {each: signal.signal(each, lambda number, _: came.append(number)) for each in SIGNALS}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if os.name == "posix" else None
    try:
        yield
    finally:
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for each, answer in answers.items():
            signal.signal(each, answer)
        for number in came[:1]:
            signal.raise_signal(number)
