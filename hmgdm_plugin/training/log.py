"""What a stage of training writes down: one row per stretch of steps, one per evaluation and noise level; as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LEAST_STRETCH, MOST_ROWS = 10, 2000  # steps averaged in a row; rows of a whole run
Row = dict[str, float | str]


@dataclass
class Log:
    """The curves of one stage.

    Attributes
    ----------
    rows : list of dict
        Means over a stretch of steps: ``step`` (its last), ``graphs`` seen, ``seconds`` since the start, ``waiting``
        (share of the stretch's time spent waiting for data), ``lr``, losses.
    evaluations : list of dict
        One per evaluation, set of graphs and noise level; see `context.Asked`.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    evaluations: list[Row] = field(default_factory=list)
    pending: dict[str, float] = field(default_factory=dict)  # sums of the stretch that is not finished
    seconds: float = 0.0
    waited_s: float = 0.0
    worked_s: float = 0.0  # seconds computed: less than `seconds` where others compute too

    def add(self, step: int, seen: int, values: Mapping[str, float], took_s: float, waited_s: float) -> None:
        """Count one step."""
        for key, value in {**values, "steps": 1.0, "took_s": took_s, "waited_s": waited_s}.items():
            self.pending[key] = self.pending.get(key, 0.0) + value
        self.pending |= {"step": float(step), "graphs": float(seen)}
        self.seconds += took_s
        self.waited_s += waited_s

    def close_row(self) -> None:
        """Turn the pending sums into a row."""
        own, self.pending = self.pending, {}
        if not own:
            return
        steps, took_s, waited_s = own.pop("steps"), own.pop("took_s"), own.pop("waited_s")
        places = {key: own.pop(key) for key in ("step", "graphs")}
        head = {**places, "seconds": self.seconds, "waiting": waited_s / max(took_s, 1e-9)}
        self.rows.append(head | {key: value / steps for key, value in own.items()})

    @property
    def waiting(self) -> float:
        """Share of all time spent waiting for data."""
        return self.waited_s / max(self.seconds, 1e-9)

    def curve(self) -> list[Row]:
        """Rows with the evaluations made at their step beside them, as ``held-out …`` and ``training …`` columns."""
        beside: dict[float, Row] = {}
        for each in self.evaluations:
            if each["noise"] == "all":
                own = beside.setdefault(float(each["step"]), {"step": each["step"]})
                own |= {f"{each['graphs']} {key}": value for key, value in each.items() if key not in _PLACE}
        made = {row["step"] for row in self.rows}
        first = [own for step, own in beside.items() if step not in made]
        return first + [{**row, **beside.get(row["step"], {})} for row in self.rows]


_PLACE = ("step", "graphs", "noise")


def stretch(steps: int) -> int:
    """How many steps make a row of a run of about `steps`."""
    return max(LEAST_STRETCH, steps // MOST_ROWS)


def write_csv(path: Path, rows: Sequence[Mapping[str, float | str]]) -> None:
    """Write rows as a table, whole; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row)) or ["step"]
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(temporary, path)
