"""`detect`: the nuclei of a slide by StarDist, tile by tile; memory does not grow with the slide.

Each tile is read with the margin that the network's answers in its core depend on, so a pixel gets the same answer
whatever tile it lies in (see `cores`). Threads read and run the network; the main thread settles overlaps and measures
what is ready.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..graph.colour import DENSITY, UNMIX
from ..graph.compiled import NUCLEI
from ..graph.compiled import wait as compiled
from ..graph.nuclei import drawn
from ..nuclei.seams import Place, Seams
from ..nuclei.stars import BORDER, Candidates
from .shelf import Shelf, Ticket

if TYPE_CHECKING:
    from ..nuclei.stars import Floats, StarDist
    from ..schema.events import Events
    from ..slide.reader import Slide
    from .cores import Areas, Cores
    from .kept import KeptNuclei

PATIENCE_S = 0.4  # for threads at work when a run is ended: no longer, so that it ends in time


@dataclass(frozen=True, slots=True)
class Found:
    """Nuclei of one tile.

    Parameters
    ----------
    polygons : (N, R, 2) float64
        Outlines in level-0 pixels, not closed.
    centres : (N, 2) float64
        Where their rays start, in level-0 pixels.
    probability : (N,) float32
    haematoxylin : (N,) float32
        Mean optical density under the nucleus.
    places : (N, 2) int64
        Row and column of the centre on the grid of the whole slide: what tells a nucleus from all others.
    """

    polygons: NDArray[np.float64]
    centres: NDArray[np.float64]
    probability: NDArray[np.float32]
    haematoxylin: NDArray[np.float32]
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.probability)

    def taken(self, index: NDArray[np.bool_]) -> Found:
        """Those at `index`."""
        names = ("polygons", "centres", "probability", "haematoxylin", "places")
        return Found(*(getattr(self, name)[index] for name in names))


def detect(
    slide: Slide,
    cores: Cores,
    places: Sequence[Place],
    detector: StarDist,
    limits: Floats,
    events: Events,
    workers: int = 0,
    areas: Areas | None = None,
    kept: KeptNuclei | None = None,
) -> Iterator[Found]:
    """Find the nuclei of a slide.

    Parameters
    ----------
    cores : Cores
    places : sequence of (row, column)
        Tiles to look at, row by row; from `Cores.places`.
    limits : (2, 3) float32
        What becomes 0 and 1 in each channel, the same for all tiles; from `cores.slide_limits`.
    workers : int
        Threads that read and run the network; 0 for one per core.
    areas : sequence of polygons, optional
        In level-0 pixels; only nuclei whose centre lies in one.
    kept : KeptNuclei, optional
        What an earlier run found of the same; is kept up.

    Yields
    ------
    Found
        The nuclei of every tile, in the order of `places`.
    """
    settings = detector.settings
    halo = int(np.ceil(1.5 * settings.largest_um / settings.mpp))
    seams: Seams[Ticket] = Seams(places, cores.core, halo, settings.nms_threshold)
    planes = Shelf(np.float16, cores.most_px)
    order = iter(places)
    known = 0
    area = None if areas is None else shapely.union_all(list(areas))
    shapely.prepare(area)

    def settle(place: Place, candidates: Candidates, density: NDArray[np.float16]) -> list[Any]:
        with events.timed("overlaps"):
            return list(seams.add(place, candidates, planes.put(density)))

    def within(found: Found) -> Found:
        inside = True if area is None else shapely.contains_xy(area, *found.centres.T)
        return found.taken(inside & ~cores.is_foreign(found.polygons))

    for own, stain in kept.read() if kept else ():
        known += 1
        seams.take(next(order), own)
        yield within(_outlined(own, stain, cores, detector))
    todo = places[known:]
    with ThreadPoolExecutor(1) as aside:  # stardist's code must not be in the main thread when a signal comes
        for place, (candidates, density) in _looked_at(slide, cores, todo, detector, limits, events, workers):
            for own, plane in aside.submit(settle, place, candidates, density).result():
                compiled((NUCLEI,))
                with events.timed("outlines"):
                    stain = _stain(own, planes.take(plane), cores, next(order), detector)
                    found = _outlined(own, stain, cores, detector)
                if kept:
                    kept.add(own, stain)
                yield within(found)


def _looked_at(
    slide: Slide,
    cores: Cores,
    places: Sequence[Place],
    detector: StarDist,
    limits: Floats,
    events: Events,
    workers: int,
) -> Iterator[tuple[Place, tuple[Candidates, NDArray[np.float16]]]]:
    """Candidates and haematoxylin of every tile, in order, made by threads a few tiles ahead."""
    threads = workers or os.cpu_count() or 1
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[Place, Future[tuple[Candidates, NDArray[np.float16]]]]] = deque()
    todo = iter(places)
    work = partial(_tile, slide, cores, detector, limits, events)
    try:
        while True:
            while len(waiting) < 2 * threads and (place := next(todo, None)) is not None:
                waiting.append((place, pool.submit(work, place)))
            if not waiting:
                return
            place, future = waiting.popleft()
            yield place, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        wait([future for _, future in waiting], PATIENCE_S)


def _tile(
    slide: Slide, cores: Cores, detector: StarDist, limits: Floats, events: Events, place: Place
) -> tuple[Candidates, NDArray[np.float16]]:
    """Candidates of one core, in pixels of the whole grid, and haematoxylin (H, W) of what was read."""
    left, top, right, bottom = cores.box(place)
    with events.timed("decode"):
        origin = cores.to_slide(np.array([left, top]))
        width, height = right - left, bottom - top
        rgb = slide.read_box(origin[0], origin[1], width * cores.scale, height * cores.scale, width, height)
    with events.timed("network"):
        found = detector.candidates(rgb, limits, 0)
    points = found.points + np.array([top, left])
    inside = np.flatnonzero(cores.owns(place, points, BORDER * max(detector.settings.network.grid)))
    with events.timed("haematoxylin"):
        density = (DENSITY[rgb] @ UNMIX[:, 0]).astype(np.float16)
    return Candidates(points[inside], found.probability[inside], found.distances[inside]), density


def _stain(
    own: Candidates, density: NDArray[np.float16], cores: Cores, place: Place, detector: StarDist
) -> NDArray[np.float32]:
    """Mean optical density (N,) of haematoxylin under nuclei."""
    left, top, *_ = cores.box(place)
    shapes = shapely.polygons(detector.nuclei(own).polygons.astype(np.float64) - (left, top))
    labels = drawn(np.atleast_1d(shapes), density.shape).ravel()
    under = np.flatnonzero(labels)
    counts = np.bincount(labels[under], minlength=len(own) + 1)[1:]
    sums = np.bincount(labels[under], density.ravel()[under].astype(np.float64), minlength=len(own) + 1)[1:]
    return np.asarray(sums / np.maximum(counts, 1), np.float32)


def _outlined(own: Candidates, stain: NDArray[np.float32], cores: Cores, detector: StarDist) -> Found:
    """Outlines in level-0 pixels."""
    nuclei = detector.nuclei(own)
    limit = np.array([cores.width, cores.height])
    polygons = cores.to_slide(np.clip(nuclei.polygons, 0, limit))
    return Found(polygons, cores.to_slide(nuclei.centres), nuclei.probability, stain, own.points)
