"""`hmgdm batch`: whole projects, unattended; each slide as `hmgdm predict` does one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from . import __version__
from .batch_results import diff, write_results
from .batch_slide import SlideJob, beside
from .schema import run
from .schema.entry import SlideEntry, keyed
from .schema.errors import HmgdmError, InputError
from .schema.events import Events
from .schema.options import BatchOptions, BatchReportOptions

if TYPE_CHECKING:
    from .analysis.survey import Found
    from .cohort.store import Store
    from .cohort.worker import Tell

__all__ = ["diff", "plan", "report", "run_batch"]
PINNED = ("model", "mpp", "regions", "nuclei", "heads", "show", "overlap", "min_tissue", "map_tissue", "device", "seed")


def plan(options: BatchOptions, events: Events) -> Mapping[str, Any]:
    """Look at every slide of the source and say what a run would do; writes nothing.

    Raises
    ------
    HmgdmError
        Something needs a person: a slide is missing, unreadable, without pixel size, changed or quarantined.
    InputError
        The source, the model or the results folder is wrong.
    """
    from .analysis.survey import FINE, WORDS, cost, look_at
    from .cohort.store import Store
    from .zoo.card import read_card
    from .zoo.load import find

    graph, store, found = read_card(find(options.model)).graph, Store(options.results_dir), []
    if (store.root / run.BATCH).exists():
        store.check(_pinned(options))
    every, (regions, nuclei) = listed(options), beside(options)
    for each in filter(None, (regions, nuclei)):
        for name in each.without_slide(every):
            events.note(f"     no slide  {name} in {each.folder}")
    entries = _shard(every, options.shard)
    for entry in events.track("plan", entries, len(entries)):
        found.append(_judged(look_at(entry, options, graph, regions, nuclei), entry, store))
        events.note(f"{found[-1].word:>13}  {entry.slide_id}  {found[-1].remark}".rstrip())
    counts = Counter(each.word for each in found)
    result: dict[str, Any] = {"slides": len(found), **{word: counts[word] for word in WORDS if counts[word]}}
    result |= {"crop offset": sum(each.offset for each in found)} | cost(found, _workers(options, len(found)))
    wrong = sum(counts[word] for word in WORDS if word not in FINE)
    if wrong:
        events.note(" ".join(f"{name}: {value}" for name, value in result.items()))
        raise HmgdmError(f"{wrong} of {len(found)} slides need a person", "see the lines above, then plan again")
    return result


def _judged(found: Found, entry: SlideEntry, store: Store) -> Found:
    """`found` in the light of what an earlier run made of the slide."""
    state = store.state(entry.key)
    if state is None:
        return found
    if state.word == "quarantined":
        last = state.failures[-1]
        return replace(found, word="quarantined", remark=f"{last.problem}; {last.fix}")
    if not state.done or found.word not in ("ready", "no tissue"):
        return found
    if state.fingerprint in ("", found.fingerprint):
        return replace(found, word="done")
    return replace(found, word="changed", remark="is another file than the one analysed; use another --results-dir")


def run_batch(options: BatchOptions, events: Events) -> Mapping[str, Any]:
    """Analyse every slide of the source that is not done; can be stopped and started at any moment.

    Raises
    ------
    HmgdmError
        A slide failed; the others are done.
    InputError
        The source, the model or the results folder is wrong, or no slide can be analysed any more.
    """
    from .cohort.store import Store

    entries, store = _shard(listed(options), options.shard), Store(options.results_dir)
    pinned = _pinned(options)
    beside(options)
    if not options.resume and (store.root / run.BATCH).exists():
        raise InputError(f"{store.root}: holds a batch", "pass --resume, or give another --results-dir")
    store.begin(pinned)
    with run.writing(store.root):
        _forgotten(entries, store, options.retry)
        _go(options, store, entries, pinned["digest"], _Heard(entries, store, events))
        words = Counter(state.word if (state := store.state(entry.key)) else "waiting" for entry in entries)
        result = {"slides": len(entries), **words, "results": store.root}
        if not options.shard:
            result |= write_results(listed(options), store, events)
    if words["quarantined"]:
        problem = f"{words['quarantined']} of {len(entries)} slides failed, {words['done']} are done"
        raise HmgdmError(problem, f"see {store.root / run.FAILURES}, mend them, and run again with --retry")
    return result


def report(options: BatchReportOptions, events: Events) -> Mapping[str, Any]:
    """Write tables, contact sheets and page of a batch, finished or not.

    Raises
    ------
    InputError
        The source is wrong, or the results folder holds no batch or cannot be written.
    """
    from .cohort.store import Store

    return write_results(listed(options), Store(options.results_dir), events)


def listed(options: BatchOptions | BatchReportOptions) -> list[SlideEntry]:
    """Slides of the source, with their keys.

    Raises
    ------
    InputError
        It is no folder, table or project, or there is no slide in it.
    """
    from .cohort.listing import slides_of_folder, slides_of_table
    from .qupath.listing import slides_of_project

    source = options.source
    if source.is_dir():
        entries = keyed(slides_of_folder(source))
    elif source.suffix.lower() in (".csv", ".qpproj"):
        entries = keyed((slides_of_table if source.suffix.lower() == ".csv" else slides_of_project)(source))
    else:
        raise InputError(f"{source}: no such source", "give a folder, a CSV (slide_id,path,mpp) or a .qpproj")
    if not entries:
        raise InputError(f"{source}: no slide in it", "give a folder, a table or a project that holds slides")
    return entries


def _pinned(options: BatchOptions) -> dict[str, Any]:
    """What must stay the same for all runs on one folder."""
    from .zoo.digest import verify
    from .zoo.load import find

    pinned = options.model_dump(mode="json", include=set(PINNED))
    return {**pinned, "digest": verify(find(options.model)), "version": __version__}


def _shard(entries: list[SlideEntry], shard: str) -> list[SlideEntry]:
    """Every n-th slide from the i-th on, for ``i/n``."""
    if not shard:
        return entries
    part, parts = (int(number) for number in shard.split("/"))
    if part > parts:
        raise InputError(f"--shard {shard}: there is no such part", f"give 1/{parts} to {parts}/{parts}")
    return entries[part - 1 :: parts]


def _forgotten(entries: Sequence[SlideEntry], store: Store, quarantined: bool) -> None:
    """Forget failures of earlier runs where asked to."""
    for entry in entries:
        state = store.state(entry.key)
        if quarantined and state is not None and state.word in ("quarantined", "failed"):
            store.forget(entry.key)


def _go(options: BatchOptions, store: Store, entries: list[SlideEntry], digest: str, heard: Tell) -> None:
    """Work on what is left with the engine asked for."""
    from .cohort.local import LocalRun
    from .cohort.worker import remaining

    todo = remaining(entries, store)
    if not todo:
        return
    if options.engine == "ray":
        from .cohort.rays import RayRun

        job = partial(SlideJob, options, digest, max(1, int(options.cpus)))
        RayRun(store, todo, job, heard).run(options.cpus, options.gpus)
        return
    count = _workers(options, len(todo))
    threads = max(1, (options.workers or os.cpu_count() or 1) // count)
    LocalRun(store, todo, partial(SlideJob, options, digest, threads), heard).run(count)


def _workers(options: BatchOptions, slides: int) -> int:
    return min(options.workers or os.cpu_count() or 1, max(slides, 1))


class _Heard:
    """Turns what workers tell into progress."""

    def __init__(self, entries: Sequence[SlideEntry], store: Store, events: Events) -> None:
        self._ids = {entry.key: entry.slide_id for entry in entries}
        self._words = {entry.key: state.word for entry in entries if (state := store.state(entry.key))}
        self._events = events

    def __call__(self, key: str, word: str, more: str) -> None:
        message = f"{self._ids[key]} {more if word == 'tiles' else word}"
        if word not in ("begin", "tiles"):
            self._words[key] = word
        done = sum(each in ("done", "quarantined") for each in self._words.values())
        self._events.progress("batch", done, len(self._ids), message)
