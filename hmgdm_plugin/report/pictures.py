"""Pictures for people: this folder is the door to matplotlib, which is imported when the first picture is drawn.

Every picture of tissue has a scale bar in microns and a legend or a colour bar with its unit. Positions are level-0
pixels throughout. The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from ..schema.shades import scale, signed
from ..schema.space import Tile
from . import canvas
from .heatmap import heatmap_tiff
from .raster import blend, grid_step, outline, paint, seen
from .sheet import BAR_HIGH_IN, BAR_IN, LEGEND_IN, colour_bar, legend, legend_height, sheet

__all__ = [
    "class_overlay",
    "entity_overlay",
    "heat_overlay",
    "heatmap_tiff",
    "outline_overlay",
    "rgb_overlay",
    "tissue_picture",
]

Image = NDArray[np.uint8]
_SOLID = 0.6  # share of the colour in class maps
_LINED_PX = 8  # tiles that are smaller on the picture are not drawn apart by lines


def tissue_picture(path: Path, thumbnail: Image, downsample: float, title: str, mpp_level0: float) -> None:
    """Draw the slide itself, to be shown beside an overlay of the same size. Parameters: see `heat_overlay`."""
    drawn = sheet(thumbnail, (0.0, 0.0), downsample, title, mpp_level0, side_in=0.08)
    canvas.save(drawn.figure, path)


def heat_overlay(
    path: Path,
    thumbnail: Image,
    downsample: float,
    tiles: Sequence[Tile],
    values: ArrayLike,
    title: str,
    unit: str,
    mpp_level0: float,
    colormap: str = "viridis",
    alpha: float = 0.5,
    limits: tuple[float, float] | None = None,
    blank: str = "",
) -> None:
    """Draw one value per tile on the tissue, with a colour bar over the `scale` of the values, or over `limits`.

    Parameters
    ----------
    path : Path
        PNG to write.
    thumbnail : array (h, w, 3) uint8
        The whole slide.
    downsample : float
        Level-0 pixels per pixel of the thumbnail.
    tiles, values : sequence of Tile, array (n,)
        A tile whose value is NaN is not drawn.
    title, unit : str
        Unit as it stands beside the colour bar; empty for none.
    mpp_level0 : float
        Microns per level-0 pixel.
    colormap : str
        Name of a matplotlib colour map.
    alpha : float
        Share of the colour against the tissue.
    blank : str
        What the legend says of tiles without a value, which are then outlined; empty for nothing.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    values = np.asarray(values, np.float64)
    ramp = canvas.importance_colours(True) if limits is None and signed(values) else colormaps[colormap]
    coloured = ScalarMappable(Normalize(*(limits or scale(values))), ramp)
    colours = np.where(np.isfinite(values)[:, None], coloured.to_rgba(np.nan_to_num(values))[:, :3], np.nan)
    picture, grey = blend(thumbnail, paint(tiles, colours, thumbnail.shape, downsample), alpha)
    if blank:
        outline(picture, tiles, np.isnan(values), downsample)
    drawn = sheet(picture, (0.0, 0.0), downsample, title, mpp_level0, BAR_IN, BAR_HIGH_IN + (0.9 if blank else 0.2))
    shown = seen(ramp(np.arange(256))[:, :3], grey, alpha)
    colour_bar(drawn, shown, coloured.get_clim(), unit, values, blank)
    canvas.save(drawn.figure, path)


def class_overlay(
    path: Path,
    thumbnail: Image,
    downsample: float,
    tiles: Sequence[Tile],
    labels: ArrayLike,
    names: Sequence[str],
    rgbs: Sequence[tuple[int, int, int]],
    title: str,
    mpp_level0: float,
    blank: str = "",
) -> None:
    """Draw the class or cluster of each tile; the legend says the share of tiles in each.

    `labels` (n,) are indices into `names` and `rgbs`; a negative one has no value. Others: see `heat_overlay`.
    """
    labels = np.asarray(labels, np.int64)
    table = np.asarray(rgbs, np.float64).reshape(-1, 3) / 255
    colours = np.where(labels[:, None] < 0, np.nan, table[np.maximum(labels, 0)])
    counts = np.bincount(labels[labels >= 0], minlength=len(names))
    shares = [f"{100 * count / max(counts.sum(), 1):.0f} % {name}" for name, count in zip(names, counts, strict=True)]
    lines = grid_step(tiles) >= _LINED_PX * downsample
    picture, grey = blend(thumbnail, paint(tiles, colours, thumbnail.shape, downsample), _SOLID, apart=lines)
    shown = seen(table, grey, _SOLID)
    if blank:
        outline(picture, tiles, labels < 0, downsample)
        shares, shown = [*shares, blank], np.vstack([shown, np.ones(3)])
    drawn = sheet(picture, (0.0, 0.0), downsample, title, mpp_level0, LEGEND_IN, legend_height(shares))
    legend(drawn, shares, shown)
    canvas.save(drawn.figure, path)


