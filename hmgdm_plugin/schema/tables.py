"""Tables as people make them: CSV out of Excel and editors. What would be misread in silence is refused."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

from .errors import InputError


def read_rows(path: Path, fix: str) -> list[dict[str, str]]:
    """Rows of a CSV file, gzipped or not, by column; a cell that is missing is empty.

    Parameters
    ----------
    path : Path
    fix : str
        What to give in its place where it cannot be read.

    Raises
    ------
    InputError
        The file cannot be read, is not CSV in UTF-8, is parted by semicolons, has a column twice, or a row too long.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            _check_names(path, list(reader.fieldnames or ()))
            return [_checked(path, row, reader.line_num) for row in reader]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 ({error.reason})", 'save it as "CSV UTF-8"') from error
    except (OSError, EOFError, csv.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({said})", fix) from error


def _check_names(path: Path, names: list[str]) -> None:
    if len(names) == 1 and ";" in names[0]:
        raise InputError(
            f"{path}: semicolons part its columns", "save it with commas between columns, and decimal points"
        )
    twice = [name for name, often in Counter(filter(None, names)).items() if often > 1]
    if twice:
        raise InputError(f"{path}: has the column {twice[0]!r} twice", "leave one of them")


def _checked(path: Path, row: dict[str, str], line: int) -> dict[str, str]:
    """A row by its named columns; csv puts what is too much under None, and columns without a name mean nothing."""
    if any(filter(None, row.get(None) or ())):  # type: ignore[call-overload]
        raise InputError(f"{path}: line {line} has more cells than columns", "put text that holds a comma into quotes")
    return {name: text for name, text in row.items() if name}
