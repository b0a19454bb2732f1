"""Settings from TOML or a table; an unknown key is an error that names the nearest valid one."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from .errors import InputError
from .settings import Settings

S = TypeVar("S", bound=Settings)


def read_toml(path: Path, kind: type[S]) -> S:
    """Read `path` as settings of `kind`.

    Raises
    ------
    InputError
        The file is missing or not TOML, a key is unknown, or a value does not fit.
    """
    try:
        raw = tomllib.loads(Path(path).read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fix = "correct the file; docs/pretrain.md has a whole example"
        raise InputError(f"{path}: not TOML ({error})", fix) from error
    return parse(raw, kind, str(path))


def parse(raw: dict[str, Any], kind: type[S], where: str) -> S:
    """Check `raw` against `kind`; `where` names its origin in the error.

    Raises
    ------
    InputError
        A key is unknown (the nearest valid one is named), missing, or its value does not fit.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(f"{where}: unknown key {place!r}", _nearest(kind, first["loc"])) from error
        if first["type"] == "missing":
            raise InputError(f"{where}: {place!r} is missing", f"give {place}") from error
        said = first["msg"].removeprefix("Value error, ")
        said = said[:1].lower() + said[1:]  # names in it stay as they are
        where = f"{where}: {place}" if place else where
        raise InputError(f"{where}: {said}", f"correct {place or 'it'}") from error


def _nearest(kind: type[Settings], loc: tuple[int | str, ...]) -> str:
    """Name the valid key that `loc` was most likely meant to be."""
    fields = _fields_at(kind, loc[:-1])
    close = difflib.get_close_matches(str(loc[-1]), fields, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"valid keys are {', '.join(sorted(fields))}"


def _fields_at(kind: type[Settings], loc: tuple[int | str, ...]) -> list[str]:
    """Valid keys of the table at `loc`; list positions are stepped over."""
    for part in loc:
        if isinstance(part, int):
            continue
        kinds = _settings_in(kind.model_fields[part].annotation)
        if not kinds:
            return []
        kind = kinds[0]
    return list(kind.model_fields)


def _settings_in(annotation: Any) -> list[type[Settings]]:
    """Settings classes inside an annotation such as ``tuple[SourceSettings, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    return [kind for part in getattr(annotation, "__args__", ()) for kind in _settings_in(part)]
