"""What a table of comparisons says, in sentences that follow from its intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .judging import Row

ABOVE, BELOW, LEVEL = "▲", "▼", ""


@dataclass(frozen=True)
class Table:
    """The first metric of each yardstick, by row of the comparison and yardstick.

    Parameters
    ----------
    rows, yardsticks : sequences of names, in the order of the settings
    cells : (row, yardstick) > its number; what a row cannot be asked is missing
    reference : str
    """

    rows: Sequence[str]
    yardsticks: Sequence[str]
    cells: Mapping[tuple[str, str], Row]
    reference: str

    @classmethod
    def of(cls, rows: Sequence[str], scored: Sequence[Row], reference: str) -> Table:
        """From all scores, in the order in which they were made."""
        cells: dict[tuple[str, str], Row] = {}
        for each in scored:
            cells.setdefault((each.embedding, each.task), each)
        return cls(rows, list(dict.fromkeys(each.task for each in scored)), cells, reference)

    def mark(self, row: str, yardstick: str) -> str:
        """Whether a row is surely above or below the reference: its paired interval leaves zero out."""
        cell = self.cells.get((row, yardstick))
        if cell is None or cell.difference is None:
            return LEVEL
        return ABOVE if cell.difference.low > 0 else BELOW if cell.difference.high < 0 else LEVEL

    def against(self, row: str) -> dict[str, list[str]]:
        """Yardsticks by how `row` does against the reference there."""
        asked = [name for name in self.yardsticks if (row, name) in self.cells]
        return {mark: [name for name in asked if self.mark(row, name) == mark] for mark in (ABOVE, BELOW, LEVEL)}


def sentences(table: Table) -> list[str]:
    """One sentence about the reference against each other row, and one about all."""
    out, beaten, lost = [], [], []
    for row in table.rows:
        if row == table.reference:
            continue
        found = table.against(row)
        out.append(
            f"Against *{row}*, **{table.reference}** is better on {_list(found[BELOW])}, worse on "
            f"{_list(found[ABOVE])}, and not to be told apart on {_count(found[LEVEL])}."
        )
        if found[BELOW] and not found[ABOVE]:
            beaten.append(row)
        if found[ABOVE]:
            lost.append(row)
    whole = (
        f"**{table.reference}** is better than {_list(beaten)} somewhere and nowhere worse; "
        f"somewhere worse than {_list(lost)}."
    )
    return [whole, *out]


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "none"
