"""`hmgdm nuclei`: the nuclei of whole slides by StarDist, as objects for QuPath, counts and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .graph.compiled import NUCLEI, compiling
from .schema import run
from .schema.events import Events
from .schema.folder import RunFolder
from .schema.options import NucleiOptions

if TYPE_CHECKING:
    from .analysis.counted import Counted
    from .analysis.detector import Search
    from .qupath.geojson import Feature

SECONDS_TO_START, PIXELS_PER_SECOND = 6.0, 4e6
START_MB, THREAD_MB, NUCLEUS_BYTES = 560, 170, 250


@compiling((NUCLEI,))
def nuclei(options: NucleiOptions, events: Events) -> Mapping[str, Any]:
    """Find the nuclei of every slide of `options`; the run folder gets everything or nothing.

    Raises
    ------
    InputError
        A slide, its pixel size, the regions, the model or the results folder is wrong.
    """
    from .analysis.detector import detector, searched
    from .analysis.plan import drawn_regions, opened, record, write_summary

    folder = RunFolder(options.results_dir, overwrite=options.overwrite)
    with opened(options) as slides:
        found = detector(options.model, options.device, options.precision, events)
        searches = [searched(slide, found, drawn_regions(slide, options, events), events) for slide in slides]
        for note in (note for search in searches for note in search.notes):
            events.note(note)
        if options.dry_run:
            return _estimate(searches, options, events)
        with folder, run.writing(folder.root):
            rows = [_slide(search, folder, options, events) for search in searches]
            write_summary(folder, rows)
            counts = {row["slide_id"]: row["nuclei"] for row in rows}
            facts = {"nuclei": counts, "precision": str(found.stars.dtype).removeprefix("torch.")}
            done = folder.commit({**record("nuclei", options, slides, found, events), **facts})
    first = slides[0].name
    names = {"overlay": run.overlay_png(first, "nuclei"), "density": run.overlay_png(first, "nuclear-density")}
    out = {key: done[name] for key, name in names.items()}
    return {"nuclei": sum(counts.values()), "geojson": done[run.nuclei_geojson(first)].parent, **out} | {
        "summary": done[run.SUMMARY]
    }


def _slide(search: Search, folder: RunFolder, options: NucleiOptions, events: Events) -> dict[str, Any]:
    """Search one slide and stage its files; returns its row of the summary."""
    from .analysis.counted import Counted
    from .qupath.columns import recorded
    from .qupath.geojson import write_parts

    name, frame = search.slide.name, search.slide.frame
    counted = Counted(search)
    columns = folder.stage(run.columns_npz(name, "nuclei")) if options.columns else None
    stream = recorded(_features(search, counted, options, events), columns, frame)
    write_parts(lambda part: folder.stage(run.nuclei_geojson(name, part)), stream, frame)
    if not len(counted):
        events.note(f"{name}: no nucleus was found")
    counted.draw(folder, events)
    return counted.row()


def _features(search: Search, counted: Counted, options: NucleiOptions, events: Events) -> Iterator[Feature]:
    for found in events.track("nuclei", search.found(events, options.workers), len(search.places)):
        yield from counted.features(found)


def _estimate(searches: Sequence[Search], options: NucleiOptions, events: Events) -> Mapping[str, Any]:
    """Say what a run would do and cost; figures: `docs/benchmarks.md`."""
    from .analysis.detector import NUCLEI_PER_MM2

    events.note(options.model_dump_json(indent=2))
    pixels, tissue_mm2 = 0, 0.0
    for search in searches:
        for place in search.places:
            left, top, right, bottom = search.cores.box(place)
            pixels += (right - left) * (bottom - top)
        tissue = search.tissue
        tissue_mm2 += float(tissue.mask.sum()) * (tissue.downsample * search.slide.frame.mpp / 1000) ** 2
    card, objects = searches[0].detector.card, round(NUCLEI_PER_MM2 * tissue_mm2)
    threads = options.workers or os.cpu_count() or 1
    return {
        "slides": len(searches),
        "model": f"{card.name} {card.version}",
        "tiles": sum(len(search.places) for search in searches),
        "objects": objects,
        "seconds": round(SECONDS_TO_START + pixels / PIXELS_PER_SECOND),
        "memory_mb": round(START_MB + THREAD_MB * threads + NUCLEUS_BYTES * objects / 1e6),
    }
