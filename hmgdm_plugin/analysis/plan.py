"""What a run works on: slides opened, the model loaded, tissue found, tiles laid; all before anything is written."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..qupath.ids import run_tag
from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.folder import RunFolder, run_record
from ..schema.memory import return_freed
from ..schema.options import CommonOptions, EmbedOptions, SlideOptions
from ..schema.run import SUMMARY
from ..schema.space import Tile

if TYPE_CHECKING:
    from ..qupath.regions import Region
    from ..slide.reader import Slide
    from ..slide.tissue import Tissue
    from ..zoo.load import LoadedModel
    from .detector import Detector
    from .nuclei import Nuclei

ENTITIES_PER_TILE = 61  # superpixels
SECONDS_TO_START, SECONDS_PER_TILE, SECONDS_PER_NUCLEUS = 6.0, 0.08, 45e-6
START_MB, NUCLEUS_BYTES = 900, 100  # a million nuclei took 66 MB more


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be analysed of one slide: its tiles, its tissue, and a thumbnail (h, w, 3) uint8 to draw on."""

    slide: Slide
    thumbnail: NDArray[np.uint8]
    downsample: float
    tiles: tuple[Tile, ...]
    notes: tuple[str, ...]
    tissue: Tissue
    nuclei: Nuclei | None = None
    expected: int | None = 0  # nuclei: as many as a file has, or a detector may find; None where nobody knows

    def tell(self, events: Events) -> None:
        """Say what became of the nuclei, once all tiles were read."""
        for note in () if self.nuclei is None else self.nuclei.left_out():
            events.note(note)


@contextmanager
def opened(options: SlideOptions) -> Iterator[list[Slide]]:
    """Open all slides of `options`.

    Raises
    ------
    InputError
        A slide is missing, corrupt or without pixel size, or two share a name.
    """
    from ..slide.reader import open_slide

    if not options.slides:
        raise InputError("no slide given", "name one or more slides or images")
    with ExitStack() as stack:
        slides = [stack.enter_context(open_slide(path, options.mpp)) for path in options.slides]
        names = [slide.name for slide in slides]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name}: two slides have this name", "run them into two results folders")
        yield slides


def loaded(options: CommonOptions, events: Events) -> LoadedModel:
    """Verify and load the model of `options` onto its device.

    Raises
    ------
    InputError
        No such model, a changed file, or a device that is not there.
    """
    import torch

    from ..zoo.load import load

    return_freed()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    with events.timed("model"):
        return load(options.model, options.device)


def planned(slide: Slide, model: LoadedModel, options: EmbedOptions, events: Events, kept: Path | None = None) -> Plan:
    """Find tissue, tiles and nuclei of `slide`.

    Parameters
    ----------
    kept : Path, optional
        Folder where nuclei that a detector finds are kept for a later run that goes on where this one stopped.

    Raises
    ------
    InputError
        The regions or the nuclei are wrong, or there is no tissue on the slide or inside them.
    """
    from ..slide.tiling import tiles
    from ..slide.tissue import find_tissue
    from .mapped import left_untiled

    graph = model.card.graph
    before = len(events.notes)
    for note in slide.remarks(graph.mpp):
        events.note(note)
    regions = drawn_regions(slide, options, events)
    with events.timed("tissue"):
        tissue = find_tissue(slide)
        thumbnail, downsample = slide.thumbnail()
    found = tuple(tiles(slide.frame, graph.mpp, graph.tile_px, options.overlap, tissue, options.min_tissue, regions))
    if not found:
        where = "inside the regions" if regions else "on the slide"
        fix = "lower --min-tissue, or choose other regions" if tissue.mask.any() else "give an H&E slide or image"
        raise InputError(f"{slide.path.name}: no tissue {where}", fix)
    if regions is None and (untiled := left_untiled(tissue, found, options.min_tissue)):
        events.note(f"{slide.name}: {untiled}")
    nuclei, expected = _nuclei(slide, found, tissue, model, options, events, kept)
    return Plan(slide, thumbnail, downsample, found, tuple(events.notes[before:]), tissue, nuclei, expected)


