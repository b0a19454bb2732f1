"""`hmgdm predict`: predictions per tile and importance per entity, as objects, pictures, tables and a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .graph.compiled import compiling
from .schema import run
from .schema.events import Events
from .schema.folder import RunFolder
from .schema.options import PredictOptions

if TYPE_CHECKING:
    from .analysis.answers import SlideAnswers
    from .analysis.plan import Plan
    from .analysis.why import Why
    from .qupath.geojson import Feature
    from .zoo.card import Head
    from .zoo.load import LoadedModel


@compiling()
def predict(options: PredictOptions, events: Events, verb: str = "predict") -> Mapping[str, Any]:
    """Predict every slide of `options`; the run folder gets everything or nothing.

    Raises
    ------
    InputError
        A slide, its pixel size, the regions, the model, a head or the results folder is wrong.
    """
    from .analysis.answers import chosen
    from .analysis.plan import estimate, loaded, opened, planned

    folder = RunFolder(options.results_dir, overwrite=options.overwrite)
    if options.explain:
        RunFolder(options.results_dir, run.EXPLAIN_RECORD, options.overwrite)  # refuses what explain left there
    with opened(options) as slides:
        model = loaded(options, events)
        chosen(model.card, options.heads, options.show)
        plans = [planned(slide, model, options, events) for slide in slides]
        if options.dry_run:
            return estimate(plans, model, options, events)
        return predict_planned(plans, model, folder, options, events, verb)


def predict_planned(
    plans: Sequence[Plan],
    model: LoadedModel,
    folder: RunFolder,
    options: PredictOptions,
    events: Events,
    verb: str,
    blocks: Path | None = None,
) -> Mapping[str, Any]:
    """Predict slides that are open and planned, with a model that is loaded; see `predict`.

    Parameters
    ----------
    blocks : Path, optional
        Folder where blocks of encoded tiles are kept for a later run that goes on where this one stopped; for a
        single slide.
    """
    from .analysis.answers import chosen
    from .analysis.plan import record, write_summary

    heads, shown = chosen(model.card, options.heads, options.show)
    with folder, run.writing(folder.root):
        job = _Job(model, heads, shown, options, folder, events, blocks)
        rows = [_slide(job, plan) for plan in plans]
        write_summary(folder, rows)
        with events.timed("writing"):
            done = folder.commit(record(verb, options, [plan.slide for plan in plans], model, events))
    first = plans[0].slide.name
    report = run.REPORT if len(plans) == 1 else run.report_html(first)
    names = (report, run.overlay_png(first, shown.name), run.tiles_geojson(first), run.features_h5(first), run.SUMMARY)
    keys = ("report", "overlay", "geojson", "features", "summary")
    out = {key: done[path].parent if key == "geojson" else done[path] for key, path in zip(keys, names, strict=True)}
    page = run.explain_html(first, len(plans) > 1)
    return {**out, "explanation": done[page]} if options.explain else out


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for all slides of a run."""

    model: LoadedModel
    heads: Sequence[Head]
    shown: Head
    options: PredictOptions
    folder: RunFolder
    events: Events
    blocks: Path | None = None


