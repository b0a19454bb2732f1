"""An image of a project while it is saved: a copy of what was there first, and all as it was where saving fails.

QuPath writes the objects, then their summary, the project and its classes, some of them in place: a disk that fills up
in the middle would leave new objects with an old summary, or a class list cut short.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..schema.errors import InputError
from ..schema.run import writing

DATA = "data.qpdata"
_SMALL = ("summary.json", "server.json")  # beside the data of an image
_CLASSES = Path("classifiers", "classes.json")


def copy_whole(source: Path, copy: Path) -> None:
    """Copy a file; after a failure there is no half of it.

    Raises
    ------
    InputError
        The disk is full or cannot be written.
    """
    partial = copy.with_name(f".{copy.name}.partial")
    with writing(copy):
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, partial)
            os.replace(partial, copy)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Fill a new or empty `folder`; where the block fails, it is as it was.

    Raises
    ------
    InputError
        The disk is full or cannot be written.
    """
    there = folder.is_dir()
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if there:
            folder.mkdir(exist_ok=True)
        if not isinstance(error, OSError):
            raise
        reason = str(error.__context__ or error)  # what Java said, where paquo says only that it failed
        fix = "free some space, or give another folder, then do it again"
        raise InputError(f"{folder}: cannot be written ({reason})", fix) from error


@contextmanager
def restoring(project: Path, image: Path) -> Iterator[None]:
    """Put the files of a project (its ``project.qpproj``) and of an image (its folder) back where the block fails."""
    data, held = image / DATA, image / f".{DATA}.before"
    small = [project, project.parent / _CLASSES, *(image / name for name in _SMALL)]
    before = {path: path.read_bytes() if path.exists() else None for path in small}
    known = set(image.iterdir()) if image.is_dir() else set()
    there = data.exists()
    if there:
        _hold(data, held)
    try:
        yield
    except BaseException:
        data.unlink(missing_ok=True)  # first: what was written makes room for what is put back
        if there:
            os.replace(held, data)
        for path, content in before.items():
            _put_back(path, content)
        for left in {*image.glob(f"{DATA}.*"), *project.parent.glob("*.qpproj.tmp")} - known:
            left.unlink(missing_ok=True)
        raise
    finally:
        held.unlink(missing_ok=True)


def _hold(data: Path, held: Path) -> None:
    """A second name for the file, which needs no room; a copy where the disk knows no second names."""
    held.unlink(missing_ok=True)
    try:
        os.link(data, held)
    except OSError:
        copy_whole(data, held)


def _put_back(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
        return
    with suppress(OSError):
        if path.read_bytes() == content:
            return
    path.write_bytes(content)
