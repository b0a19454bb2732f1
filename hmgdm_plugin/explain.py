"""`hmgdm explain`: which entities and contacts carried the answer, and whether that can be believed.

Three measures per entity: the gate of the pooling, what the entity added through it, and gradient x input; gradient
x input per contact too. A deletion and an insertion curve compare each order with chance on the same tiles.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .graph.compiled import compiling
from .schema import run
from .schema.errors import InputError
from .schema.events import Events
from .schema.folder import RunFolder
from .schema.options import ExplainOptions

if TYPE_CHECKING:
    from .analysis.plan import Plan
    from .analysis.why import Why
    from .qupath.geojson import Feature
    from .zoo.card import Head
    from .zoo.load import LoadedModel


@compiling()
def explain(options: ExplainOptions, events: Events) -> Mapping[str, Any]:
    """Explain one head on every slide of `options`; the run folder gets everything or nothing.

    Raises
    ------
    InputError
        As `predict`; also an output that is no class of the head, or an id in `--without` that is not on the slides.
    """
    from .analysis.answers import chosen
    from .analysis.plan import estimate, loaded, opened, planned, record

    folder = RunFolder(options.results_dir, run.EXPLAIN_RECORD, options.overwrite)
    with opened(options) as slides:
        model = loaded(options, events)
        _, shown = chosen(model.card, (options.head,) if options.head else (), options.head)
        output = _output(shown, options.output)
        plans = [planned(slide, model, options, events) for slide in slides]
        if options.dry_run:
            return estimate(plans, model, options, events)
        with folder, run.writing(folder.root):
            without = {id.lower() for id in options.without}
            job = _Job(model, shown, output, options, without, folder, events)
            facts = {plan.slide.name: _slide(job, plan) for plan in plans}
            if without:
                unknown = next(iter(without))
                raise InputError(f"--without {unknown}: no entity of these slides has this id", "copy it from QuPath")
            done = folder.commit({**record("explain", options, slides, model, events), "explained": facts})
    name = plans[0].slide.name
    files = {"report": run.explain_html(name, len(plans) > 1), "overlay": run.overlay_png(name, "explained")}
    return {key: done[path] for key, path in files.items()} | {"geojson": done[run.explained_geojson(name)].parent}


def _output(head: Head, name: str) -> int:
    """Number of the class to explain; -1 for the likeliest."""
    if not name:
        return -1 if head.kind == "classification" else 0
    names = [each.name for each in head.classes]
    if name not in names:
        raise InputError(f"{head.name}: has no class {name!r}", f"choose from {', '.join(names) or 'no --output'}")
    return names.index(name)


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for all slides of a run; ids found are taken out of `without`."""

    model: LoadedModel
    shown: Head
    output: int
    options: ExplainOptions
    without: set[str]
    folder: RunFolder
    events: Events


def _slide(job: _Job, plan: Plan) -> dict[str, Any]:
    """Explain one slide and stage its files."""
    from .analysis.why import Why
    from .qupath.columns import recorded
    from .qupath.geojson import write_parts

    name, folder = plan.slide.name, job.folder
    why = Why(plan, job.model, job.shown, job.output, folder, job.events, job.options.seed)
    columns = folder.stage(run.columns_npz(name, "explained")) if job.options.columns else None
    stream = recorded(_features(job, why), columns, plan.slide.frame)
    write_parts(lambda part: folder.stage(run.explained_geojson(name, part)), stream, plan.slide.frame)
    if remark := why.warning():
        job.events.note(f"{name}: {remark}")
    return why.write(several=len(job.options.slides) > 1)


def _features(job: _Job, why: Why) -> Iterator[Feature]:
    """Explain tile by tile; hand on entities and strong contacts to be written."""
    from .analysis.encode import encode_tiles
    from .analysis.faithful import score_without
    from .analysis.identity import Ids

    plan = why.plan
    ids = Ids(job.model, plan.slide)
    encoded = encode_tiles(
        plan.slide, plan.tiles, job.model, job.events, job.options.workers, True, plan.nuclei, plan.tissue
    )
    for tile in job.events.track("explain", encoded, len(plan.tiles)):
        said = why.add(tile)
        entity_ids = ids.entities(tile)
        gone = [k for k, id in enumerate(entity_ids) if str(id) in job.without]
        if gone:
            job.without.difference_update(str(entity_ids[k]) for k in gone)
            why.rescored.append(score_without(tile, job.model, job.shown, said, gone))
        yield from why.features(tile, said, ids, entity_ids)
    plan.tell(job.events)
