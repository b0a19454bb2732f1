"""Results as layers: what a run's GeoJSON says about tiles, entities and nuclei, ready to be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..qupath.geojson import CONTRIBUTION, LEFT_OUT, NOVELTY, OF_EVERY_TILE, PROBABILITY
from ..qupath.overlay import stable_rgb
from ..qupath.reader import read_features
from ..schema.shades import scale, signed

CLASSES = "class"
RGB = tuple[int, int, int]
UP = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)  # viridis
AROUND = np.array([(33, 102, 172), (247, 247, 247), (27, 120, 55)], np.float64)  # what lowered and raised an answer


@dataclass
class Group:
    """Objects of one kind: their rings in level-0 pixels, classes and measurements, in the same order."""

    rings: list[list[NDArray[np.float64]]] = field(default_factory=list)
    classes: list[tuple[str, RGB] | None] = field(default_factory=list)
    measurements: list[dict[str, float]] = field(default_factory=list)

    def layers(self) -> list[str]:
        """What can be shown of these objects: their class first, then every measurement, as they come."""
        names = dict.fromkeys(name for row in self.measurements for name in row)
        names.pop(LEFT_OUT, None)
        return [*([CLASSES] if any(self.classes) else []), *names]

    def left_out(self, layer: str) -> list[bool]:
        """Whether each object has no colour in `layer`: tiles with too little tissue, but where each tile counts."""
        return [LEFT_OUT in row and layer not in OF_EVERY_TILE for row in self.measurements]

    def colours(self, layer: str) -> list[RGB | None]:
        """Colour of every object in `layer`; None where it has no value."""
        if layer == CLASSES:
            pairs = zip(self.classes, self.left_out(layer), strict=True)
            return [None if each is None or out else each[1] for each, out in pairs]
        low, high, two = self.span(layer)
        values = self._values(layer)
        return [None if v is None else ramp((v - low) / (high - low), two) for v in values]

    def span(self, layer: str) -> tuple[float, float, bool]:
        """Values at the ends of the colour ramp, and whether it has two colours around zero."""
        known = [value for value in self._values(layer) if value is not None]
        return *scale(known), signed(known)

    def _values(self, layer: str) -> list[float | None]:
        """Of the objects that `layer` colours; None for the others."""
        pairs = zip(self.measurements, self.left_out(layer), strict=True)
        return [None if out else row.get(layer) for row, out in pairs]

    def classed(self, layer: str) -> bool:
        """Whether `layer` says in numbers what the classes say in colours: a probability, or the number of a class."""
        if not any(self.classes):
            return False
        values = [row.get(layer, 0.5) for row in self.measurements]
        pairs = set(zip(values, self.classes, strict=True))
        numbered = all(value == round(value) for value in values) and len(pairs) == len(set(values))
        return numbered or layer.startswith(PROBABILITY)

    def legend(self) -> list[tuple[str, RGB]]:
        """Classes that occur, by name."""
        return sorted({each for each in self.classes if each is not None})


def novel(groups: Mapping[str, Group]) -> str:
    """A sentence about the tiles that are unlike the training data; empty where the model cannot tell."""
    tiles = groups.get("tiles", Group())
    values = [row[NOVELTY] for row in tiles.measurements if NOVELTY in row]
    if not values:
        return ""
    share = sum(value > 1 for value in values) / len(values)
    return f"{100 * share:.0f} % of the tiles are unlike the training data (show: novelty, above 1)."


def opening(groups: Mapping[str, Group]) -> str:
    """The group that a finished run is opened on: what was asked for, whatever comes first in the alphabet."""
    return next((each for each in ("explained", "tiles", *groups) if each in groups), "")


def first_layer(name: str, group: Group) -> str:
    """What is shown of a group before anybody chooses.

    Of tiles the first answer, as in QuPath: a value as it is, classes in their colours. Of entities what they added to
    the answer, where that was asked; of all else the class.
    """
    layers = group.layers()
    measured = [each for each in layers if each != CLASSES]
    if name == "tiles" and measured and not group.classed(measured[0]):
        return measured[0]
    added = [each for each in measured if each.startswith(CONTRIBUTION)]
    return (added or layers or [""])[0]


def ramp(share: float, signed: bool = False) -> RGB:
    """Colour of a share 0..1 on the ramp; `signed` values have their zero, white, in its middle."""
    colours = AROUND if signed else UP
    place = np.clip(share, 0.0, 1.0) * (len(colours) - 1)
    below = min(int(place), len(colours) - 2)
    red, green, blue = colours[below] + (place - below) * (colours[below + 1] - colours[below])
    return round(red), round(green), round(blue)


def read_groups(folder: Path, origin: tuple[float, float]) -> dict[str, Group]:
    """Groups of the GeoJSON files in `folder`, by the first word of their names: tiles, entities, nuclei.

    Parameters
    ----------
    origin : (float, float)
        Upper left corner of QuPath's crop in level-0 pixels, which GeoJSON leaves out.

    Raises
    ------
    InputError
        A file is damaged.
    """
    out: dict[str, Group] = {}
    for path in sorted(folder.glob("*-part-*.geojson*")):
        group = out.setdefault(path.name.partition("-part-")[0], Group())
        for feature in read_features(path):
            rings = list(_rings(feature.get("geometry") or {}, np.array(origin)))
            if rings:
                properties = feature.get("properties") or {}
                group.rings.append(rings)
                group.classes.append(_class(properties.get("classification")))
                group.measurements.append(dict(properties.get("measurements") or {}))
    return {name: group for name, group in out.items() if group.rings}


def _rings(geometry: dict[str, Any], origin: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    coordinates = geometry.get("coordinates") or []
    polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(geometry.get("type", ""), [])
    for polygon in polygons:
        yield from (np.asarray(ring, np.float64)[:, :2] + origin for ring in polygon)


def _class(given: Any) -> tuple[str, RGB] | None:
    if not isinstance(given, dict) or not given.get("name"):
        return None
    name, rgb = str(given["name"]), given.get("color")
    red, green, blue = rgb if isinstance(rgb, list) and len(rgb) == 3 else stable_rgb(name)
    return name, (int(red), int(green), int(blue))
