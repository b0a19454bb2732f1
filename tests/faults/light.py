"""A batch whose slides cost milliseconds: everything of `cohort` as it is, and a job that only writes files.

    python light.py RESULTS SLIDES WORKERS [bad|memory|killed]

A slide has several blocks that are kept as the real job keeps them. Some slides are bad, or too much for a worker.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path

from hmgdm_plugin.cohort import worker
from hmgdm_plugin.cohort.local import LocalRun
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.cohort.worker import Progress
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import ended_by_signal
from hmgdm_plugin.schema.run import RECORD, block_file, write_whole

BLOCKS = 4


def entries_of(count: int) -> list[SlideEntry]:
    """Slides that are only names."""
    return keyed(SlideEntry(f"slide {number}", Path(f"{number}.svs")) for number in range(count))


def is_bad(entry: SlideEntry) -> bool:
    """Five of a hundred."""
    return int(entry.slide_id.split()[1]) % 20 == 7


class LightJob:
    """See `worker.Job`; every slide that is begun leaves a line in ``begun``."""

    def __init__(self, root: Path, fault: str) -> None:
        worker.BACKOFF_S, worker.POLL_S = 0.05, 0.02
        self._begun, self._fault = root.parent / "begun", fault

    def __call__(self, entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        with self._begun.open("a") as file:
            file.write(f"{entry.key}\n")
        if is_bad(entry):
            self._fail(entry)
        texts = []
        for number in range(BLOCKS):
            path = work / block_file(number)
            if not path.exists():
                write_whole(path, hashlib.sha256(f"{entry.key} {number}".encode()).hexdigest() * 100)
                time.sleep(0.002)
            texts.append(path.read_text())
            heard(number, BLOCKS)
        made.mkdir()
        (made / "result").write_text("".join(texts))
        (made / RECORD).write_text("{}")
        return "0" * 64

    def _fail(self, entry: SlideEntry) -> None:
        if self._fault == "bad":
            raise InputError(f"{entry.path.name}: cannot be read", "copy it again")
        if self._fault == "memory":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 26), resource.RLIM_INFINITY))
            bytearray(1 << 28)
        if self._fault == "killed":
            os.kill(os.getpid(), 9)


def main(results: str, slides: str, workers: str, fault: str = "") -> int:
    """Run the batch; prints how many slides have which word."""
    store, entries = Store(Path(results)), entries_of(int(slides))
    store.begin({"light": True})
    todo = worker.remaining(entries, store)
    try:
        with ended_by_signal():
            LocalRun(store, todo, partial(LightJob, store.root, fault), lambda *told: None).run(int(workers))
    except HmgdmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    words = [state.word for entry in entries if (state := store.state(entry.key))]
    print(json.dumps({word: words.count(word) for word in sorted(set(words))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
