"""The heat map as numbers: a float32 TIFF with one page per quantity and one pixel per place in the grid of tiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..schema.errors import InputError
from ..schema.run import writing
from ..schema.space import Frame, Tile
from .raster import cells, grid_step

_PAGE_NAME = 285  # TIFF 6.0, section 12
_UM_PER_CM = 10_000.0


def heatmap_tiff(
    path: Path,
    tiles: Sequence[Tile],
    values: Mapping[str, ArrayLike],
    units: Mapping[str, str] | None = None,
    frame: Frame | None = None,
    least_tissue: float = 0.0,
) -> None:
    """Write values per tile as a picture of the grid; NaN where no tile is.

    The first page's ImageDescription is JSON: ``quantities`` (names in the order of the pages), ``units``,
    ``origin_px`` (level-0 corner of the first pixel), ``cell_px`` (level-0 pixels per pixel), ``cell_um``, and with a
    `frame` ``qupath_origin_px``, the same corner in the image that QuPath shows. Where tiles overlap, a pixel is the
    middle of its tile. ``least_tissue`` says which tiles have a colour on maps: those with that much ``tissue share``.

    Parameters
    ----------
    path : Path
        TIFF to write.
    tiles : sequence of Tile
        At least one; `row` and `col` give the place.
    values : mapping of str to array (n,)
        Quantities in the order of `tiles`.
    units : mapping of str to str, optional
    frame : Frame, optional
    least_tissue : float
        0 where all tiles are coloured.

    Raises
    ------
    InputError
        There are no tiles, or the file cannot be written.
    """
    import tifffile

    if not tiles:
        raise InputError(f"{path}: no tiles to draw", "lower --min-tissue or choose a region with tissue")
    place = np.array([(tile.row, tile.col) for tile in tiles])
    place -= place.min(axis=0)
    facts = _facts(tiles, frame)
    facts |= {
        "least_tissue": least_tissue,
        "quantities": list(values),
        "units": {name: (units or {}).get(name, "") for name in values},
    }
    per_cm = _UM_PER_CM / facts["cell_um"]
    with writing(path), tifffile.TiffWriter(path) as tiff:
        for number, (name, each) in enumerate(values.items()):
            description = facts if number == 0 else {"quantity": name}
            tiff.write(
                _grid(place, np.asarray(each, np.float32)),
                description=json.dumps(description),
                metadata=None,
                photometric="minisblack",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                extratags=[(_PAGE_NAME, "s", 0, name.encode("ascii", "replace"), True)],
            )


def _grid(place: NDArray[np.int_], values: NDArray[np.float32]) -> NDArray[np.float32]:
    grid = np.full(tuple(place.max(axis=0) + 1), np.nan, np.float32)
    grid[place[:, 0], place[:, 1]] = values
    return grid


def _facts(tiles: Sequence[Tile], frame: Frame | None) -> dict[str, Any]:
    """Where the grid lies: corner and size of a cell."""
    step_px = grid_step(tiles)
    middle = cells(tiles)[0].reshape(2, 2).mean(axis=0)
    rows, cols = [t.row for t in tiles], [t.col for t in tiles]
    steps = np.array([tiles[0].col - min(cols), tiles[0].row - min(rows)])
    origin = middle - (steps + 0.5) * step_px
    facts = {
        "origin_px": origin.tolist(),
        "cell_px": step_px,
        "cell_um": step_px * tiles[0].mpp / tiles[0].scale,
        "frame": "level-0 pixels",
    }
    return facts | ({} if frame is None else {"qupath_origin_px": frame.to_qupath(origin).tolist()})
