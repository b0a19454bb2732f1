"""Tiles painted onto a thumbnail, in plain arrays: where a value lands is decided here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..schema.space import Tile

_DARKEST, _LINE, _PALE = 0.3, 0.2, 0.55  # greyed tissue is lightened, so that colours stay clear on dark nuclei
_GREY = np.array([0.299, 0.587, 0.114])  # luma, ITU-R BT.601


def cells(tiles: Sequence[Tile]) -> NDArray[np.float64]:
    """The part of each tile that no other tile shares: all of it, or the middle where tiles overlap.

    Returns
    -------
    array (n, 4)
        Left, top, right, bottom in level-0 pixels.
    """
    corner = np.array([(tile.x_px, tile.y_px) for tile in tiles], np.float64).reshape(-1, 2)
    side = np.array([tile.side_px for tile in tiles], np.float64)
    cell = np.minimum(side, grid_step(tiles))
    start = corner + ((side - cell) / 2)[:, None]
    return np.hstack([start, start + cell[:, None]])


def grid_step(tiles: Sequence[Tile]) -> float:
    """Level-0 pixels between neighbouring tiles; the side of a tile where they stand in no regular grid."""
    if not tiles:
        return 0.0
    for place, index in ((_xs, _cols), (_ys, _rows)):
        at, number = place(tiles), index(tiles)
        if np.ptp(number) > 0:
            step = float(np.ptp(at) / np.ptp(number))
            regular = np.abs(at - at.min() - (number - number.min()) * step).max() < 1.0
            return step if regular and step > 0 else tiles[0].side_px
    return tiles[0].side_px


def paint(tiles: Sequence[Tile], colours: ArrayLike, shape: tuple[int, ...], downsample: float) -> NDArray[np.float64]:
    """Colours (n, 3) in 0..1 of the tiles as a picture (h, w, 3); NaN where no tile is, or where its colour is NaN.

    Parameters
    ----------
    tiles : sequence of Tile
    colours : array (n, 3)
    shape : (h, w, …)
        Of the thumbnail.
    downsample : float
        Level-0 pixels per pixel of the thumbnail.
    """
    height, width = shape[:2]
    picture = np.full((height, width, 3), np.nan)
    edges = np.rint(np.round(cells(tiles) / downsample, 6)).astype(int)
    for (left, top, right, bottom), colour in zip(edges, np.asarray(colours, np.float64), strict=True):
        picture[max(top, 0) : max(bottom, top + 1, 0), max(left, 0) : max(right, left + 1, 0)] = colour
    return picture


def blend(
    thumbnail: NDArray[np.uint8], painted: NDArray[np.float64], alpha: float, apart: bool = False
) -> tuple[NDArray[np.float64], float]:
    """Lay `painted` over tissue (h, w, 3) that is greyed beneath it, so that pink does not shift the legend.

    Parameters
    ----------
    thumbnail, painted : array (h, w, 3)
        Tissue in 0..255; colours in 0..1 or NaN, from `paint`.
    alpha : float
        Share of the colour.
    apart : bool
        Draw a thin line between different colours too, not only around all of them.

    Returns
    -------
    picture : array (h, w, 3)
        In 0..1; the tissue itself where `painted` is NaN.
    grey : float
        Typical grey beneath the colours, for `seen`.
    """
    picture = thumbnail / 255.0
    inside = ~np.isnan(painted[..., 0])
    grey = _DARKEST + (1 - _DARKEST) * (picture[inside] @ _GREY)  # (k,): only of what is painted on
    picture[inside] = alpha * painted[inside] + (1 - alpha) * grey[:, None]
    picture[border(painted if apart else np.where(inside, 1.0, np.nan)[..., None])] = _LINE
    return picture, float(np.median(grey)) if grey.size else 1.0


def outline(picture: NDArray[np.float64], tiles: Sequence[Tile], which: ArrayLike, downsample: float) -> None:
    """Draw a thin line around those of `tiles` that have no colour: `which` (n,)."""
    edge = border(paint(tiles, np.where(np.asarray(which)[:, None], 1.0, np.nan), picture.shape, downsample))
    picture[edge] = _PALE


def seen(colours: ArrayLike, grey: float, alpha: float) -> NDArray[np.float64]:
    """Colours (n, 3) as they look on tissue of that grey: what a legend has to show."""
    return alpha * np.asarray(colours, np.float64) + (1 - alpha) * grey


def border(painted: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Pixels (h, w) whose right or lower neighbour, or whose left or upper unpainted one, differs from them."""
    colour = np.nan_to_num(painted, nan=-1.0)
    edge = np.zeros(colour.shape[:2], bool)
    edge[:, :-1] |= (colour[:, 1:] != colour[:, :-1]).any(axis=2)
    edge[:-1] |= (colour[1:] != colour[:-1]).any(axis=2)
    inside = colour[..., 0] >= 0
    first = np.zeros_like(edge)
    first[:, 1:] |= inside[:, 1:] & ~inside[:, :-1]
    first[1:] |= inside[1:] & ~inside[:-1]
    return (edge | first) & inside


def _xs(tiles: Sequence[Tile]) -> NDArray[np.float64]:
    return np.array([tile.x_px for tile in tiles])


def _ys(tiles: Sequence[Tile]) -> NDArray[np.float64]:
    return np.array([tile.y_px for tile in tiles])


def _rows(tiles: Sequence[Tile]) -> NDArray[np.float64]:
    return np.array([tile.row for tile in tiles], np.float64)


def _cols(tiles: Sequence[Tile]) -> NDArray[np.float64]:
    return np.array([tile.col for tile in tiles], np.float64)
