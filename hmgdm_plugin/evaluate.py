"""`hmgdm evaluate`: rows are trained at one budget, embed the same tiles, are judged on the same folds: one table.

Whatever is finished (graphs, stage 1, trained rows, embeddings, answers) is kept in the results folder under the digest
of what it follows from, and never made twice; a killed run goes on from its checkpoints.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schema import run
from .schema.errors import InputError
from .schema.evaluation import ON_PIXELS, TRAINED, EvaluateSettings, RowSettings
from .schema.events import Events
from .schema.folder import run_record
from .schema.options import EvaluateOptions
from .schema.parsing import read_toml
from .schema.run import writing
from .schema.settings import PretrainSettings
from .train import beside

if TYPE_CHECKING:
    from .analysis.ground import Ground
    from .analysis.verdict import Asked
    from .evaluation.cost import Cost
    from .evaluation.judging import Row

MARK = "evaluation.txt"
SAYS = "Kept by hmgdm evaluate; what lies here is taken up again.\n"


def evaluate(options: EvaluateOptions, events: Events) -> Mapping[str, Path]:
    """Make every row, judge it, and write the page.

    Raises
    ------
    InputError
        The settings, a row, a yardstick or the results folder is wrong.
    """
    import torch

    from .analysis.finders import Finders
    from .analysis.ground import Ground
    from .training.world import World

    settings = read_toml(options.settings, EvaluateSettings)
    rows = _chosen(settings, options.only)
    recipe_path = beside(options.settings, settings.recipe)
    recipe = read_toml(recipe_path, PretrainSettings)
    world = World(torch.device("cpu"))
    workers = options.workers or os.cpu_count() or 1
    places = (recipe_path.parent, options.settings.parent, options.results_dir)
    finders = Finders.read(None if settings.detectors is None else beside(options.settings, settings.detectors))
    ground = Ground(settings, recipe, *places, events, world, workers, finders)
    for row in rows:
        ground.recipe_of(row)
    questions = _questions(settings, options.settings)
    if options.dry_run:
        return _dry(settings, rows, questions, events)
    torch.set_num_threads(1)
    with writing(options.results_dir):
        _claim(options.results_dir, options.resume or bool(options.only))
        made = {row.name: _embedded(ground, row, questions) for row in rows}
        if options.only:
            return {"kept": options.results_dir}
        return _written(options, ground, questions, made)


def _chosen(settings: EvaluateSettings, only: str) -> Sequence[RowSettings]:
    rows = [row for row in settings.row if only in ("", row.name)]
    if not rows:
        raise InputError(f"--only {only}: no such row", f"choose among {', '.join(row.name for row in settings.row)}")
    return rows


def _questions(settings: EvaluateSettings, settings_path: Path) -> list[Asked]:
    """Every yardstick with its tiles, each file read once."""
    from .analysis.verdict import Asked
    from .training.labelled import LabelledTile, read_csv

    read: dict[Path, list[LabelledTile]] = {}
    found = []
    for task in settings.yardstick:
        path = beside(settings_path, task.tiles)
        read[path] = read.get(path) or read_csv(path)
        found.append(Asked.of(task, read[path], settings.seed))
    return found


def _dry(
    settings: EvaluateSettings, rows: Sequence[RowSettings], questions: Sequence[Asked], events: Events
) -> Mapping[str, Path]:
    trained = sum(row.kind in TRAINED for row in rows) * settings.seeds
    tiles = sum(len(each.tiles) for each in {each.name: each for each in questions}.values())
    events.note(settings.model_dump_json(indent=2))
    events.note(f"{trained} trainings of {settings.budget_minutes:g} minutes of one core")
    events.note(f"{len(rows)} rows on {len(questions)} yardsticks, {tiles} tiles to embed by each row")
    return {"rows": Path(str(len(rows)))}


def _claim(folder: Path, resume: bool) -> None:
    """Take the folder; refuse one that holds something else, or an evaluation without `--resume`."""
    if (folder / MARK).exists():
        if not resume:
            raise InputError(f"{folder}: holds an evaluation already", "pass --resume to go on with it")
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty and not an evaluation", "give an empty or new --results-dir")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).write_text(SAYS, "utf-8")


def _embedded(ground: Ground, row: RowSettings, questions: Sequence[Asked]) -> tuple[list[Any], list[Cost]]:
    """Embeddings (set > array) and cost of each seed of a row."""
    from .analysis.contest import SHUFFLED, embedded, seeds_of

    pixels = row.kind in ON_PIXELS
    sets = {each.name: each.tiles for each in questions if not (pixels and each.name.endswith(SHUFFLED))}
    ground.events.note(f"row: {row.name}")
    found = [embedded(ground, row, seed, sets) for seed in seeds_of(ground, row)]
    return [x for x, _ in found], [cost for _, cost in found]


def _written(
    options: EvaluateOptions, ground: Ground, questions: Sequence[Asked], made: Mapping[str, Any]
) -> Mapping[str, Path]:
    """Judge, then write table, picture and page into the results folder, and to `--page`."""
    from .analysis.contest import key_of
    from .analysis.evidence import Evidence, write
    from .analysis.verdict import judged

    settings, folder = ground.settings, ground.folder
    keys = {row.name: key_of(ground, row, 0) for row in settings.row}
    scored: list[Row] = []
    for each in questions:
        own = {row: [x[each.name] for x in seeds] for row, (seeds, _) in made.items() if each.name in seeds[0]}
        scored += judged(each, own, keys, settings, folder / "answers", ground.events)
    reading = "" if settings.reading is None else beside(options.settings, settings.reading).read_text("utf-8")
    found = Evidence(settings, scored, {row: costs for row, (_, costs) in made.items()}, reading, len(ground.pixels()))
    written = write(found, folder, options)
    record = run_record("evaluate", settings.model_dump(mode="json"), notes=ground.events.notes)
    run.write_whole(folder / run.RECORD, json.dumps(record, indent=2, default=str) + "\n")
    return written