def drawn_regions(slide: Slide, options: SlideOptions, events: Events) -> list[Region] | None:
    """The regions of `options` on `slide`, None where none are given; the user is told of every doubt."""
    from ..qupath.regions import read_regions

    if options.regions is None:
        return None
    regions, notes = read_regions(options.regions, slide.frame)
    for note in notes:
        events.note(note)
    return regions


def _nuclei(
    slide: Slide,
    tiles: Sequence[Tile],
    tissue: Tissue,
    model: LoadedModel,
    options: EmbedOptions,
    events: Events,
    kept: Path | None,
) -> tuple[Nuclei | None, int | None]:
    """The nuclei asked for, or those that the model learnt with, None for none; and how many to expect."""
    from ..graph.compiled import NUCLEI, start
    from .detector import NUCLEI_PER_MM2
    from .nuclei import NONE, chosen, found_by_detector, nuclei_of

    asked = chosen(options.nuclei, model.card, len(options.slides), events)
    if asked == NONE:
        return None, 0
    if options.dry_run and found_by_detector(asked):
        mm2 = sum(tile.area_mm2 * tissue.fraction(tile.x_px, tile.y_px, tile.side_px) for tile in tiles)
        return None, round(NUCLEI_PER_MM2 * mm2)
    start([NUCLEI])
    nuclei = nuclei_of(asked, slide, tiles, events, options.workers, kept)
    for note in nuclei.remarks(tiles):
        events.note(note)
    return nuclei, nuclei.number()


def estimate(plans: Sequence[Plan], model: LoadedModel, options: CommonOptions, events: Events) -> Mapping[str, Any]:
    """Say what a run would do and cost; figures per tile: `docs/benchmarks.md`."""
    count, known = sum(len(plan.tiles) for plan in plans), [plan.expected for plan in plans]
    nuclei = sum(each or 0 for each in known)
    events.note(options.model_dump_json(indent=2))
    return {
        "slides": len(plans),
        "model": f"{model.card.name} {model.card.version}",
        "tiles": count,
        "nuclei": "as many as the label images hold" if None in known else nuclei,
        "objects": count * (1 + ENTITIES_PER_TILE) + nuclei,
        "seconds": round(SECONDS_TO_START + SECONDS_PER_TILE * count + SECONDS_PER_NUCLEUS * nuclei),
        "memory_mb": round(START_MB + NUCLEUS_BYTES * max(each or 0 for each in known) / 1e6),
    }


def identified(slide: Slide) -> dict[str, Any]:
    """What tells a slide from another: file, size, scale and the crop that QuPath shows."""
    frame = slide.frame
    return {
        "path": str(slide.path),
        "fingerprint": slide.fingerprint(),
        "reader": slide.reader,
        "width_px": frame.width_px,
        "height_px": frame.height_px,
        "mpp": frame.mpp,
        "bounds_px": frame.bounds,
    }


def record(
    verb: str, options: CommonOptions, slides: Sequence[Slide], model: LoadedModel | Detector, events: Events
) -> dict[str, Any]:
    """The run record: what was done to which slides, with which model, and what the user was told."""
    return run_record(
        verb,
        options.model_dump(mode="json"),
        model={"name": model.card.name, "version": model.card.version, "digest": model.digest},
        recipe=f"{run_tag(model.digest):07x}",  # in the id of every object: what `Ids` uses
        slides={slide.name: identified(slide) for slide in slides},
        device=str(model.device),
        seconds={stage: round(seconds, 3) for stage, seconds in events.seconds.items()},
        notes=events.notes,
    )


def write_summary(folder: RunFolder, rows: Sequence[dict[str, Any]]) -> None:
    """Stage one line per slide."""
    with folder.stage(SUMMARY).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
