"""One slide of a batch, as `hmgdm predict` does it, with the model of the whole run."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from .cohort.beside import GEOJSON, Beside
from .cohort.limit import limited
from .cohort.worker import Progress
from .graph.compiled import compiling
from .predict import predict_planned
from .schema import run
from .schema.entry import SlideEntry
from .schema.errors import InputError, RunError
from .schema.events import Events, Relayed
from .schema.folder import RunFolder
from .schema.options import BatchOptions, PredictOptions

PARTS = "nuclei-part-"  # what `hmgdm nuclei` writes for each slide
TAKEN = ("model", "heads", "show", "overlap", "min_tissue", "map_tissue", "device", "seed")


def beside(options: BatchOptions) -> tuple[Beside | None, Beside | None]:
    """The folders of regions and of nuclei, None where none is given.

    Raises
    ------
    InputError
        One is no folder, or holds two files for one slide.
    """
    from .analysis.nuclei import NONE, found_by_detector
    from .slide.labels import LABEL_FILES

    regions = Beside(options.regions, "regions", GEOJSON) if options.regions else None
    if options.nuclei in ("", NONE) or found_by_detector(options.nuclei):
        return regions, None
    return regions, Beside(Path(options.nuclei), "nuclei", (*GEOJSON, *LABEL_FILES), PARTS)


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
        self._beside = beside(options)
        self._taken = options.model_dump(include=set(TAKEN))
        self._model = loaded(PredictOptions(slides=(), **self._taken), Events())
        self._check(self._model.digest)

    def __call__(self, entry: SlideEntry, made: Path, work: Path, heard: Progress) -> str:
        """Write the run folder `made` of a slide; returns the slide's fingerprint."""
        with limited(work, self._options.slide_minutes):
            before = _stamp(entry.path)
            fingerprint = self._analysed(entry, self._asked(entry, made), work, Relayed(heard))
            if _stamp(entry.path) != before:
                raise InputError(
                    f"{entry.path.name}: was changed while it was read", "run again when it stays as it is"
                )
            self._check_files()
        return fingerprint

    def _asked(self, entry: SlideEntry, made: Path) -> PredictOptions:
        """What `hmgdm predict` would be asked for this slide."""
        from .analysis.survey import mpp_for

        regions, nuclei = (each.of(entry) if each else None for each in self._beside)
        return PredictOptions(
            slides=(entry.path,),
            mpp=mpp_for(entry, self._options.mpp),
            regions=regions,
            nuclei=str(nuclei) if nuclei else self._options.nuclei,
            results_dir=made,
            workers=self._threads,
            **self._taken,
        )

    def _analysed(self, entry: SlideEntry, options: PredictOptions, work: Path, events: Events) -> str:
        """Write the run folder of a slide; returns its fingerprint."""
        from .analysis.plan import opened, planned
        from .analysis.quality import quality_of
        from .analysis.survey import refuse_other_crop

        made = options.results_dir
        with compiling(), opened(options) as slides:
            refuse_other_crop(entry, slides[0].frame)
            fingerprint = slides[0].fingerprint()
            plan = planned(slides[0], self._model, options, events, work)
            done = predict_planned([plan], self._model, RunFolder(made), options, events, "batch", work)
            quality = quality_of(plan, self._model.card, _novel_share(done["summary"]))
            facts = {"overlay": done["overlay"].relative_to(made).as_posix(), **quality}
            run.write_whole(made / run.SLIDE, json.dumps(facts, indent=2) + "\n")
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


def _novel_share(summary: Path) -> float | None:
    """What the slide's own summary says of tiles unlike the training data; None where the model cannot tell."""
    from .analysis.novel import COLUMN
    from .analysis.results import read_table

    share = read_table(summary)[0].get(COLUMN)
    return None if share is None else float(share)


def _stamp(path: Path) -> tuple[int, int, int]:
    """What changes when somebody writes to a file or puts another in its place."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such file", "correct the path or bring the slide back") from error
    if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for without end
        raise InputError(f"{path}: is no file", "give the path of a slide file")
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
