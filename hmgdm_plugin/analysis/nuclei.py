"""Where the nuclei of a slide come from (QuPath's objects, a label image, StarDist), handed out tile by tile."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import shapely

from ..graph.nuclei import LEAST_PX, NucleusMap, burned, labelled
from ..qupath.cells import read_nuclei
from ..schema.errors import InputError
from ..schema.space import Tile
from ..slide.labels import LABEL_FILES, LabelImage
from ..zoo.card import CARD
from .detector import STARDIST as DEFAULT
from .detector import detector, searched
from .placed import Placed

if TYPE_CHECKING:
    from ..schema.events import Events
    from ..slide.reader import Slide
    from ..zoo.card import Card

NONE, STARDIST = "none", "stardist"
_OBJECT_FILES = (".geojson", ".geojson.gz", ".json", ".zip")
_PARTS = "nuclei-part-*.geojson*"


class Nuclei(Protocol):
    """The nuclei of one slide."""

    def map(self, tile: Tile) -> NucleusMap:
        """Those whose centroid lies in `tile`; may be called from several threads."""

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """What the user should know about the nuclei on these tiles, one sentence each."""

    def number(self) -> int | None:
        """How many there are; None where that takes reading them."""

    def digest(self) -> str:
        """SHA-256, the same only for the same nuclei."""

    def left_out(self) -> list[str]:
        """What became of the nuclei of all tiles that were asked for, one sentence each."""


class Outlined:
    """Nuclei given as outlines."""

    def __init__(self, placed: Placed, name: str, remarks: Counter[str] | None = None) -> None:
        self._placed, self._name = placed, name
        self._remarks, self._given = remarks or Counter(), remarks is not None
        self._hidden: deque[int] = deque()  # of each tile; one that many threads may add to

    def map(self, tile: Tile) -> NucleusMap:
        """See `Nuclei`."""
        own = self._placed.within(tile)
        seen = burned(own, tile)
        self._hidden.append(len(own) - len(seen))
        return seen

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """See `Nuclei`."""
        said = [f"{self._name}: {count} objects {what}" for what, count in self._remarks.items() if count]
        beyond = self._placed.beyond(tiles)
        if beyond and self._given:
            said.append(
                f"{self._name}: {beyond} of {len(self._placed)} nuclei lie outside the tiles of tissue; left out"
            )
        return said

    def number(self) -> int | None:
        """See `Nuclei`."""
        return len(self._placed)

    def digest(self) -> str:
        """See `Nuclei`."""
        return self._placed.digest()

    def left_out(self) -> list[str]:
        """See `Nuclei`."""
        count = sum(self._hidden)
        what = f"nuclei lay under others, or had fewer than {LEAST_PX} pixels in their tile; left out"
        return [f"{self._name}: {count} {what}"] if count and self._given else []


class Labelled:
    """Nuclei given as a label image."""

    def __init__(self, image: LabelImage, name: str) -> None:
        self._image, self._name = image, name
        self._seen: deque[int] = deque()  # of each tile; one that many threads may add to

    def map(self, tile: Tile) -> NucleusMap:
        """See `Nuclei`."""
        seen = labelled(self._image.of(tile), tile)
        self._seen.append(len(seen))
        return seen

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        """See `Nuclei`."""
        return []

    def number(self) -> int | None:
        """See `Nuclei`."""
        return None

    def digest(self) -> str:
        """See `Nuclei`."""
        return self._image.digest()

    def left_out(self) -> list[str]:
        """See `Nuclei`."""
        said = []
        if large := sum(self._image.large):
            said.append(f"{self._name}: {large} labels are larger than any nucleus; left out")
        if torn := sum(self._image.torn):
            what = (
                "labels lie in several pieces; the largest was kept. If it is a mask of nuclei, number its pieces first"
            )
            said.append(f"{self._name}: {torn} {what}")
        if self._image.negative:
            said.append(f"{self._name}: labels below 0 were taken for none. If they are nuclei, number them from 1 on")
        if self._seen and not any(self._seen):
            what = "no nucleus of it lies in the tiles of tissue; if there should be, check that it is of this slide"
            said.append(f"{self._name}: {what}")
        return said


def chosen(asked: str, card: Card, slides: int, events: Events) -> str:
    """Where nuclei are to be taken from, `NONE` for none. The user is told where the model learnt otherwise.

    Raises
    ------
    InputError
        One file is given for several slides.
    """
    learnt = card.graph.entities == "tissue+nuclei"
    asked = asked or (STARDIST if learnt else NONE)
    if learnt and asked == NONE:
        events.note(f"{card.name} learnt with nuclei; without them its answers are not validated")
    if not learnt and asked != NONE:
        events.note(f"{card.name} learnt without nuclei; with them its answers are not validated")
    if slides > 1 and Path(asked).is_file():
        raise InputError(f"--nuclei {asked}: one file for {slides} slides", "give a folder with one file per slide")
    return asked


def found_by_detector(asked: str) -> bool:
    """Whether nuclei are to be looked for on the slide: by the detector that comes with the package, or in a folder."""
    return asked == STARDIST or (Path(asked) / CARD).is_file()


def nuclei_of(
    asked: str, slide: Slide, tiles: Sequence[Tile], events: Events, workers: int = 0, kept: Path | None = None
) -> Nuclei:
    """Open, or find, the nuclei of `slide`.

    Parameters
    ----------
    asked : str
        ``stardist``, or the folder of a nucleus detector; GeoJSON of cells or detections; a label image; or a folder
        with one such file per slide (named like the slide) or with the results of `hmgdm nuclei`.
    tiles : sequence of Tile
        Where a detector looks.
    kept : Path, optional
        Folder where what it finds is kept for a later run that goes on where this one stopped.

    Raises
    ------
    InputError
        There is no such file or detector, it cannot be read, or it has no nucleus of this slide.
    """
    if found_by_detector(asked):
        return _detected(asked, slide, tiles, events, workers, kept)
    files = _files(Path(asked), slide)
    if files[0].name.lower().endswith(LABEL_FILES):
        return Labelled(LabelImage(files[0], slide.frame), files[0].name)
    counted: Counter[str] = Counter()
    with events.timed("nuclei"):
        placed = Placed(block for file in files for block in read_nuclei(file, slide.frame, counted))
    if not len(placed):
        why = (
            f" ({', '.join(f'{count} objects {what}' for what, count in counted.items() if count)})" if counted else ""
        )
        raise InputError(f"{asked}: no nucleus of {slide.name} in it{why}", "export cells or detections of this slide")
    return Outlined(placed, files[0].name, counted)


def as_learnt(
    card: Card, slide: Slide, tiles: Sequence[Tile], events: Events, detector: str = STARDIST
) -> Nuclei | None:
    """Nuclei that `detector` finds in `tiles`, for a model that learnt with nuclei; None for any other."""
    return nuclei_of(detector, slide, tiles, events) if card.graph.entities == "tissue+nuclei" else None


def _detected(
    asked: str, slide: Slide, tiles: Sequence[Tile], events: Events, workers: int, kept: Path | None
) -> Nuclei:
    """What a detector finds in `tiles`."""
    found = detector(DEFAULT if asked == STARDIST else asked, "auto", "auto", events)
    corners = np.array([(tile.x_px, tile.y_px, tile.side_px) for tile in tiles])
    squares = shapely.box(*corners[:, :2].T, *(corners[:, :2] + corners[:, 2:]).T)
    search, placed = searched(slide, found, list(squares), events, everywhere=True), Placed()
    for block in events.track("nuclei", search.found(events, workers, kept), len(search.places)):
        if len(block):
            placed.add(np.atleast_1d(shapely.polygons(block.polygons)))
    return Outlined(placed, found.card.name)


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
