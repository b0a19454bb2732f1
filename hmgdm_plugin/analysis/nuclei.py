"""Where the nuclei of a slide come from (QuPath's objects or a label image), handed out tile by tile as a map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..graph.nuclei import NucleusMap, burned, labelled
from ..qupath.cells import read_nuclei
from ..schema.errors import InputError
from ..schema.space import Tile
from ..slide.labels import LABEL_FILES, LabelImage
from .placed import Placed

if TYPE_CHECKING:
    from ..schema.events import Events
    from ..slide.reader import Slide
    from ..zoo.card import Card

NONE = "none"
_OBJECT_FILES = (".geojson", ".geojson.gz", ".json", ".zip")
_PARTS = "nuclei-part-*.geojson*"


class Nuclei(Protocol):
    """The nuclei of one slide."""

    def map(self, tile: Tile) -> NucleusMap:
        """Those whose centroid lies in `tile`; may be called from several threads."""

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """What the user should know about the nuclei on these tiles, one sentence each."""


class Outlined:
    """Nuclei given as outlines."""

    def __init__(self, placed: Placed, name: str, remarks: Counter[str]) -> None:
        self._placed, self._name, self._remarks = placed, name, remarks

    def map(self, tile: Tile) -> NucleusMap:
        """See `Nuclei`."""
        return burned(self._placed.within(tile), tile)

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """See `Nuclei`."""
        said = [f"{self._name}: {count} objects {what}" for what, count in self._remarks.items() if count]
        beyond = self._placed.beyond(tiles)
        if beyond:
            said.append(
                f"{self._name}: {beyond} of {len(self._placed)} nuclei lie outside the tiles of tissue; left out"
            )
        return said


class Labelled:
    """Nuclei given as a label image."""

    def __init__(self, image: LabelImage) -> None:
        self._image = image

    def map(self, tile: Tile) -> NucleusMap:
        """See `Nuclei`."""
        return labelled(self._image.of(tile), tile)

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """See `Nuclei`."""
        return []


def chosen(asked: str, card: Card, slides: int, events: Events) -> Path | None:
    """Where nuclei are to be taken from; None for none. The user is told where the model learnt otherwise.

    Raises
    ------
    InputError
        One file is given for several slides.
    """
    learnt = card.graph.entities == "tissue+nuclei"
    if asked in ("", NONE):
        if learnt:
            events.note(f"{card.name} learnt with nuclei; without them its answers are not validated")
        return None
    if not learnt:
        events.note(f"{card.name} learnt without nuclei; with them its answers are not validated")
    if slides > 1 and not Path(asked).is_dir():
        raise InputError(f"--nuclei {asked}: one file for {slides} slides", "give a folder with one file per slide")
    return Path(asked)


def nuclei_of(asked: Path, slide: Slide, events: Events) -> Nuclei:
    """Open the nuclei of `slide`.

    Parameters
    ----------
    asked : Path
        GeoJSON of cells or detections, a label image, or a folder with one such file per slide (named like the
        slide) or with the results of `hmgdm nuclei`.

    Raises
    ------
    InputError
        There is no such file, it cannot be read, or it has no nucleus of this slide.
    """
    files = _files(asked, slide)
    if files[0].name.lower().endswith(LABEL_FILES):
        return Labelled(LabelImage(files[0], slide.frame))
    counted: Counter[str] = Counter()
    with events.timed("nuclei"):
        placed = Placed(block for file in files for block in read_nuclei(file, slide.frame, counted))
    if not len(placed):
        why = (
            f" ({', '.join(f'{count} objects {what}' for what, count in counted.items() if count)})" if counted else ""
        )
        raise InputError(f"{asked}: no nucleus of {slide.name} in it{why}", "export cells or detections of this slide")
    return Outlined(placed, files[0].name, counted)


def _files(asked: Path, slide: Slide) -> list[Path]:
    """The files that hold the nuclei of `slide`: one, or the parts of one result."""
    if not asked.is_dir():
        return [asked]
    named = [asked / f"{slide.name}{ending}" for ending in (*_OBJECT_FILES, *LABEL_FILES)]
    for path in named:
        if path.is_file():
            return [path]
    for folder in (asked / "geojson" / slide.name, asked / slide.name, asked):
        if parts := sorted(folder.glob(_PARTS)):
            return parts
    raise InputError(f"{asked}: no nuclei of {slide.name} there", f"name the file {slide.name}.geojson, or give a file")
