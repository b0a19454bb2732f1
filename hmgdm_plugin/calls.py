"""From a command to its verb: options gathered and checked, errors said in one sentence with their exit code."""

from __future__ import annotations

import errno
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import typer
from typer import Context

from .schema.errors import Cancelled, HmgdmError, InputError
from .schema.events import Events, ended_by_signal
from .schema.run import writing

SETUP: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT)
NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}


def verb(context: Context, name: str, kind: str, needs: str = "", module: str = "") -> None:
    """Run the verb `name` (in `module` if not its own) with the options of the command line and ``--request``."""
    asked = context.command_path.partition(" ")[2] or name  # as it was typed: batch run
    given = {key: value for key, value in context.params.items() if value not in (None, (), [])}
    events = Events(as_json=bool(given.pop("events", False)))
    request = given.pop("request", None)

    def work() -> Mapping[str, Any]:
        from .schema import options as kinds
        from .schema.parsing import parse

        raw = {**(_read_request(request) if request else {}), **given}
        if needs and not raw.get(needs):
            raise InputError(f"{asked}: no {needs} given", f"see hmgdm {asked} --help")
        options = parse(raw, getattr(kinds, kind), str(request or asked))
        return getattr(importlib.import_module(f".{module or name}", __package__), name)(options, events)

    guarded(events, Path(given.get("results_dir", "results folder")), work)


def _read_request(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "give the path of a JSON file") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error})", "write the options as one JSON object") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: not a JSON object", 'write the options as {"slides": ["case7.svs"]}')
    return raw


def guarded(events: Events, where: Path, work: Callable[[], Mapping[str, Any]]) -> None:
    """Do `work`, then say its result; or say its error and exit with its code."""
    try:
        with ended_by_signal(lambda: events.error(Cancelled())):
            paths = work()
    except HmgdmError as error:
        _fail(events, error)
    except OSError as error:
        if error.errno in NAMES:
            _fail(events, InputError(f"{str(error.filename)[:80]}: {error.strerror}".lower(), "give another path"))
        if error.errno not in DISK:
            _unforeseen(events, error)
            raise
        _fail(events, _disk_sentence(where, error))
    except Exception as error:
        _unforeseen(events, error)
        raise
    events.result(paths)


def _fail(events: Events, error: HmgdmError) -> NoReturn:
    events.error(error)
    raise typer.Exit(error.exit_code)


def _unforeseen(events: Events, error: Exception) -> None:
    """End the JSON lines of a run that fails with a traceback."""
    if events.as_json and not isinstance(error, BrokenPipeError):
        what = f"unforeseen {type(error).__name__}: {error}"
        events.error(HmgdmError(what, "report it together with the traceback on standard error"))


def _disk_sentence(where: Path, error: OSError) -> HmgdmError:
    try:
        with writing(where):
            raise error
    except InputError as sentence:
        return sentence
