"""The only door to paquo, QuPath's classes and the Java machine, which start when first needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..schema.errors import HmgdmError, InputError

_GET_QUPATH = "install QuPath 0.5 or later and set PAQUO_QUPATH_DIR to its folder"
_GET_PAQUO = 'run: .venv/bin/pip install -c constraints.txt -e ".[qupath]"'
_FULL = ("No space left on device", "not enough space on the disk", "Disk quota exceeded")  # as Java says it
_JAVA_OPTIONS = "-XX:MaxRAMPercentage=50 -Xrs"  # -Xrs: signals stay Python's, so that a run can be ended


def paquo() -> Any:
    """The module `paquo.projects`, with a Java machine behind it.

    Raises
    ------
    InputError
        paquo or QuPath is not installed.
    """
    os.environ.setdefault("PAQUO_JAVA_OPTS", _JAVA_OPTIONS)
    try:
        import paquo.java as java

        java.System.setOut(java.System.err)  # its log is not our result
        if java.LogManager is not None:
            java.LogManager.setWarn()
        import paquo.projects as projects
    except ImportError as error:
        raise InputError(f"paquo is not installed ({error})", _GET_PAQUO) from error
    except (ValueError, FileNotFoundError, RuntimeError, OSError) as error:
        raise InputError(f"no QuPath found ({error})", _GET_QUPATH) from error
    return projects


def scripts() -> Any:
    """Classes of ``qupath_scripts/lib`` in the Java machine, by name."""
    import jpype

    loader = jpype.JClass("groovy.lang.GroovyClassLoader")(jpype.JClass("java.lang.ClassLoader").getSystemClassLoader())
    loader.addClasspath(str(scripts_folder() / "lib"))
    return lambda name: jpype.JClass(loader.loadClass(f"hmgdm.{name}"))


def scripts_folder() -> Path:
    """Where the scripts lie: in the installed package, or in the repository."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "qupath_scripts", package.parent / "qupath_scripts")
    found = next((place for place in places if (place / "load.groovy").is_file()), None)
    if found is None:
        raise InputError("the scripts for QuPath are missing", "install the package again")
    return found


@contextmanager
def java_errors(where: Path) -> Iterator[None]:
    """Errors of the scripts and of QuPath as ours: one sentence and its fix."""
    import jpype

    try:
        yield
    except jpype.JException as error:
        if str(error.getClass().getName()) == "hmgdm.Trouble":
            raise InputError(str(error.getProblem()), str(error.getFix())) from error
        if any(words in str(error) for words in _FULL):
            raise InputError(
                f"{where}: cannot be written (the disk is full)", "free some space, then do it again"
            ) from error
        raise HmgdmError(
            f"{where}: QuPath failed ({error})", "open the project in QuPath to see whether it is whole"
        ) from error
