"""The run folder: results appear in it whole, the record of the run last.

Files are written under a hidden staging folder and renamed into place by `commit`; a run that fails or is
ended leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from .errors import InputError
from .run import EXPLAIN_RECORD, RECORD, writing

PACKAGES = ("hmgdm-plugin", "torch", "torch-geometric", "numpy", "numba", "tiffslide", "openslide-python", "shapely")


class RunFolder:
    """Results of one run; use as a context manager, then `commit` what was staged.

    Parameters
    ----------
    root : Path
        The results folder; made if missing.
    record : str
        Name of the run record of this verb; its presence marks a finished run.
    overwrite : bool
        Replace the files of an earlier run of the same verb.

    Raises
    ------
    InputError
        The folder holds another run, holds something else, or cannot be written.
    """

    def __init__(self, root: Path, record: str = RECORD, overwrite: bool = False) -> None:
        self.root = Path(root)
        self._record = record
        self._stage = self.root / f".partial-{os.getpid()}"
        self._made_root = False
        self._check(overwrite)

    def __enter__(self) -> RunFolder:
        with writing(self.root):
            self._made_root = not self.root.exists()
            self._stage.mkdir(parents=True)
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self._stage, ignore_errors=True)
        if self._made_root and self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()

    def stage(self, name: str) -> Path:
        """Where to write the file that `commit` will move to `root / name`; its folder exists."""
        path = self._stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self, record: dict[str, Any]) -> dict[str, Path]:
        """Move every staged file into place, the run record last; returns name > final path.

        What only the run that is replaced had written goes: parts and columns of two runs would be imported together.
        """
        with writing(self.root):
            names = sorted(p.relative_to(self._stage).as_posix() for p in self._stage.rglob("*") if p.is_file())
            text = json.dumps({**record, "files": names}, indent=2, default=str)
            self.stage(self._record).write_text(text + "\n", "utf-8")
            others = {name for each in {RECORD, EXPLAIN_RECORD} - {self._record} for name in self._written(each)}
            for name in set(self._written(self._record)) - set(names) - others:
                (self.root / name).unlink(missing_ok=True)
                with suppress(OSError):  # others lie beside it
                    (self.root / name).parent.rmdir()
            for name in [*names, self._record]:
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._stage / name, self.root / name)
        return {name: self.root / name for name in [*names, self._record]}

    def _written(self, record: str) -> list[str]:
        """Files inside this folder that an earlier run says it wrote."""
        within = self.root.resolve()
        try:
            names = json.loads((self.root / record).read_text("utf-8"))["files"]
            return [
                name for name in names if (within / name).resolve().is_relative_to(within) and (within / name).is_file()
            ]
        except (OSError, ValueError, LookupError, TypeError):  # there is none, of an older version, or damaged
            return []

    def _check(self, overwrite: bool) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file", "give a folder as --results-dir")
        if (self.root / self._record).exists() and not overwrite:
            fix = "pass --overwrite or another --results-dir"
            raise InputError(f"{self.root}: holds the results of another run", fix)
        known = any((self.root / name).exists() for name in (RECORD, EXPLAIN_RECORD))
        others = [p for p in self.root.iterdir() if not p.name.startswith(".partial-")] if self.root.is_dir() else []
        if others and not known:
            fix = "give an empty or new --results-dir"
            raise InputError(f"{self.root}: is not empty and not a results folder", fix)


def run_record(verb: str, options: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """What makes a run repeatable: arguments, versions, device, seed, digests."""
    return {
        "verb": verb,
        "options": options,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        **facts,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
