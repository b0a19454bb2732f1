"""What a batch would meet: each slide looked at, none analysed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..schema.errors import InputError
from .plan import ENTITIES_PER_TILE, SECONDS_PER_TILE

if TYPE_CHECKING:
    from ..cohort.beside import Beside
    from ..schema.entry import SlideEntry
    from ..schema.options import BatchOptions
    from ..schema.settings import GraphSettings
    from ..schema.space import Frame

FINE = ("ready", "done")
WRONG = ("missing", "no pixel size", "unreadable", "incomplete", "no tissue", "changed", "unusable", "quarantined")
WORDS = FINE + WRONG
SECONDS_PER_SLIDE = 0.8
BYTES_PER_TILE, BYTES_PER_SLIDE = 75_000, 3_500_000


@dataclass(frozen=True, slots=True)
class Found:
    """One slide of a survey.

    Parameters
    ----------
    word : str
        One of `WORDS`; `FINE` ones need nobody.
    remark : str
        Reason and fix, or what is to be known.
    offset : bool
        Whether QuPath shows a crop that does not begin at the file's first pixel.
    tiles : int
    """

    slide_id: str
    path: str
    word: str
    remark: str = ""
    offset: bool = False
    tiles: int = 0
    fingerprint: str = ""


def mpp_for(entry: SlideEntry, otherwise: float | None) -> float | None:
    """Microns per pixel to open a slide with: the source's; `otherwise` only where the file does not say it either.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    from ..slide.reader import declares_mpp

    if entry.mpp is not None or otherwise is None:
        return entry.mpp
    return None if declares_mpp(entry.path) else otherwise


def refuse_other_crop(entry: SlideEntry, frame: Frame) -> None:
    """Refuse a slide of which QuPath shows another part than is analysed: its results would not fit.

    Raises
    ------
    InputError
        It does.
    """
    ours = frame.bounds[2:]
    if entry.shown_px not in (None, ours):
        shown = "{} x {}".format(*entry.shown_px)
        problem = f"{entry.path.name}: is {shown} pixels in QuPath and {ours[0]} x {ours[1]} here"
        raise InputError(problem, "add it to the project with another reader (OpenSlide), or list the file in a CSV")


def look_at(
    entry: SlideEntry, options: BatchOptions, graph: GraphSettings, regions: Beside | None, nuclei: Beside | None
) -> Found:
    """Open a slide, find its tissue and count its tiles, in its regions where there are `regions`."""
    from ..qupath.regions import read_regions
    from ..slide.reader import open_slide
    from ..slide.tiling import count
    from ..slide.tissue import find_tissue

    def found(word: str, remark: str = "", offset: bool = False, tiles: int = 0, fingerprint: str = "") -> Found:
        return Found(entry.slide_id, str(entry.path), word, remark, offset, tiles, fingerprint)

    if entry.problem:
        return found("unusable", f"{entry.problem}; {entry.fix}")
    if not os.path.isfile(entry.path):  # unlike Path.is_file, no error for a name too long
        return found("missing", "no such file; correct the path or bring the slide back")
    try:
        drawn, _ = (each.of(entry) if each else None for each in (regions, nuclei))
    except InputError as error:
        return found("incomplete", str(error))
    try:
        with open_slide(entry.path, mpp_for(entry, options.mpp)) as slide:
            refuse_other_crop(entry, slide.frame)
            tissue, inside = find_tissue(slide), read_regions(drawn, slide.frame)[0] if drawn else None
            tiles = count(slide.frame, graph.mpp, graph.tile_px, options.overlap, tissue, options.min_tissue, inside)
            notes, mark = " | ".join(slide.notes), slide.fingerprint()
            word = "ready" if tiles else "no tissue"
            return found(word, notes, slide.frame.bounds[:2] != (0, 0), tiles, mark)
    except InputError as error:
        word = "no pixel size" if "microns per pixel" in error.problem else "unreadable"
        return found(word, str(error))


def cost(found: list[Found], workers: int) -> dict[str, float | int]:
    """Hours, gigabytes and objects of the slides that are ready; figures: `docs/benchmarks.md`."""
    ready = [each for each in found if each.word == "ready"]
    tiles = sum(each.tiles for each in ready)
    seconds = (SECONDS_PER_SLIDE * len(ready) + SECONDS_PER_TILE * tiles) / max(workers, 1)
    size = BYTES_PER_SLIDE * len(ready) + BYTES_PER_TILE * tiles
    return {
        "tiles": tiles,
        "objects": tiles * (1 + ENTITIES_PER_TILE),
        "hours": round(seconds / 3600, 2),
        "gigabytes": round(size / 1e9, 2),
    }
