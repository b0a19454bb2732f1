"""`hmgdm explain`: which entities and contacts carried the answer, and whether that can be believed.

Three measures per entity: the gate of the pooling, what the entity added through it, and gradient x input; gradient
x input per contact too. A deletion and an insertion curve compare each order with chance on the same tiles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .schema import run
from .schema.errors import InputError
from .schema.events import Events
from .schema.options import ExplainOptions

if TYPE_CHECKING:
    from .analysis.explanation import Explanation
    from .analysis.faithful import Faithfulness
    from .analysis.plan import Plan
    from .qupath.geojson import Feature
    from .zoo.card import Head
    from .zoo.load import LoadedModel


def explain(options: ExplainOptions, events: Events) -> Mapping[str, Any]:
    """Explain one head on every slide of `options`; the run folder gets everything or nothing.

    Raises
    ------
    InputError
        As `predict`; also an output that is no class of the head, or an id in `--without` that is not on the slides.
    """
    from .analysis.answers import chosen
    from .analysis.plan import estimate, loaded, opened, planned, record

    folder = run.RunFolder(options.results_dir, run.EXPLAIN_RECORD, options.overwrite)
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
    folder: run.RunFolder
    events: Events


def _slide(job: _Job, plan: Plan) -> dict[str, Any]:
    """Explain one slide and stage its files."""
    from .analysis.explanation import Explanation
    from .analysis.faithful import Faithfulness
    from .qupath.geojson import write_parts

    name, folder = plan.slide.name, job.folder
    faithful = Faithfulness(job.model, job.shown, job.options.seed)
    explanation = Explanation(plan, job.model, job.shown, folder, job.events)
    rescored: list[dict[str, Any]] = []
    stream = _features(job, plan, faithful, explanation, rescored)
    write_parts(lambda part: folder.stage(run.explained_geojson(name, part)), stream, plan.slide.frame)
    with job.events.timed("pictures"):
        explanation.write(run.explain_html(name, len(job.options.slides) > 1), faithful, rescored)
    facts = {"head": job.shown.name, **faithful.numbers(), "without": rescored}
    path = folder.stage(run.curves_json(name))
    path.write_text(json.dumps({**facts, "curves": faithful.curves()}, indent=1) + "\n", "utf-8")
    return facts


def _features(
    job: _Job, plan: Plan, faithful: Faithfulness, explanation: Explanation, rescored: list[dict[str, Any]]
) -> Iterator[Feature]:
    """Explain tile by tile; hand on entities and strong contacts to be written."""
    from .analysis.encode import encode_tiles
    from .analysis.faithful import explained, score_without
    from .analysis.identity import Ids

    ids = Ids(job.model, plan.slide)
    stride = max(-(-len(plan.tiles) // faithful.most), 1)
    encoded = encode_tiles(plan.slide, plan.tiles, job.model, job.events, job.options.workers, with_outlines=True)
    for number, tile in enumerate(job.events.track("explain", encoded, len(plan.tiles))):
        with job.events.timed("explain"):
            said = explained(tile, job.model, job.shown, job.output)
            if number % stride == 0:
                faithful.add(tile, said)
        entity_ids = ids.entities(tile)
        gone = [k for k, id in enumerate(entity_ids) if str(id) in job.without]
        if gone:
            job.without.difference_update(str(entity_ids[k]) for k in gone)
            rescored.append(score_without(tile, job.model, job.shown, said, gone))
        explanation.add(tile, said)
        yield from explanation.features(tile, said, ids, entity_ids)
