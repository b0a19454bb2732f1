"""Slides of a folder or of a table with columns ``slide_id,path,mpp``."""

from __future__ import annotations

import csv
import difflib
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..schema.entry import SlideEntry
from ..schema.errors import InputError
from ..schema.run import BATCH, RECORD

SUFFIXES = {".svs", ".tif", ".tiff", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif", ".svslide", ".dcm"}
SUFFIXES |= {".png", ".jpg", ".jpeg", ".jp2", ".bmp"}
COLUMNS = ("slide_id", "path", "mpp")
ALL_OF_THEM = "give a CSV file with the columns slide_id,path,mpp (mpp may stay empty)"


def slides_of_folder(folder: Path) -> Iterator[SlideEntry]:
    """Slides and images below `folder`, by name; hidden files, links to folders and results of runs are passed over.

    The id is the name without its ending, unless two differ in nothing else.

    Raises
    ------
    InputError
        The folder cannot be read.
    """
    slides = list(_images(folder))
    often = Counter(path.with_suffix("") for path in slides)
    for path in slides:
        own = path.with_suffix("") if often[path.with_suffix("")] == 1 else path
        yield SlideEntry(own.relative_to(folder).as_posix(), path)


def _images(folder: Path) -> Iterator[Path]:
    for place, below, files in os.walk(folder, onerror=_unreadable):
        here = Path(place)
        if here != folder and {BATCH, RECORD} & set(files):
            below.clear()
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(files):
            path = here / name
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                yield path


def slides_of_table(table: Path) -> Iterator[SlideEntry]:
    """Slides of a CSV file; paths count from its folder.

    A line that cannot be used is an entry with a `problem`: one bad line does not stop the others.

    Raises
    ------
    InputError
        The file cannot be read, is not CSV, or lacks a column.
    """
    try:
        text = table.read_text("utf-8-sig")
        rows = csv.DictReader(text.splitlines(), strict=True)
        missing = [name for name in COLUMNS[:2] if name not in (rows.fieldnames or ())]
        twice = [name for name in COLUMNS if (rows.fieldnames or ()).count(name) > 1]
        if missing:
            raise InputError(f"{table}: no column {missing[0]!r}", _nearest(missing[0], rows.fieldnames or ()))
        if twice:
            raise InputError(f"{table}: has the column {twice[0]!r} twice", "leave one of them")
        listed = [_entry(row, table) for row in rows]
    except OSError as error:
        raise InputError(f"{table}: cannot be read ({error.strerror})", ALL_OF_THEM) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not CSV in UTF-8 ({error})", ALL_OF_THEM) from error
    for name, often in Counter(entry.slide_id for entry in listed).items():
        if often > 1:
            raise InputError(f"{table}: slide_id {name!r} stands there twice", "give every slide an id of its own")
    yield from listed


def _entry(row: Mapping[str, str | None], table: Path) -> SlideEntry:
    slide_id, path = (row.get("slide_id") or "").strip(), (row.get("path") or "").strip()
    text = (row.get("mpp") or "").strip()
    if not path or "\0" in path:
        return SlideEntry(slide_id or "unnamed", Path(), problem="its line has no path", fix=f"correct {table.name}")
    where = table.parent / path
    if not slide_id:
        return SlideEntry(where.stem, where, problem="its line has no slide_id", fix=f"correct {table.name}")
    try:
        mpp = float(text) if text else None
    except ValueError:
        mpp = math.nan
    if mpp is not None and not 0.05 <= mpp <= 20.0:
        return SlideEntry(
            slide_id, where, problem=f"mpp {text!r} is not 0.05 to 20 microns", fix=f"correct {table.name}"
        )
    return SlideEntry(slide_id, where, mpp)


def _nearest(name: str, there: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, there, n=1)
    return f"rename {found[0]!r}, or {ALL_OF_THEM}" if found else ALL_OF_THEM


def _unreadable(error: OSError) -> None:
    raise InputError(
        f"{error.filename}: cannot be read ({error.strerror})", "give a folder that can be read"
    ) from error
