"""Whether a QuPath holds a project open: two writers lose each other's work.

A window with our menu leaves a sign (`qupath_scripts/lib/hmgdm/Open.groovy`). QuPath itself leaves none: it locks
nothing, closes the project's files, watches no folder and names only the image in its title. On Linux, a QuPath of the
same user is also known by its command line and, if it has a window, by the slides that it holds open, which may be of
another project; its own sign there, where it has our menu, says which. Elsewhere, and for a window that shows no image,
only our sign tells.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Iterator
from pathlib import Path

from ..schema.errors import InputError

MARKER = ".hmgdm-open.json"
SIGNS = "hmgdm/qupath"  # in the user's cache, a file for each QuPath that has our menu
_PROCESSES = Path("/proc")
_WITHOUT_WINDOW = ("script", "convert-ome")  # what QuPath does with no other project than its command line names
_TELL = "close it there; if it has another project open, run install_menu.groovy in it once, and it says so by itself"


def refuse_open(folder: Path, slides: Collection[Path] = ()) -> None:
    """Refuse a project that is open in QuPath, as far as that can be seen.

    Parameters
    ----------
    folder : Path
        Of the project.
    slides : collection of Path
        Its slides; a QuPath that has one of them open may have the project open.

    Raises
    ------
    InputError
        It is open.
    """
    host = _marked(folder)
    if host is not None:
        raise InputError(f"{folder}: is open in a QuPath window on {host}", f"close it there (or delete {MARKER})")
    for process in _qupaths():
        if _elsewhere(process, folder):
            continue
        where = f"{folder}: QuPath (process {process.name}) has"
        project = _named(process, folder)
        if project is not None:
            raise InputError(f"{where} {project} open", "close it there")
        slide = _held(process, slides) if _has_window(process) else None
        if slide is not None:
            raise InputError(f"{where} {slide} open, perhaps from this project", _TELL)


def _marked(folder: Path) -> str | None:
    """The computer whose window left our sign; None where there is none, or the window is gone."""
    try:
        found = json.loads((folder / MARKER).read_text("utf-8"))
        host, pid = str(found["host"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    away = host.split(".")[0].lower() != platform.node().split(".")[0].lower()
    return host if away or _runs(pid) else None


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


def _qupaths() -> Iterator[Path]:
    """Running QuPaths that may be looked at, by their folder in /proc; none where there is no such folder."""
    for process in _PROCESSES.glob("[0-9]*"):
        words = _words(process)
        if words and (Path(words[0]).name.startswith("QuPath") or "qupath.QuPath" in words):
            yield process


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


def _has_window(process: Path) -> bool:
    words = _words(process)
    program = words.index("qupath.QuPath") if "qupath.QuPath" in words else 0
    return not set(words[program + 1 : program + 2]) & set(_WITHOUT_WINDOW)


def _named(process: Path, folder: Path) -> str | None:
    """The project, where the command line names it."""
    for word in _words(process):
        path = Path(word.removeprefix("--project=").removeprefix("-p="))
        if path.suffix == ".qpproj" and _same(path if path.is_absolute() else _cwd(process) / path, folder / path.name):
            return path.name
    return None


def _elsewhere(process: Path, folder: Path) -> bool:
    """Whether the process itself says that it has another project open, or none."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    sign = cache / SIGNS / f"{process.name}.json"
    try:
        born = (process / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[19]  # a number used anew?
        said = json.loads(sign.read_text("utf-8"))
        believed = sign.stat().st_uid == os.getuid() and said["born"] == born
        return believed and not (said["project"] and _same(Path(said["project"]), folder))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _cwd(process: Path) -> Path:
    try:
        return Path(os.readlink(process / "cwd"))
    except OSError:
        return Path()


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _held(process: Path, slides: Collection[Path]) -> str | None:
    """A slide of `slides` that the process has open."""
    wanted = {os.path.realpath(slide) for slide in slides}
    try:
        handles = list((process / "fd").iterdir())
    except OSError:
        return None
    for handle in handles:
        try:
            target = os.readlink(handle)
        except OSError:
            continue
        if target in wanted:
            return Path(target).name
    return None
