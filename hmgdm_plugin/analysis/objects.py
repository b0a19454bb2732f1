"""Results as QuPath objects: tiles with their predictions, entities with their importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import shapely

from ..qupath.geojson import CONTRIBUTION, LEFT_OUT, NOVELTY, PROBABILITY, Feature
from ..qupath.geojson import TISSUE as SHARE
from ..qupath.overlay import palette
from ..schema.graph import TISSUE
from .measured import UNITS, tissue_share

if TYPE_CHECKING:
    from ..schema.space import Tile
    from ..zoo.card import Head
    from .answers import Floats, TileAnswer
    from .encode import EncodedTile
    from .measured import Measured

KINDS = ("superpixel", "nucleus")
NUCLEUS_CLASS, NUCLEUS_RGB = "Nucleus", (0, 158, 115)


def measurement(head: Head) -> str:
    """Name of a number in QuPath's measurement table: what it is, and its unit."""
    return f"HMGDM: {head.title} {head.unit}".rstrip()


def measurements(heads: Sequence[Head], answer: TileAnswer) -> dict[str, float]:
    """All numbers of a tile: values and their intervals, probabilities as ``p(class)``, number of the cluster."""
    out: dict[str, float] = {}
    for head in heads:
        value = answer.values[head.name]
        if head.kind == "regression":
            out[measurement(head)] = float(value[0])
            if head.interval is not None:
                ends = head.interval.around(float(value[0]), head.transform)
                share = f"{100 * head.interval.share:.0f} %"
                out |= {f"{measurement(head)} ({share} {end})": v for end, v in zip(("low", "high"), ends, strict=True)}
        elif head.kind == "clusters":
            out[f"HMGDM: {head.title}"] = float(value[0]) + 1
        else:
            names = [each.name for each in head.classes]
            out |= {f"{PROBABILITY}{name})": float(p) for name, p in zip(names, value, strict=True)}
    return out


def class_of(heads: Sequence[Head], answer: TileAnswer) -> tuple[str | None, tuple[int, int, int] | None]:
    """Class that a tile gets: its cluster, else the likeliest class of the first classification, else none."""
    for kind in ("clusters", "classification"):
        for head in heads:
            if head.kind == kind:
                value = answer.values[head.name]
                number = int(value[0]) if kind == "clusters" else int(value.argmax())
                return named(head)[number]
    return None, None


def named(head: Head) -> list[tuple[str, tuple[int, int, int]]]:
    """Names and colours of a head's classes, as QuPath gets them."""
    colours = palette(len(head.classes))
    return [(f"HMGDM: {each.name}", each.rgb or colour) for each, colour in zip(head.classes, colours, strict=True)]


def square(tile: Tile) -> shapely.Polygon:
    """Outline of a tile in level-0 pixels."""
    return shapely.box(tile.x_px, tile.y_px, tile.x_px + tile.side_px, tile.y_px + tile.side_px)


def tile_feature(
    tile: EncodedTile, answer: TileAnswer, heads: Sequence[Head], id: UUID, nuclei: Measured | None = None
) -> Feature:
    """A tile with its predictions, its nuclei, and how unlike the training data it is, where the model can tell."""
    name, rgb = class_of(heads, answer)
    where = f"tile {tile.tile.row + 1}, {tile.tile.col + 1}"
    novelty = {} if math.isnan(tile.novelty) else {NOVELTY: tile.novelty}
    found = {} if nuclei is None else {f"HMGDM: {what} {UNITS[what]}": n for what, n in nuclei.values().items()}
    share = {SHARE: tissue_share(tile)}
    return Feature(
        id, square(tile.tile), "tile", where, name, rgb, measurements(heads, answer) | found | novelty | share
    )


def marked(feature: Feature) -> Feature:
    """A tile that maps leave out, told from the others by a measurement."""
    return replace(feature, measurements={**feature.measurements, LEFT_OUT: 1.0})


def entity_features(tile: EncodedTile, contribution: Floats, shown: Head, ids: Sequence[UUID]) -> list[Feature]:
    """The entities of a tile with what they added (N,) to the head shown, and its share of the largest."""
    assert tile.outlines is not None
    label = CONTRIBUTION + shown.title
    kinds = tile.graph.kind.tolist()
    size = np.abs(contribution) / max(float(np.abs(contribution).max(initial=0.0)), 1e-12)
    scale_um = tile.tile.mpp / tile.tile.scale
    areas = shapely.area(tile.outlines) * scale_um**2
    rows = zip(ids, tile.outlines, kinds, size, contribution, areas, strict=True)
    return [
        entity(
            id,
            outline,
            kind,
            {"HMGDM: importance": float(importance), label: float(added), "HMGDM: area µm²": float(np.round(area, 2))},
        )
        for id, outline, kind, importance, added, area in rows
    ]


def entity(id: UUID, outline: shapely.Geometry, kind: int, numbers: dict[str, float]) -> Feature:
    """An entity for QuPath: a superpixel is a tile without class, a nucleus a detection of its class."""
    if kind == TISSUE:
        return Feature(id, outline, "tile", KINDS[kind], None, None, numbers)
    return Feature(id, outline, "detection", KINDS[kind], NUCLEUS_CLASS, NUCLEUS_RGB, numbers)
