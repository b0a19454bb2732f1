"""`hmgdm batch import`: results into the QuPath project they were made for; can be stopped and repeated."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schema import run
from .schema.entry import SlideEntry, keyed
from .schema.errors import HmgdmError, InputError
from .schema.events import Events
from .schema.options import BatchImportOptions

if TYPE_CHECKING:
    from .cohort.store import Store
    from .qupath.entry import Entry
    from .qupath.project import Project

WORDS = ("add", "replace", "leave", "not analysed", "another slide", "not in QuPath", "failed")
NEW, FINE = WORDS[:2], WORDS[:3]


def import_batch(options: BatchImportOptions, events: Events) -> Mapping[str, Any]:
    """Put the results of every slide onto its image, matched by the image's number and the slide's fingerprint.

    Results that are there are left, other ones of the same model are replaced, everything else on an image stays as it
    is. An image that fails does not stop the others.

    Raises
    ------
    HmgdmError
        Some images have no results, are of other slides than the ones analysed, or failed.
    InputError
        The project or the results folder is wrong, QuPath is not installed, or a window holds the project open.
    """
    from .cohort.store import Store
    from .qupath.ids import run_tag
    from .qupath.listing import slides_of_project
    from .qupath.project import Project

    if options.source.suffix.lower() != ".qpproj":
        raise InputError(f"{options.source}: not a QuPath project", "give the project.qpproj that was analysed")
    entries, store = keyed(slides_of_project(options.source)), Store(options.results_dir)
    tag = f"{run_tag(str(store.settings().get('digest'))):07x}"
    counts: Counter[str] = Counter()
    reason = ""
    with Project(options.source, writable=not options.dry_run) as project:
        images = {image.id: image for image in project.entries()}
        for entry in events.track("import", entries, len(entries)):
            try:
                word, objects = _judged(entry, store, images.get(entry.entry), tag, project)
                if word in NEW and not options.dry_run:
                    project.import_results(entry.entry, store.results(entry.key))
            except HmgdmError as error:
                word, objects = "failed", 0
                reason = reason or f"; {error}"
                events.note(f"{entry.slide_id}: {error}")
            events.note(f"{word:>13}  {entry.slide_id}  {objects or ''}".rstrip())
            counts[word] += 1
            counts["objects"] += objects if word in NEW else 0
    result = {word: counts[word] for word in (*WORDS, "objects") if counts[word] or word in FINE}
    wrong = sum(counts[word] for word in WORDS if word not in FINE)
    if wrong:
        done = ", ".join(f"{value} {word}" for word, value in result.items())
        problem = f"{wrong} of {len(entries)} images got nothing ({done}){reason}"
        raise HmgdmError(problem, "analyse or mend them, then import again")
    return result


def _judged(entry: SlideEntry, store: Store, image: Entry | None, tag: str, project: Project) -> tuple[str, int]:
    """What is to be done with an image, and how many objects are to be on it."""
    from .slide.reader import fingerprint_of

    state = store.state(entry.key)
    if state is None or not state.done or not store.committed(entry.key):
        return "not analysed", 0
    if image is None:
        return "not in QuPath", 0
    if state.entry != entry.entry or not os.path.isfile(entry.path) or fingerprint_of(entry.path) != state.fingerprint:
        return "another slide", 0
    folder = store.results(entry.key)
    objects = _objects(folder)
    if tag not in image.recipes:
        return "add", objects
    return ("leave" if project.has(entry.entry, folder) else "replace"), objects


def _objects(folder: Path) -> int:
    """Objects in the results of a slide: a line each, between the first and the last."""
    total = 0
    for path in sorted((folder / run.GEOJSON).rglob("*.geojson.gz")):
        with gzip.open(path, "rb") as file:
            total += max(sum(1 for _ in file) - 2, 0)
    return total
