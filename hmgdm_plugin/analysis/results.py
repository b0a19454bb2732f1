"""The results of a batch in tables: a row per slide, a row per failure, and how two batches differ."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
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
TEXTS = FIRST + LAST
NOT_THERE = "not there"
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
    return row | {"flags": ", ".join(facts["flags"]), "results": run.slide_folder(key)}


def facts_of(folder: Path) -> dict[str, Any]:
    """The facts of a slide in its run folder: its flags, and numbers or texts; empty where there are none."""
    try:
        found = json.loads((folder / run.SLIDE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    facts = found if isinstance(found, dict) else {}
    flags = facts.pop("flags", None)
    plain = {name: value for name, value in facts.items() if value is None or isinstance(value, str | int | float)}
    return {**plain, "flags": [str(flag) for flag in flags] if isinstance(flags, list) else []}


def overlay_of(folder: Path) -> Path | None:
    """The picture of a slide in its run folder; None where there is none, or it is said to be elsewhere."""
    name = facts_of(folder).get("overlay")
    path = folder / str(name)
    inside = isinstance(name, str) and os.path.realpath(path).startswith(os.path.realpath(folder) + os.sep)
    return path if inside and os.path.isfile(path) else None


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
    """Rows of a table that we wrote; empty where there is none. Cells that are missing are empty, those too many go."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        return []
    return [{name: value or "" for name, value in row.items() if name is not None} for row in rows]


def differences(before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]) -> tuple[list[Row], list[Row]]:
    """How the same slides differ: a row per slide and number or word, and a row per number over all slides.

    Numbers are compared where the slide is the same file in both; otherwise, and where only one of them has the slide
    or is done with it, a row says that.
    """
    first, second = _by_slide(before), _by_slide(after)
    words, numbers = list[Row](), list[Row]()
    for key in first | second:
        pair = (first.get(key, {}), second.get(key, {}))
        changed = _words(key[0], *pair)
        words += changed
        numbers += [] if changed else _numbers(key[0], *pair)
    return numbers + words, [_over_all(name, numbers) for name in dict.fromkeys(row["number"] for row in numbers)]


def _by_slide(rows: Sequence[Mapping[str, str]]) -> dict[tuple[str, int], Mapping[str, str]]:
    """Rows by id, and by how many before them have the same: images of a project may."""
    often: Counter[str] = Counter()
    found = {}
    for row in rows:
        found[row["slide_id"], often[row["slide_id"]]] = row
        often[row["slide_id"]] += 1
    return found


def _words(slide_id: str, one: Mapping[str, str], other: Mapping[str, str]) -> list[Row]:
    """What became of a slide, and which file it is, where this differs."""
    pairs = [(name, one.get(name, NOT_THERE), other.get(name, NOT_THERE)) for name in ("state", "fingerprint")]
    changed = [
        {"slide_id": slide_id, "number": name, "before": old, "after": new, "change": ""}
        for name, old, new in pairs
        if old != new
    ]
    return changed[:1]  # a slide that is not done has no fingerprint


def _numbers(slide_id: str, one: Mapping[str, str], other: Mapping[str, str]) -> list[Row]:
    pairs = [(name, _number(one[name]), _number(other[name])) for name in one if name in other and name not in TEXTS]
    return [
        {"slide_id": slide_id, "number": name, "before": old, "after": new, "change": new - old}
        for name, old, new in pairs
        if old is not None and new is not None
    ]


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
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
