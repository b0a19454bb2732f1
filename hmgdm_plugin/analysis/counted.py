"""Nuclei of one slide as objects, numbers and pictures, gathered while they are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..nuclei.shape import shape_of
from ..qupath.geojson import Feature
from ..qupath.ids import object_id, run_tag
from ..report import pictures
from ..report.heatmap import heatmap_tiff
from ..schema import run
from ..schema.folder import RunFolder
from ..schema.space import Tile
from .objects import NUCLEUS_CLASS, NUCLEUS_RGB
from .placed import Placed

if TYPE_CHECKING:
    from ..schema.events import Events
    from .detect import Found
    from .detector import Search

SQUARE_UM = 100.0  # side of the squares in which nuclei are counted for the density map
SHOWN_UM = 250.0  # side of the field that is drawn with outlines
SHOWN_PX = 1000
NAMES = ("area µm²", "perimeter µm", "eccentricity", "solidity", "haematoxylin OD", "probability")
_KEPT = ("area µm²", "eccentricity", "haematoxylin OD")  # whose medians the summary says


class Counted:
    """Takes the nuclei of a slide block by block; only a few numbers of each stay in memory."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self._placed = Placed()
        self._columns: dict[str, list[NDArray[np.float32]]] = {name: [] for name in _KEPT}
        self._tag, self._slide = run_tag(search.detector.digest), search.slide.fingerprint()

    def __len__(self) -> int:
        return len(self._placed)

    def features(self, found: Found) -> Iterator[Feature]:
        """Nuclei as detections for QuPath, with the measurements of `NAMES`."""
        if not len(found):
            return
        shapes = np.atleast_1d(shapely.polygons(found.polygons))
        shape = shape_of(found.polygons * self.search.slide.frame.mpp)
        outer = [shape.area, shape.perimeter, shape.eccentricity, shape.solidity]
        columns = np.stack([*outer, found.haematoxylin, found.probability], axis=1)  # (N, 6), as NAMES
        self._placed.add(shapes)
        for name, parts in self._columns.items():
            parts.append(columns[:, NAMES.index(name)].astype(np.float32))
        names = [f"HMGDM: {name}" for name in NAMES]
        for outline, (y, x), numbers in zip(shapes, found.places.tolist(), columns.tolist(), strict=True):
            id = object_id(self._tag, self._slide, "nucleus", f"{y},{x}")
            measured = dict(zip(names, numbers, strict=True))
            yield Feature(id, outline, "detection", "", NUCLEUS_CLASS, NUCLEUS_RGB, measured)

    def row(self) -> dict[str, Any]:
        """One line of the summary."""
        search, tissue_mm2 = self.search, self._tissue_mm2()
        row: dict[str, Any] = {"slide_id": search.slide.name, "path": str(search.slide.path), "nuclei": len(self)}
        row["tissue_mm2"] = round(tissue_mm2, 4)
        row["nuclei per mm2"] = round(len(self) / tissue_mm2, 1) if tissue_mm2 else ""
        for name, parts in self._columns.items():
            row[f"median {name}"] = float(np.median(np.concatenate(parts))) if len(self) else ""
        row["notes"] = " | ".join(search.notes)
        return row

    def draw(self, folder: RunFolder, events: Events) -> None:
        """Stage the density on the slide, the same as numbers, and two fields with their outlines."""
        search = self.search
        name, frame = search.slide.name, search.slide.frame
        squares, density = self._density()
        with events.timed("pictures"):
            pictures.heat_overlay(
                folder.stage(run.overlay_png(name, "nuclear-density")),
                search.thumbnail, search.downsample, squares, density, "Nuclei", "nuclei/mm²", frame.mpp,
            )  # fmt: skip
            values, units = {"nuclear density": density}, {"nuclear density": "nuclei/mm²"}
            heatmap_tiff(folder.stage(run.density_tiff(name)), squares, values, units, frame)
            order = np.argsort(density, kind="stable")
            with_any = order[np.searchsorted(density[order], 0.0, side="right") :]
            typical = with_any[len(with_any) // 2] if len(with_any) else order[-1]
            self._draw_field(folder, squares[int(typical)], "nuclei", "a typical density")
            self._draw_field(folder, squares[int(order[-1])], "nuclei-densest", "the highest density")

    def _draw_field(self, folder: RunFolder, square: Tile, what: str, where: str) -> None:
        slide = self.search.slide
        side = SHOWN_UM / slide.frame.mpp
        x, y = (at + square.side_px / 2 - side / 2 for at in (square.x_px, square.y_px))
        field = Tile(x, y, side, SHOWN_PX, SHOWN_UM / SHOWN_PX)
        outlines = self._placed.within(field)
        image = slide.read(x, y, side, SHOWN_PX)
        path, title = (
            folder.stage(run.overlay_png(slide.name, what)),
            f"{len(outlines)} nuclei, where they have {where}",
        )
        pictures.outline_overlay(path, image, (x, y), field.scale, list(outlines), NUCLEUS_RGB, title, slide.frame.mpp)

    def _density(self) -> tuple[list[Tile], NDArray[np.float64]]:
        """Squares that hold tissue or nuclei, and nuclei per square millimetre in each."""
        frame, cores = self.search.slide.frame, self.search.cores
        x_px, y_px, width, height = frame.bounds
        side = SQUARE_UM / frame.mpp
        across, down = max(int(np.ceil(width / side)), 1), max(int(np.ceil(height / side)), 1)
        column, row = np.floor((self._placed.centres - (x_px, y_px)) / side).astype(int).T
        counts = np.bincount(row.clip(0, down - 1) * across + column.clip(0, across - 1), minlength=across * down)
        squares, density = [], []
        for number, count in enumerate(counts.tolist()):
            y, x = y_px + number // across * side, x_px + number % across * side
            if count or cores.near.fraction(x, y, side) > 0.5:
                inside = min(side, x_px + width - x) * min(side, y_px + height - y) * (frame.mpp / 1000) ** 2
                place = number // across, number % across
                squares.append(Tile(x, y, side, round(SQUARE_UM), 1.0, *place))
                density.append(count / inside)
        return squares, np.array(density)

    def _tissue_mm2(self) -> float:
        """Tissue that was searched: of the whole slide, or within the regions."""
        tissue, frame = self.search.tissue, self.search.slide.frame
        pixel_mm2 = (tissue.downsample * frame.mpp / 1000) ** 2
        if self.search.areas is None:
            return float(tissue.mask.sum()) * pixel_mm2
        y, x = (np.nonzero(tissue.mask)[axis] + 0.5 for axis in (0, 1))
        area = shapely.union_all(list(self.search.areas))
        shapely.prepare(area)
        inside = shapely.contains_xy(area, x * tissue.downsample, y * tissue.downsample)
        return float(inside.sum()) * pixel_mm2
