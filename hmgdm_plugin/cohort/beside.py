"""Files beside the slides of a batch, such as regions or nuclei: one for each slide, found by the slide's id.

The folder is listed and ids are looked up in the list, so an id is never used as a path.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..schema.entry import SlideEntry
from ..schema.errors import InputError

GEOJSON = (".geojson", ".geojson.gz", ".json", ".zip")
RESULTS = "geojson/"  # where a results folder keeps the objects of each slide, in a folder of its own


class Beside:
    """The files of one folder.

    Parameters
    ----------
    folder : Path
    what : str
        In the plural, for messages: ``regions``.
    endings : sequence of str
        Of the files; what stands before is the slide's id, with folders in it where the id has them.
    parts : str
        Beginning of the names of files that lie in a folder named like the slide; empty for none.

    Raises
    ------
    InputError
        There is no such folder, or two files for one slide.
    """

    def __init__(self, folder: Path, what: str, endings: Sequence[str], parts: str = "") -> None:
        self.folder, self._what, self._found = folder, what, dict[str, Path]()
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder", f"give a folder with the {what} of each slide")
        for place, below, files in os.walk(folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            here = Path(place)
            own = here.relative_to(folder).as_posix().removeprefix(RESULTS)
            if parts and any(name.startswith(parts) for name in files):
                self._add(own, here)
                continue
            for name in sorted(files):
                ending = next((each for each in endings if name.lower().endswith(each)), "")
                if ending and not name.startswith("."):
                    self._add(Path(here.relative_to(folder), name[: -len(ending)]).as_posix(), here / name)

    def _add(self, slide_id: str, path: Path) -> None:
        if slide_id in self._found:
            first = self._found[slide_id].name
            raise InputError(f"{self.folder}: {first} and {path.name} are for one slide", "leave one of them")
        self._found[slide_id] = path

    def of(self, entry: SlideEntry) -> Path:
        """The file, or the folder of parts, for a slide.

        Raises
        ------
        InputError
            There is none.
        """
        if entry.slide_id not in self._found:
            fix = f"name the file {entry.slide_id}{GEOJSON[0]}, or leave the slide out"
            raise InputError(f"{entry.slide_id}: no {self._what} in {self.folder}", fix)
        return self._found[entry.slide_id]

    def without_slide(self, entries: Sequence[SlideEntry]) -> list[str]:
        """Names for which there is no slide, sorted."""
        return sorted(self._found.keys() - {entry.slide_id for entry in entries})
