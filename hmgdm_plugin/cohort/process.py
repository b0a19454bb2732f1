"""Who a process is, in words that survive it, and whether it still lives: without any clock."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path


@cache
def host() -> str:
    """This machine since it was started, and where its process numbers count: containers have their own."""
    boot = _first_line(Path("/proc/sys/kernel/random/boot_id"))
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return " ".join(filter(None, (platform.node(), boot, numbers)))


def started(pid: int) -> str:
    """When process `pid` began, in ticks since the machine did; empty where it is gone or nobody can tell.

    So a number that was given to another process meanwhile is not taken for the old one.
    """
    fields = _first_line(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def lives(where: str, pid: int, start: str) -> bool | None:
    """Whether the process still runs; None where it cannot be told from here: another machine, or not POSIX."""
    if where != host() or os.name != "posix":
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not start or started(pid) == start


def _first_line(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
