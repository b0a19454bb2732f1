"""The nucleus detector of a run, and what it will look at on a slide."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.memory import return_freed
from ..slide.tissue import Tissue, find_tissue
from ..zoo.card import NucleiCard, read_nuclei_card
from ..zoo.detector import load_stardist
from ..zoo.digest import verify
from ..zoo.load import choose_device, find
from .cores import Areas, Cores, slide_limits
from .detect import Found, detect
from .kept import KeptNuclei

if TYPE_CHECKING:
    import torch

    from ..nuclei.seams import Place
    from ..nuclei.stars import Floats, StarDist
    from ..schema.events import Events
    from ..slide.reader import Slide

STARDIST = "nuclei-stardist-he"
NUCLEI_PER_MM2 = 3_500  # of tissue, to be expected


@dataclass(frozen=True, slots=True)
class Detector:
    """A verified nucleus detector."""

    stars: StarDist
    card: NucleiCard
    digest: str
    folder: Path

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.stars.device


def detector(name: str, device: str, precision: str, events: Events) -> Detector:
    """Verify and load the detector `name`.

    Parameters
    ----------
    precision : "auto", "float32" or "bfloat16"
        auto takes bfloat16 where the processor has instructions for it.

    Raises
    ------
    InputError
        No such model, a changed file, not a nucleus detector, or a device that is not there.
    """
    with events.timed("model"):
        return _loaded(find(name), device, precision)


@lru_cache(maxsize=1)
def _loaded(folder: Path, device: str, precision: str) -> Detector:
    import torch

    return_freed()
    torch.set_num_threads(1)
    where = str(choose_device(device))
    fast = precision == "bfloat16" or (precision == "auto" and where == "cpu" and _has_bfloat16())
    stars = load_stardist(folder, where, "bfloat16" if fast else "float32")
    return Detector(stars, read_nuclei_card(folder), verify(folder), folder)


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    import torch

    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


@dataclass(frozen=True, slots=True)
class Search:
    """What will be looked at of one slide: tiles, limits of normalisation, a thumbnail (h, w, 3) to draw on."""

    slide: Slide
    detector: Detector
    cores: Cores
    places: list[Place]
    limits: Floats
    areas: Areas | None
    tissue: Tissue
    thumbnail: NDArray[np.uint8]
    downsample: float
    notes: tuple[str, ...]

    def found(self, events: Events, workers: int, folder: Path | None = None) -> Iterator[Found]:
        """The nuclei, tile by tile; kept in `folder` for a later run that goes on where this one stopped."""
        kept = KeptNuclei(folder, self._facts()) if folder else None
        stars = self.detector.stars
        return detect(self.slide, self.cores, self.places, stars, self.limits, events, workers, self.areas, kept)

    def _facts(self) -> list[Any]:
        """Everything that decides what is found in the tiles."""
        written_ns = self.slide.path.stat().st_mtime_ns  # the fingerprint does not see what changes in the middle
        slide = (self.slide.fingerprint(), written_ns, self.slide.frame.mpp)
        mask = hashlib.sha256(self.cores.near.mask.tobytes()).hexdigest()
        stars = (self.detector.digest, str(self.detector.stars.dtype), str(self.detector.device))
        return [*slide, *stars, mask, self.places, self.limits.tolist()]


def searched(slide: Slide, detector: Detector, areas: Areas | None, events: Events, everywhere: bool = False) -> Search:
    """Find tissue, lay the tiles of the search, and settle its normalisation.

    Parameters
    ----------
    areas : sequence of polygons, optional
        In level-0 pixels; nuclei are looked for in these only.
    everywhere : bool
        Look beside the tissue too.

    Raises
    ------
    InputError
        There is no tissue on the slide, or none in `areas`.
    """
    with events.timed("tissue"):
        tissue = find_tissue(slide)
        thumbnail, downsample = slide.thumbnail()
    everything = Tissue(np.ones_like(tissue.mask), tissue.downsample, tissue.foreign)
    cores = Cores.of(slide, detector.stars, everything if everywhere else tissue)
    places = cores.places(areas)
    if not places:
        where = "inside the regions" if areas else "on the slide"
        raise InputError(f"{slide.path.name}: no tissue {where}", "choose other regions, or check that it is H&E")
    with events.timed("limits"):
        limits = slide_limits(slide, tissue, detector.stars)
    notes = tuple(slide.remarks(detector.stars.settings.mpp))
    return Search(slide, detector, cores, places, limits, areas, tissue, thumbnail, downsample, notes)
