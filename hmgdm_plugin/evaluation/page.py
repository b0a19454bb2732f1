"""The page of evidence: one table, what it says, the paper's own table, how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..schema.evaluation import EvaluateSettings
from . import paper
from .cost import Cost
from .judging import Row
from .reading import ABOVE, BELOW, Table, sentences


@dataclass(frozen=True)
class Made:
    """How a page came to be.

    Parameters
    ----------
    command : str
    picture, table : str
        Paths from the page to the plot and to the CSV of all numbers.
    day, machine, versions : str
    tiles : int
        What trained rows learnt from.
    """

    command: str
    picture: str
    table: str
    day: str
    machine: str
    versions: str
    tiles: int


def page(settings: EvaluateSettings, scored: Sequence[Row], costs: Mapping[str, Cost], made: Made, reading: str) -> str:
    """The page as Markdown; `reading` is what a person adds."""
    table = Table.of([row.name for row in settings.row], scored, settings.reference)
    own = {row.paper: row.name for row in settings.row if row.paper}
    parts = [
        f"# {settings.title}",
        f"```bash\n{made.command}\n```",
        f"Written by this command on {made.day} ({made.machine}; {made.versions}); do not edit it by hand.",
        "## The table",
        _legend(settings),
        "\n".join(_lines(table, costs)),
        f"All metrics, intervals and differences: [{made.table}]({made.table}).",
        f"![Scores with their intervals]({made.picture})",
        f"Blue: {settings.reference}. Green: surely above it. Brown: surely below it. Grey: neither.",
        "## What it says",
        "\n".join(f"- {sentence}" for sentence in sentences(table)),
        "Each interval is one of many: of forty differences that are none, about one is marked above and one below "
        "by chance.",
        *([reading.strip()] if reading.strip() else []),
        "## What the paper reports",
        f"Accuracy and F1 in % on the paper's own data, by folds of tiles, not of patients ({paper.SOURCE}):",
        "\n".join(paper.lines(own)),
        "## How it was made",
        _how(settings, made),
        "\n".join(_yardsticks(settings, table)),
    ]
    return "\n\n".join(parts) + "\n"


def _legend(settings: EvaluateSettings) -> str:
    return (
        f"R² of numbers, accuracy of classes, out of fold by patient. {ABOVE} surely above, {BELOW} surely below "
        f"**{settings.reference}**: the 95 % interval of the difference, over patients, on the same patients, leaves "
        "zero out. Costs: seconds of one core for training, milliseconds of one core for a tile (its graph included), "
        "most memory, weights that serve to embed."
    )


def _lines(table: Table, costs: Mapping[str, Cost]) -> list[str]:
    heads = ["row", *table.yardsticks, "training", "a tile", "memory", "weights"]
    out = [f"| {' | '.join(heads)} |", f"|---|{'---:|' * (len(heads) - 1)}"]
    for row in table.rows:
        cells = [_cell(table, row, name) for name in table.yardsticks]
        name = f"**{row}**" if row == table.reference else row
        out.append(f"| {' | '.join([name, *cells, *_cost(costs[row])])} |")
    return out


def _cell(table: Table, row: str, yardstick: str) -> str:
    cell = table.cells.get((row, yardstick))
    return "-" if cell is None else f"{cell.score.value:.3f} {table.mark(row, yardstick)}".strip()


def _cost(cost: Cost) -> list[str]:
    weights = f"{cost.parameters / 1e6:.2f} M" if cost.parameters else "-"
    trained = f"{cost.trained_s:.0f} s" if cost.trained_s else "-"
    return [trained, f"{1000 * cost.tile_s:.0f} ms", f"{cost.memory_mb:.0f} MB", weights]


def _how(settings: EvaluateSettings, made: Made) -> str:
    share = settings.stage1_share * settings.budget_minutes
    return (
        f"Every trained row learnt for {settings.budget_minutes:g} minutes of one core from the same {made.tiles} "
        f"tiles, without labels; rows with an auto-encoder of entities gave {share:g} of them to it. "
        "Cutting tiles and building graphs is not counted. Seeds of each row that is drawn or trained: "
        f"{settings.seeds}; its scores are their mean. Embeddings are frozen; ridge or logistic regression reads them, "
        "its penalty chosen on the training patients of each fold. Entities are read by "
        f"{settings.readout.replace('+', ' and ')}, patches and feature maps by mean and spread, ImageNet's by mean."
        f"{_nuclei(settings)}"
    )


def _nuclei(settings: EvaluateSettings) -> str:
    """Who found the nuclei of rows that have some: their answers are worth less where the finder knew the patient."""
    if not any(row.settings.get("graph", {}).get("entities") == "tissue+nuclei" for row in settings.row):
        return ""
    known = " (it has seen the maps of patients that it was trained on)"
    if settings.detectors is None:
        return f" Nuclei were found by the detector that ships{known}."
    return (
        " Nuclei of labelled tiles were found by a detector that never saw their patient, where one is named, else by "
        f"the one that ships; nuclei of the tiles that rows learn from by the one that ships{known}."
    )


def _yardsticks(settings: EvaluateSettings, table: Table) -> list[str]:
    out = ["| yardstick | metric | tiles | groups | folds, repeats | what to know |", "|---|---|---:|---:|---|---|"]
    for task in settings.yardstick:
        cell = next((table.cells[row, task.name] for row in table.rows if (row, task.name) in table.cells), None)
        if cell is not None:
            counts = f"{cell.tiles} | {cell.patients} {task.group}s | {task.folds}, {task.repeats}"
            out.append(f"| {task.name} | {cell.metric} | {counts} | {task.note or '-'} |")
    return out
