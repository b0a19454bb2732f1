"""One slide of a batch, as `hmgdm predict` does it, with the model of the whole run."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .cohort.worker import Progress
from .graph.compiled import compiling
from .predict import predict_planned
from .schema import run
from .schema.entry import SlideEntry
from .schema.errors import InputError, RunError
from .schema.events import Events, Relayed
from .schema.options import BatchOptions, PredictOptions

TAKEN = ("model", "heads", "show", "overlap", "min_tissue", "device", "seed")


class SlideJob:
    """Analyses slides one after the other in one process; see `cohort.worker.Job`.

    Parameters
    ----------
    options : BatchOptions
    digest : str
        Of the model that the batch was started with.
    threads : int
        Cores for one slide.

    Raises
    ------
    RunError
        The model is not the one that the batch was started with.
    """

    def __init__(self, options: BatchOptions, digest: str, threads: int) -> None:
        from .analysis.plan import loaded

        self._options, self._digest, self._threads = options, digest, threads
        self._taken = options.model_dump(include=set(TAKEN))
        self._model = loaded(PredictOptions(slides=(), **self._taken), Events())
        self._check(self._model.digest)

    def __call__(self, entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        """Write the run folder `made` of a slide; returns the slide's fingerprint."""
        from .analysis.plan import opened, planned
        from .analysis.quality import quality_of
        from .analysis.survey import mpp_for

        before = _stamp(entry.path)
        mpp = mpp_for(entry, self._options.mpp)
        options = PredictOptions(slides=(entry.path,), mpp=mpp, results_dir=made, workers=self._threads, **self._taken)
        events = Relayed(heard)
        with compiling(), opened(options) as slides:
            fingerprint = slides[0].fingerprint()
            plan = planned(slides[0], self._model, options, events)
            done = predict_planned([plan], self._model, run.RunFolder(made), options, events, "batch", work)
            facts = {"overlay": done["overlay"].relative_to(made).as_posix(), **quality_of(plan)}
            run.write_whole(made / run.SLIDE, json.dumps(facts, indent=2) + "\n")
        if _stamp(entry.path) != before:
            raise InputError(f"{entry.path.name}: was changed while it was read", "run again when it stays as it is")
        self._check_files()
        return fingerprint

    def _check_files(self) -> None:
        from .zoo.digest import verify

        try:
            self._check(verify(self._model.folder))
        except InputError as error:
            raise RunError(error.problem, error.fix) from error

    def _check(self, digest: str) -> None:
        if digest != self._digest:
            fix = "restore the model, or start another --results-dir"
            raise RunError(f"{self._options.model}: is not the model that the batch was started with", fix)


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when somebody writes to a file or puts another in its place."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such file", "correct the path or bring the slide back") from error
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
