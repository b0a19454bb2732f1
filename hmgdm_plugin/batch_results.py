"""The tables and the page of a batch, and how two batches differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schema import run
from .schema.errors import InputError
from .schema.events import Events

if TYPE_CHECKING:
    from .analysis.results import Row
    from .cohort.store import Store
    from .schema.entry import SlideEntry

SHOWN_ROWS, SHOWN_SHEETS = 500, 12


def write_results(entries: Sequence[SlideEntry], store: Store, events: Events) -> dict[str, Any]:
    """Write the tables, the contact sheets and the page of a batch, finished or not.

    Raises
    ------
    InputError
        There is no batch in the results folder, or it cannot be written.
    """
    from .analysis.results import as_csv, columns_of, rows_of
    from .report.page import write_page

    settings = store.settings()
    rows, failures = rows_of(store, entries)
    columns = columns_of(rows)
    with run.writing(store.root):
        run.write_whole(store.root / run.SUMMARY, as_csv(columns, rows))
        names = ("slide_id", "path", "state", "attempts", "problem", "fix")
        run.write_whole(store.root / run.FAILURES, as_csv(names, failures))
        sheets = _sheets(store, entries, rows, events)
        write_page(
            store.root / run.REPORT,
            "batch.html",
            rows=rows[:SHOWN_ROWS],
            more_rows=max(len(rows) - SHOWN_ROWS, 0),
            columns=[name for name in columns if name not in ("path", "results", "fingerprint")],
            failures=failures[:SHOWN_ROWS],
            sheets=sheets[:SHOWN_SHEETS],
            more_sheets=max(len(sheets) - SHOWN_SHEETS, 0),
            summary=_sentence(rows),
            facts=_facts(store, entries, settings),
        )
    return {"report": store.root / run.REPORT, "summary": store.root / run.SUMMARY}


def _sheets(store: Store, entries: Sequence[SlideEntry], rows: Sequence[Row], events: Events) -> list[bytes]:
    """Draw the contact sheets of all slides that are done."""
    from .analysis.results import overlay_of
    from .report.contact import PER_SHEET, Cell, write_sheet

    cells = []
    for entry, row in zip(entries, rows, strict=True):
        if row["state"] == "done":
            cells.append(Cell(overlay_of(store.results(entry.key)), entry.slide_id, row.get("flags", "")))
    starts = range(0, len(cells), PER_SHEET)
    return [
        write_sheet(store.root / run.contact_sheet(number), cells[start : start + PER_SHEET])
        for number, start in enumerate(events.track("report", starts, len(starts)), 1)
    ]


def _sentence(rows: Sequence[Row]) -> str:
    words = Counter(row["state"] for row in rows)
    flagged = sum(bool(row.get("flags")) for row in rows)
    counts = ", ".join(f"{words[word]} {word}" for word in ("done", "quarantined", "failed", "waiting") if words[word])
    return f"{counts}; {flagged} of those that are done should be looked at first."


def _facts(store: Store, entries: Sequence[SlideEntry], settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings and digest of the batch, and the machines and packages of its slides."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        try:
            record = json.loads((store.results(entry.key) / run.RECORD).read_text("utf-8"))
            packages = {**record["packages"], "platform": record["platform"]}
        except (OSError, ValueError, TypeError, KeyError):
            continue
        for name, value in packages.items():
            found.setdefault(name, set()).add(str(value))
    machines = {name: ", ".join(sorted(values)) for name, values in found.items()}
    return {name: str(value) for name, value in settings.items()} | machines


def diff(first: Path, second: Path, events: Events) -> Mapping[str, Any]:
    """Say what changed between the batches `first` and `second`, and write it into the second.

    Raises
    ------
    InputError
        One of them has no summary, or they have no slide in common.
    """
    from .analysis.results import as_csv, differences, read_table
    from .cohort.store import Store

    tables = []
    for root in (first, second):
        Store(root).settings()
        tables.append(read_table(root / run.SUMMARY))
        if not tables[-1] or "slide_id" not in tables[-1][0]:
            raise InputError(f"{root}: has no {run.SUMMARY} as hmgdm writes it", "run hmgdm batch report first")
    if not {row["slide_id"] for row in tables[0]} & {row["slide_id"] for row in tables[1]}:
        raise InputError(f"{first} and {second}: no slide in common", "give two batches over the same slides")
    each, over_all = differences(*tables)
    path = second / run.DIFFERENCES
    with run.writing(path):
        run.write_whole(path, as_csv(("slide_id", "number", "before", "after", "change"), each))
    for row in over_all:
        events.note(
            f"{row['number']}: {row['mean_before']:.4g} -> {row['mean_after']:.4g} on average of {row['slides']} "
            f"slides, median change {row['median_change']:+.4g}, largest {row['largest_change']:+.4g}"
        )
    before, after = (Store(root).settings() for root in (first, second))
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    words = Counter(f"{row['number']}: {row['before']} -> {row['after']}" for row in each if row["number"] == "state")
    files = sum(row["number"] == "fingerprint" for row in each)
    for text, often in (*sorted(words.items()), *([("another file behind the same id", files)] if files else [])):
        events.note(f"{often} slides, {text}")
    return {"differences": path, "settings that differ": ", ".join(changed) or "none"}