def rgb_overlay(
    path: Path,
    thumbnail: Image,
    downsample: float,
    tiles: Sequence[Tile],
    rgb: ArrayLike,
    title: str,
    mpp_level0: float,
    blank: str = "",
) -> None:
    """Draw three quantities per tile, (n, 3) in 0..1, as red, green and blue: similar colours, similar tissue.

    Others: see `heat_overlay`.
    """
    picture, grey = blend(thumbnail, paint(tiles, np.clip(rgb, 0, 1), thumbnail.shape, downsample), _SOLID)
    if blank:
        outline(picture, tiles, np.isnan(np.asarray(rgb)[:, 0]), downsample)
    drawn = sheet(picture, (0.0, 0.0), downsample, title, mpp_level0, LEGEND_IN, 1.7 if blank else 1.2)
    names, shown = ["component 1", "component 2", "component 3"], seen(np.eye(3), grey, _SOLID)
    if blank:
        names, shown = [*names, blank], np.vstack([shown, np.ones(3)])
    legend(drawn, names, shown, "Similar colours: similar tissue")
    canvas.save(drawn.figure, path)


def entity_overlay(
    path: Path,
    image: Image,
    origin_px: tuple[float, float],
    scale: float,
    outlines: Sequence[shapely.Geometry],
    values: ArrayLike,
    title: str,
    mpp_level0: float,
    unit: str = "importance",
    ranked: Sequence[int] = (),
) -> None:
    """Draw the importance of entities as outlines with a light fill: strong where it matters, faint where not.

    Parameters
    ----------
    path : Path
        PNG to write.
    image : array (h, w, 3) uint8
        The region, at the scale it was read.
    origin_px : (x, y)
        Upper left corner of the image in level-0 pixels.
    scale : float
        Level-0 pixels per pixel of the image.
    outlines : sequence of shapely geometry
        Areas or lines in level-0 pixels.
    values : array (n,)
        Two colours when any is negative, one otherwise; NaN is not drawn.
    title, unit : str
        Unit as it stands beside the colour bar.
    mpp_level0 : float
        Microns per level-0 pixel.
    ranked : sequence of int
        Entities to be numbered 1, 2, … on the picture.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    values = np.asarray(values, np.float64)
    drawn = sheet(image, origin_px, scale, title, mpp_level0)
    mappable, strength = canvas.importance_scale(values)
    for collection in canvas.outlined(outlines, mappable.to_rgba(values), strength):
        drawn.add(collection)
    for rank, index in enumerate(ranked, 1):
        drawn.number(outlines[index].representative_point(), rank)
    colour_bar(drawn, mappable.cmap(np.arange(256))[:, :3], mappable.get_clim(), unit, values)
    canvas.save(drawn.figure, path)


def outline_overlay(
    path: Path,
    image: Image,
    origin_px: tuple[float, float],
    scale: float,
    outlines: Sequence[shapely.Geometry],
    rgb: tuple[int, int, int],
    title: str,
    mpp_level0: float,
) -> None:
    """Draw outlines in one colour, without filling what is to be seen. Parameters: see `entity_overlay`."""
    from matplotlib.collections import PathCollection

    drawn = sheet(image, origin_px, scale, title, mpp_level0)
    paths = canvas.paths_of(outlines)
    for colour, width in ((np.ones(3), 1.8), (np.array(rgb) / 255, 1.0)):
        drawn.add(PathCollection(paths, facecolors="none", edgecolors=[colour], linewidths=width))
    canvas.save(drawn.figure, path)
