"""QuPath projects without a window.

Results reach a project through the very classes that QuPath's menu uses (`qupath_scripts/lib`), loaded into the same
Java machine: what an import replaces, and what it never touches, is decided in one place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ..schema.errors import InputError
from ..schema.run import writing
from .entry import Entry, facts_of, slide_of
from .java import java_errors, paquo, scripts
from .marker import refuse_open
from .saving import DATA, copy_whole, making, restoring

PROJECT, RUNS = "project.qpproj", "hmgdm-runs"
KINDS = ("annotations", "detections", "cells", "tiles", "all")


def create(folder: Path, slides: Sequence[Path]) -> tuple[Path, dict[str, str]]:
    """Make a project of `slides` in an empty or new folder.

    Returns
    -------
    Path, dict of str to str
        The project file, and why QuPath does not take a slide, by name.

    Raises
    ------
    InputError
        The folder is not empty, QuPath is not installed, or no slide can be opened.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty", "give a new folder for the project")
    java = paquo()
    refused: dict[str, str] = {}
    with making(folder), java.QuPathProject(folder, mode="x") as project:
        for slide in slides:
            try:
                project.add_image(slide.resolve(), image_type=java.QuPathImageType.BRIGHTFIELD_H_E)
            except (OSError, RuntimeError, ValueError) as error:
                refused[slide.name] = str(error).splitlines()[0]
        if not project.images:
            raise InputError(f"{folder}: QuPath opens none of {len(slides)} slides", "check them with QuPath")
    return folder / PROJECT, refused


@dataclass
class Project:
    """An open project; a context manager.

    Parameters
    ----------
    path : Path
        The ``project.qpproj`` or its folder.
    writable : bool
        Whether it will be changed; then it must not be open in a QuPath window.

    Raises
    ------
    InputError
        No such project, QuPath is not installed, or a window holds the project open.
    """

    path: Path
    writable: bool = False
    _project: Any = field(default=None, repr=False)
    _backup: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.path = self.path / PROJECT if self.path.is_dir() else self.path
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such project", f"give a {PROJECT} or its folder")

    def __enter__(self) -> Project:
        if self.writable:
            refuse_open(self.path.parent)
        try:
            self._project = paquo().QuPathProject(self.path, mode="r+" if self.writable else "r")
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{self.path}: not a QuPath project ({error})", "open and save it in QuPath") from error
        if self.writable:
            self._refuse_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._project = None

    def _refuse_open(self) -> None:
        """Refuse to go on where a QuPath has the project, or one of its slides, open."""
        refuse_open(self.path.parent, [path for image in self._project.images if (path := slide_of(image)) is not None])

    def entries(self) -> Iterator[Entry]:
        """All images, with what is on them; images themselves are not opened."""
        headless = scripts()("Headless")
        for image in self._project.images:
            with java_errors(self.path):
                counts = json.loads(str(headless.counts(image.java_object.readHierarchy())))
            recipes = tuple(counts.pop("recipes"))
            yield Entry(image.entry_id, image.image_name, *facts_of(image), **counts, recipes=recipes)

    def export(self, entry: str, path: Path, kind: str = "annotations") -> int:
        """Write objects of an image as GeoJSON, in the pixels that QuPath shows.

        Parameters
        ----------
        entry : str
            Id or name of the image.
        path : Path
            A ``.geojson`` or ``.geojson.gz``.
        kind : str
            One of `KINDS`; detections include cells and tiles.

        Returns
        -------
        int
            How many there were.

        Raises
        ------
        InputError
            No such image or kind, or the file cannot be written.
        """
        if kind not in KINDS:
            raise InputError(f"--kind {kind}: unknown", f"choose from {', '.join(KINDS)}")
        java = self._image(entry).java_object
        with writing(path), java_errors(path):
            return int(scripts()("Headless").export(java.readHierarchy(), str(path.absolute()), kind))

    def import_results(self, entry: str, folder: Path) -> Mapping[str, Any]:
        """Put results onto an image, in place of those of the same recipe there; everything else stays as it is.

        Returns
        -------
        mapping
            ``added``, ``removed`` and ``run``, whose id `undo` takes.

        Raises
        ------
        InputError
            The results are of another slide, or somebody else saved the image meanwhile.
        """
        with self._changing(entry) as data:
            return json.loads(str(scripts()("Headless").importFolder(data, str(folder.absolute()))))

    def has(self, entry: str, folder: Path) -> bool:
        """Whether the results of one slide are on an image: the same objects with the same numbers.

        Raises
        ------
        InputError
            No such image, or the results cannot be read.
        """
        java = self._image(entry).java_object
        with java_errors(self.path):
            return bool(scripts()("Headless").has(java.readHierarchy(), str(folder.absolute())))

    def undo(self, entry: str, run: str) -> int:
        """Remove exactly the objects of one run; returns how many there were."""
        with self._changing(entry) as data:
            return int(scripts()("Scripted").undo(data, run))

    @contextmanager
    def _changing(self, entry: str) -> Iterator[Any]:
        """Image data that is saved at the end, after a copy of what was there; nothing is saved after an error."""
        image = self._image(entry)
        saved = image.entry_path / DATA
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        with java_errors(self.path):
            data = image.java_object.readImageData()
            yield data
            self._refuse_open()
            if (saved.stat().st_mtime_ns if saved.exists() else 0) != before:
                raise InputError(f"{image.image_name}: was saved by somebody else meanwhile", "run it again")
            self._back_up(saved)
            with writing(self.path.parent), restoring(self.path, image.entry_path):
                image.java_object.saveImageData(data)
                self._project.java_object.syncChanges()

    def _back_up(self, saved: Path) -> None:
        """Copy the project file, once, and an image's data, before they are first written."""
        if self._backup is None:
            self._backup = self.path.parent / RUNS / "backups" / time.strftime("%Y%m%d-%H%M%S")
            copy_whole(self.path, self._backup / self.path.name)
        copy = self._backup / f"{saved.parent.name}-{saved.name}"
        if saved.exists() and not copy.exists():
            copy_whole(saved, copy)

    def _image(self, entry: str) -> Any:
        found = [image for image in self._project.images if entry in (image.entry_id, image.image_name)]
        if len(found) == 1:
            return found[0]
        names = ", ".join(f"{image.entry_id} {image.image_name}" for image in self._project.images)
        problem = "no such image" if not found else "several images have this name; give its number"
        raise InputError(f"{self.path}: {entry}: {problem}", f"choose from {names}")
