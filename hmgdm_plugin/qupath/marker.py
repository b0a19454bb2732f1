"""The sign that a QuPath window leaves in a project while it holds it open (`qupath_scripts/lib/hmgdm/Open.groovy`)."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

from ..schema.errors import InputError

MARKER = ".hmgdm-open.json"


def refuse_open(folder: Path) -> None:
    """Refuse a project that a QuPath window with our menu holds open: two writers lose each other's work.

    Raises
    ------
    InputError
        It is open; QuPath itself leaves no such sign, so a window without our menu is not noticed.
    """
    try:
        found = json.loads((folder / MARKER).read_text("utf-8"))
        host, pid = str(found["host"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if host.split(".")[0].lower() != platform.node().split(".")[0].lower() or _runs(pid):
        raise InputError(f"{folder}: is open in a QuPath window on {host}", f"close it there (or delete {MARKER})")


def _runs(pid: int) -> bool:
    """Whether a process of this number lives; on Windows, where asking could end it, yes."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
