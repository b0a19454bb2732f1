"""Outcome tables as published: TCGA-CDR (Liu et al. 2018), PORPOISE (Chen et al. 2022), or any with named columns.

CSV, gzipped CSV or Excel; one row per patient or per slide. Every read ends as time, event and patient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..schema.errors import InputError
from ..schema.studies import OutcomeSettings
from ..schema.tables import read_rows

MISSING = {"", "#n/a", "n/a", "na", "nan", "none", "[not available]", "[not applicable]", "[unknown]"}
PATIENTS = ("bcr_patient_barcode", "case_id", "patient", "patient_id")
SHEET = "TCGA-CDR"
Row = Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """Names of the columns, whether 1 means censored, and the unit of the time."""

    patient: str
    time: str
    event: str
    censored: bool = False
    unit: str = ""


@dataclass
class Outcomes:
    """Time and event of each patient, the patient of each slide that the table names, and who lacks an outcome."""

    unit: str
    of_patient: dict[str, tuple[float, bool]] = field(default_factory=dict)
    of_slide: dict[str, str] = field(default_factory=dict)  # by file name without its suffix
    without: list[str] = field(default_factory=list)


def read_outcomes(settings: OutcomeSettings, path: Path) -> Outcomes:
    """Read the table at `path`.

    Raises
    ------
    InputError
        The file cannot be read, a column is missing, a value makes no sense, or two rows of a patient disagree.
    """
    rows = [row for row in _rows(path) if all(row.get(key) == value for key, value in settings.where.items())]
    if not rows:
        raise InputError(f"{path}: no row {_chosen(settings)}".rstrip(), "correct outcome.path or outcome.where")
    layout = _layout(settings, rows[0], path)
    found = Outcomes(layout.unit)
    for number, row in enumerate(rows, 2):
        _add(found, row, layout, f"{path}: row {number}")
    return found


def stem(name: str) -> str:
    """Name of a slide without folder and without the suffix of an image or feature file."""
    last = PurePosixPath(name.replace("\\", "/")).name
    suffix = PurePosixPath(last).suffix.lower()
    return last[: -len(suffix)] if suffix in {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".png", ".h5"} else last


def _chosen(settings: OutcomeSettings) -> str:
    return "with " + ", ".join(f"{key} = {value}" for key, value in settings.where.items()) if settings.where else ""


def _layout(settings: OutcomeSettings, row: Row, path: Path) -> Layout:
    """Which columns hold what: as named, else as TCGA-CDR or PORPOISE name them."""
    patient = settings.patient or next((name for name in PATIENTS if name in row), "")
    if settings.time or settings.event:
        layout = Layout(patient, settings.time, settings.event, unit=settings.unit)
    elif "survival_months" in row:
        layout = Layout(patient, "survival_months", "censorship", True, settings.unit or "months")
    else:
        end = settings.endpoint
        layout = Layout(patient, f"{end}.time", end, unit=settings.unit or "days")
    for what, name in (("patient", layout.patient), ("time", layout.time), ("event", layout.event)):
        if not name or name not in row:
            there = ", ".join(list(row)[:12])
            raise InputError(
                f"{path}: no column {name or 'for the ' + what} (there are {there})",
                f"name it as outcome.{what}, or correct outcome.endpoint",
            )
    return layout


def _add(found: Outcomes, row: Row, layout: Layout, where: str) -> None:
    patient = row[layout.patient].strip()
    if not patient:
        raise InputError(f"{where}: no patient in column {layout.patient!r}", "give every row its patient")
    for column in ("slide_id", "slide", "file"):
        if row.get(column):
            found.of_slide[stem(row[column].strip())] = patient
    time, event = _number(row[layout.time], where), _number(row[layout.event], where)
    if time is None or event is None:
        found.without += [] if patient in found.without else [patient]
        return
    if event not in (0.0, 1.0) or time < 0:
        raise InputError(f"{where}: {layout.event} {event:g} at {layout.time} {time:g}", "give 0 or 1, and a time >= 0")
    outcome = (time, bool(event) != layout.censored)
    if found.of_patient.setdefault(patient, outcome) != outcome:
        raise InputError(f"{where}: another outcome of {patient} than above", "give one outcome per patient")


def _number(text: str, where: str) -> float | None:
    """A number; None where the table says that there is none."""
    plain = text.strip().lower()
    plain = {"true": "1", "false": "0"}.get(plain, plain)
    if plain in MISSING:
        return None
    try:
        value = float(plain)
    except ValueError as error:
        raise InputError(f"{where}: {text!r} is not a number", "correct it, or leave the cell empty") from error
    if not math.isfinite(value):
        raise InputError(f"{where}: {text!r} is not finite", "correct it, or leave the cell empty")
    return value


def _rows(path: Path) -> list[dict[str, str]]:
    fix = "give a .csv, .csv.gz or .xlsx"
    if path.suffix.lower() not in {".xlsx", ".xlsm"}:
        return read_rows(path, fix)
    try:
        return list(_excel(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})", fix) from error


def _excel(path: Path) -> Iterator[dict[str, str]]:
    """Rows of the sheet called TCGA-CDR, else of the first."""
    import zipfile

    from openpyxl import load_workbook

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path}: is not an Excel file ({error})", "save it again as .xlsx, or as .csv") from error
    try:
        lines = (book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]).iter_rows(values_only=True)
        names = [str(name or "").strip() for name in next(lines, ())]
        for line in lines:
            row = {name: "" if cell is None else str(cell) for name, cell in zip(names, line, strict=False) if name}
            if any(row.values()):
                yield row
    finally:
        book.close()
