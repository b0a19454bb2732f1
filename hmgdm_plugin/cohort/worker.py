"""One worker: takes one slide after the other until none is left that it could take."""

from __future__ import annotations

import errno
import gc
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..schema.entry import SlideEntry
from ..schema.errors import HmgdmError, InputError, RunError
from ..schema.run import slide_log, write_whole
from .claims import Claim, Claims
from .limit import overtime
from .store import ABANDONED, ATTEMPTS, Failure, State, Store

BACKOFF_S = 2.0  # before a slide that failed is tried again
POLL_S = 0.5
DISK = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG}
MORE_MEMORY = "use fewer --workers, or a machine with more memory"

Progress = Callable[[int, int], None]
Job = Callable[[SlideEntry, Path, Path, Progress], str]
"""Analyses a slide into the folder it makes; the second folder keeps what a later attempt can go on from. Returns the
fingerprint of the slide."""

Tell = Callable[[str, str, str], None]
"""Told of a slide's key that it begins (``begin``, with the number of its failures), how far it is (``tiles``,
``3/70``), or its new word."""


def work(entries: Sequence[SlideEntry], store: Store, job: Job, tell: Tell, claims: Claims | None = None) -> None:
    """Work on all slides of `entries` that are not done, quarantined, or somebody else's.

    Raises
    ------
    RunError
        No slide can be worked on any more.
    Exception
        What `job` raises unforeseen, after it was written down: the process should end.
    """
    claims = claims or Claims(store.root)
    ready_s: dict[str, float] = {}
    todo, frozen = list(entries), False
    while todo:
        todo, before = [each for each in todo if not finished(each, store)], todo
        for entry in _due(todo, ready_s):
            word = attempt(entry, store, job, tell, claims)
            if word == "failed":
                ready_s[entry.key] = time.monotonic() + BACKOFF_S
            if word:
                _let_go(first=not frozen)
                frozen = True
        if len(todo) == len(before):
            if all(claims.state(each.key) == "held" for each in todo):
                return
            time.sleep(POLL_S)


def _let_go(first: bool) -> None:
    """Free what a slide left behind in circles of references, such as its pictures; Python itself looks much later.

    What is there after the first slide stays for good, model and libraries, and is not looked at again.
    """
    gc.collect()
    if first:
        gc.freeze()


def _due(entries: Sequence[SlideEntry], ready_s: dict[str, float]) -> Iterator[SlideEntry]:
    return (entry for entry in entries if time.monotonic() >= ready_s.get(entry.key, 0.0))


def finished(entry: SlideEntry, store: Store) -> bool:
    """Whether nothing is left to do for the slide."""
    state = store.state(entry.key)
    return state is not None and (state.word == "quarantined" or (state.done and store.committed(entry.key)))


def remaining(entries: Sequence[SlideEntry], store: Store) -> list[SlideEntry]:
    """Slides that are left to do; what a process that was killed had not yet cleaned up of others goes."""
    left = []
    for entry in entries:
        if not finished(entry, store):
            left.append(entry)
        elif store.work(entry.key).exists():
            store.sweep(entry.key)
    return left


def attempt(entry: SlideEntry, store: Store, job: Job, tell: Tell, claims: Claims) -> str:
    """Claim the slide and try it once; returns its new word, or an empty one where it is somebody else's."""
    try:
        return _claimed(entry, store, job, tell, claims)
    except OSError as error:  # of the claim or the state: what the job meets is judged where it is called
        _stop_if_disk(error, store)
        raise


def _claimed(entry: SlideEntry, store: Store, job: Job, tell: Tell, claims: Claims) -> str:
    claim = claims.take(entry.key)
    if claim is None:
        return ""
    word = ""
    try:
        if not finished(entry, store):  # by another process, meanwhile
            state = _attempted(entry, store, job, tell, claim)
            if claim.mine():
                store.save(entry.key, state)
                word = state.word
    finally:
        claim.release()
    if finished(entry, store):
        store.sweep(entry.key)
    if word:
        tell(entry.key, word, "")
    return word


def _attempted(entry: SlideEntry, store: Store, job: Job, tell: Tell, claim: Claim) -> State:
    """Do the work, or find out why it cannot be done."""
    state = store.state(entry.key) or State(entry.slide_id, str(entry.path), entry.entry)
    if store.committed(entry.key):  # ended between the two steps of an earlier attempt
        return replace(state, done=True)
    if known := _known(entry, store, claim):
        return _failed(state, *known)
    work = store.work(entry.key)
    for old in work.glob("results-*"):
        shutil.rmtree(old, ignore_errors=True)
    tell(entry.key, "begin", str(len(state.failures)))
    try:
        made = work / f"results-{claim.number}"
        fingerprint = job(entry, made, work, lambda done, total: tell(entry.key, "tiles", f"{done}/{total}"))
        if claim.mine():
            store.commit(entry.key, made)
        return replace(state, fingerprint=fingerprint, done=True)
    except MemoryError as error:
        store.save(entry.key, _failed(state, Failure("out of memory", MORE_MEMORY)))
        raise RuntimeError(f"{entry.slide_id}: out of memory") from error
    except (HmgdmError, OSError) as error:
        _stop_if_disk(error, store)
        if isinstance(error, RunError) or not isinstance(error, HmgdmError):
            raise
        return _failed(state, Failure(error.problem, error.fix))
    except Exception as error:
        fix = f"report it with {_logged(entry, store, traceback.format_exc())}"
        store.save(entry.key, _failed(state, Failure(f"unforeseen {type(error).__name__}: {error}"[:300], fix)))
        raise


def _known(entry: SlideEntry, store: Store, claim: Claim) -> tuple[Failure, ...]:
    """Failures that are known without another attempt: of the source, or of a process that could not tell any more."""
    if entry.problem:
        return (Failure(entry.problem, entry.fix),) * ATTEMPTS
    if late := overtime(store.work(entry.key)):
        return (_late(entry, store, *late),)
    if claim.abandoned >= ABANDONED:
        return (Failure(f"{claim.abandoned} workers died over it", MORE_MEMORY),)
    return ()


def _late(entry: SlideEntry, store: Store, limit: str, where: str) -> Failure:
    """The failure of an attempt that was ended at its limit."""
    fix = f"pass more --slide-minutes, or see in {_logged(entry, store, where)} what it waited for"
    return Failure(f"took longer than its limit of {limit} (h:mm:ss); what it had finished is kept", fix)


def _logged(entry: SlideEntry, store: Store, text: str) -> str:
    """Write what only a developer can read beside the results; returns where."""
    name = slide_log(entry.key)
    (store.root / name).parent.mkdir(exist_ok=True)
    write_whole(store.root / name, text)
    return name


def _failed(state: State, *more: Failure) -> State:
    return replace(state, failures=(*state.failures, *more))


def _stop_if_disk(error: BaseException, store: Store) -> None:
    """A full disk is not the slide's fault, and no other slide would fare better.

    Raises
    ------
    RunError
        It is the disk.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in DISK:
            problem = error.problem if isinstance(error, InputError) else f"{store.root}: {cause.strerror}".lower()
            raise RunError(problem, "free some space, then run the same command again") from error
        cause = cause.__cause__ or cause.__context__
