"""The results of a batch in tables: a row per slide, a row per failure, and how two batches differ."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..schema import run

if TYPE_CHECKING:
    from ..cohort.store import State, Store
    from ..schema.entry import SlideEntry

FIRST = ("slide_id", "path", "state", "flags")
LAST = ("fingerprint", "results", "notes")
Row = dict[str, Any]


def rows_of(store: Store, entries: Sequence[SlideEntry]) -> tuple[list[Row], list[Row]]:
    """Rows of the summary and of the failures, in the order of the source."""
    rows, failures = [], []
    for entry in entries:
        state = store.state(entry.key)
        row: Row = {"slide_id": entry.slide_id, "path": str(entry.path), "state": state.word if state else "waiting"}
        if state is not None and state.done:
            row |= _results(store, entry.key) | {"fingerprint": state.fingerprint}
        if state is not None and state.failures and not state.done:
            failures.append(_failure(entry, state))
        rows.append(row)
    return rows, failures


def _results(store: Store, key: str) -> Row:
    """What the run folder of a slide says of it."""
    folder = store.results(key)
    summary = read_table(folder / run.SUMMARY)
    facts = facts_of(folder)
    row: Row = {name: value for name, value in (summary[0] if summary else {}).items() if name not in FIRST}
    row |= {name: value for name, value in facts.items() if name not in ("flags", "overlay")}
    return row | {"flags": ", ".join(facts.get("flags", ())), "results": run.slide_folder(key)}


def facts_of(folder: Path) -> dict[str, Any]:
    """The facts of a slide in its run folder; empty where there are none."""
    try:
        found = json.loads((folder / run.SLIDE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _failure(entry: SlideEntry, state: State) -> Row:
    last = state.failures[-1]
    facts = {"slide_id": entry.slide_id, "path": str(entry.path), "state": state.word}
    return {**facts, "attempts": len(state.failures), "problem": last.problem, "fix": last.fix}


def columns_of(rows: Sequence[Row]) -> list[str]:
    """All columns of `rows`: who and how first, remarks last, results between in order of appearance."""
    between = dict.fromkeys(name for row in rows for name in row)
    return [*FIRST, *(name for name in between if name not in (*FIRST, *LAST)), *LAST]


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """A table as text; what a spreadsheet would take for a formula is marked as text."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    text = value if isinstance(value, str) else ""
    number = text[:1] in "+-" and text[1:2].isdigit()
    return "'" + text if text[:1] in ("=", "@", "+", "-", "\t") and not number else value


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a table that we wrote; empty where there is none."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def differences(before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]) -> tuple[list[Row], list[Row]]:
    """How the numbers of the same slides differ: a row per slide and number, and a row per number over all slides.

    Slides are the same when id and fingerprint are.
    """
    others = {(row["slide_id"], row["fingerprint"]): row for row in after if row.get("fingerprint")}
    each: list[Row] = []
    for row in before:
        other = others.get((row["slide_id"], row.get("fingerprint", "")))
        names = [name for name in row if other and name in other and name not in (*FIRST, *LAST)]
        for name in names:
            old, new = _number(row[name]), _number(other[name] if other else "")
            if old is not None and new is not None:
                each.append(
                    {"slide_id": row["slide_id"], "number": name, "before": old, "after": new, "change": new - old}
                )
    return each, [_over_all(name, each) for name in dict.fromkeys(row["number"] for row in each)]


def _over_all(name: str, each: Sequence[Row]) -> Row:
    mine = [row for row in each if row["number"] == name]
    change = np.array([row["change"] for row in mine])
    old, new = (np.array([row[side] for row in mine]) for side in ("before", "after"))
    varied = len(mine) > 2 and old.std() > 0 and new.std() > 0
    return {
        "number": name,
        "slides": len(mine),
        "mean_before": float(old.mean()),
        "mean_after": float(new.mean()),
        "median_change": float(np.median(change)),
        "largest_change": float(change[np.abs(change).argmax()]),
        "correlation": float(np.corrcoef(old, new)[0, 1]) if varied else "",
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