def _slide(job: _Job, plan: Plan) -> dict[str, Any]:
    """Analyse one slide and stage its files; returns its row of the summary."""
    from .analysis.answers import SlideAnswers
    from .analysis.mapped import warning as sparse
    from .analysis.novel import novel_share, warning
    from .analysis.objects import marked
    from .analysis.present import Presentation
    from .analysis.why import Why
    from .qupath.columns import recorded
    from .qupath.geojson import write_features, write_parts

    options = job.options
    answers = SlideAnswers(options.map_tissue)
    squares: list[Feature] = []
    output = -1 if job.shown.kind == "classification" else 0
    why = Why(plan, job.model, job.shown, output, job.folder, job.events, options.seed) if options.explain else None
    stream = _entities(job, plan, answers, squares, why)
    name, frame = plan.slide.name, plan.slide.frame
    entities = recorded(stream, _columns(job, name, "entities"), frame)
    write_parts(lambda part: job.folder.stage(run.entities_geojson(name, part)), entities, frame)
    with job.events.timed("writing"):
        marks = [each if kept else marked(each) for each, kept in zip(squares, answers.mapped, strict=True)]
        tiles = recorded(marks, _columns(job, name, "tiles"), frame)
        write_features(job.folder.stage(run.tiles_geojson(name)), tiles, frame)
    share = novel_share(answers.novelty)
    found = [warning(job.model.card, share), sparse(answers.shares, answers.least)]
    remarks = [*answers.beyond(job.model, job.heads), *answers.parted(job.heads), *filter(None, found)]
    said = [f"{name}: {remark}" for remark in remarks]
    for note in said:
        job.events.note(note)
    notes = (*plan.notes, *said)
    several = len(options.slides) > 1
    report = run.report_html(name) if several else run.REPORT
    with job.events.timed("pictures"):
        Presentation(plan, job.model, job.heads, job.shown, answers, job.folder, job.events).write(report, notes)
    if why is not None:
        why.write(several)
    return _row(plan, job.heads, answers, notes)


def _columns(job: _Job, name: str, what: str) -> Path | None:
    """Where the objects go as columns, if they are asked for."""
    return job.folder.stage(run.columns_npz(name, what)) if job.options.columns else None


def _entities(
    job: _Job, plan: Plan, answers: SlideAnswers, squares: list[Feature], why: Why | None
) -> Iterator[Feature]:
    """Encode the tiles one by one, gather answers and embeddings, and hand on the entities to be written."""
    from .analysis.answers import answer
    from .analysis.blocks import encoded_tiles
    from .analysis.identity import Ids, add_features, feature_file
    from .analysis.measured import measured
    from .analysis.objects import entity_features, tile_feature

    ids = Ids(job.model, plan.slide)
    encoded = encoded_tiles(plan, job.model, job.events, job.options.workers, job.blocks)
    with feature_file(job.folder.stage(run.features_h5(plan.slide.name)), plan, job.model) as file:
        for tile in job.events.track("predict", encoded, len(plan.tiles)):
            said = answer(tile, job.model, job.heads, job.shown)
            tile_id, entity_ids = ids.tile(tile), ids.entities(tile)
            add_features(file, tile, tile_id, entity_ids)
            nuclei = None if plan.nuclei is None else measured(tile)
            answers.add(tile, said, nuclei)
            squares.append(tile_feature(tile, said, job.heads, tile_id, nuclei))
            if why is None:
                yield from entity_features(tile, said.contribution, job.shown, entity_ids)
            else:
                yield from why.features(tile, why.add(tile), ids, entity_ids)
    plan.tell(job.events)


def _row(plan: Plan, heads: Sequence[Head], answers: SlideAnswers, notes: Sequence[str]) -> dict[str, Any]:
    """One line of the summary: medians, shares of classes and of novel tiles, what the user was told."""
    from .analysis.measured import AREA, DENSITY, together
    from .analysis.novel import COLUMN, novel_share

    row: dict[str, Any] = {"slide_id": plan.slide.name, "path": str(plan.slide.path), "tiles": len(answers.tiles)}
    row |= {"tiles_left_out": int((~answers.mapped).sum()), "area_mm2": round(answers.tissue_mm2, 4)}
    if (novel := novel_share(answers.novelty)) is not None:
        row[COLUMN] = round(novel, 4)
    for head in heads:
        values = answers.of(head.name)[answers.mapped]
        if head.kind == "regression":
            row[f"{head.name} median"] = float(np.median(values[:, 0]))
        elif head.kind == "classification":
            row |= {
                f"{head.name} p({c.name})": float(p) for c, p in zip(head.classes, values.mean(axis=0), strict=True)
            }
        else:
            share = np.bincount(values[:, 0].astype(int), minlength=len(head.classes)) / len(values)
            row |= {f"{head.name} {c.name}": float(p) for c, p in zip(head.classes, share, strict=True)}
    if answers.nuclei:
        found = together(answers.nuclei).values()
        row |= {"nuclei found per mm2": found[DENSITY], "median area of nuclei found um2": found.get(AREA, "")}
    row["notes"] = " | ".join(notes)
    return row
