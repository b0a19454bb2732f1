"""Where the tissue is: a mask from a thumbnail, by what stains take out of the light.

Haematoxylin and eosin both take most from green. Glass takes nothing; dust, shadow and the black around a scan take
all colours alike; so the measure is the geometric mean of two optical densities against the slide's own white: that
of green, and by how much it exceeds the least of red and blue. The threshold is fixed. Otsu's would follow the
contrast, not the glass: on 613 fields of tissue it lay at 0.033 to 1.1 and took pale stroma for glass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..schema.space import Tile
from .reader import Slide

FINEST_UM = 2.0  # per pixel of the thumbnail
BLUR_UM = 6.0  # gaps between cells are tissue, not glass
STAINED = 0.025  # glass of real slides: below 0.015; the palest stroma seen: 0.035
GREYEST = 0.06  # least excess of green over its density: dust, black ink; in tissue 0.1 and more
DARK = 60  # all channels darker: the border of a scan, black ink
BLUEST, YELLOWEST = 0.75, 0.6  # least density of green over red's and over blue's: ink, glue; in tissue 0.85 and 0.7
INKED = 0.15  # density of red or green from which on something counts as drawn or stained
TINT = 0.98  # glass may have this much less green than red and blue
SPECK_UM2, HOLE_UM2 = 50.0**2, 100.0**2


@dataclass(frozen=True)
class Tissue:
    """A mask of tissue over the whole of level 0.

    Parameters
    ----------
    mask : (h, w) bool
    downsample : float
        Level-0 pixels per pixel of the mask.
    foreign : (h, w) bool, optional
        Ink and what is black: pen, the border of a scan. Never tissue, and no nucleus lies there.
    """

    mask: NDArray[np.bool_]
    downsample: float
    foreign: NDArray[np.bool_] | None = None
    _sums: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        sums = np.zeros((self.mask.shape[0] + 1, self.mask.shape[1] + 1))
        sums[1:, 1:] = self.mask.cumsum(0, dtype=np.float64).cumsum(1)
        object.__setattr__(self, "_sums", sums)

    def fraction(self, x_px: float, y_px: float, side_px: float) -> float:
        """Share of tissue in that part of a square which lies on the slide; 0 where none does.

        Parameters
        ----------
        x_px, y_px, side_px : float
            Upper left corner and side in level-0 pixels.
        """
        height, width = self.mask.shape
        x0, x1 = (min(max(x / self.downsample, 0.0), width) for x in (x_px, x_px + side_px))
        y0, y1 = (min(max(y / self.downsample, 0.0), height) for y in (y_px, y_px + side_px))
        area = (x1 - x0) * (y1 - y0)
        if area <= 0.0:
            return 0.0
        inside = self._sum(x1, y1) - self._sum(x0, y1) - self._sum(x1, y0) + self._sum(x0, y0)
        return min(max(inside / area, 0.0), 1.0)

    def under(self, tile: Tile) -> NDArray[np.bool_]:
        """Whether the centre of each pixel (S, S) of a tile's image lies on tissue; none beyond the slide does."""
        return self._under(self.mask, tile)

    def foreign_under(self, tile: Tile) -> NDArray[np.bool_]:
        """The same for what is foreign."""
        return self._under(np.zeros_like(self.mask) if self.foreign is None else self.foreign, tile)

    def _under(self, mask: NDArray[np.bool_], tile: Tile) -> NDArray[np.bool_]:
        steps = (np.arange(tile.size_px) + 0.5) * tile.scale
        places = [np.floor((start + steps) / self.downsample).astype(np.int64) for start in (tile.y_px, tile.x_px)]
        inside = [(at >= 0) & (at < length) for at, length in zip(places, mask.shape, strict=True)]
        found = np.zeros((tile.size_px, tile.size_px), bool)
        found[np.ix_(*inside)] = mask[np.ix_(*(at[there] for at, there in zip(places, inside, strict=True)))]
        return found

    def _sum(self, x: float, y: float) -> float:
        """Tissue above and left of a point, exact between pixels."""
        column, row = min(int(x), self.mask.shape[1] - 1), min(int(y), self.mask.shape[0] - 1)
        u, v = x - column, y - row
        top, bottom = self._sums[row], self._sums[row + 1]
        above = (1 - u) * top[column] + u * top[column + 1]
        below = (1 - u) * bottom[column] + u * bottom[column + 1]
        return float((1 - v) * above + v * below)


def find_tissue(slide: Slide, max_side: int = 1024) -> Tissue:
    """Find the tissue of an H&E slide.

    Parameters
    ----------
    slide : Slide
    max_side : int
        Longest side of the mask.

    Returns
    -------
    Tissue
        Empty where there is none. Blue, green and black ink is left out; red ink passes for eosin.
    """
    frame = slide.frame
    side = round(max(frame.width_px, frame.height_px) * frame.mpp / FINEST_UM)
    thumbnail, downsample = slide.thumbnail(min(max(side, 1), max_side))
    mask, foreign = _told_apart(thumbnail, downsample * frame.mpp)
    return Tissue(mask, downsample, foreign)


def tissue_mask(rgb: NDArray[np.uint8], mpp: float) -> NDArray[np.bool_]:
    """Find the tissue of an H&E image.

    Parameters
    ----------
    rgb : (h, w, 3) uint8
    mpp : float
        Microns per pixel of `rgb`.

    Returns
    -------
    (h, w) bool
    """
    return _told_apart(rgb, mpp)[0]


def _told_apart(rgb: NDArray[np.uint8], mpp: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What is tissue, and what is ink or black; both (h, w)."""
    from scipy import ndimage

    sigma, light, (red, green, blue), excess = _densities(rgb, mpp)
    stained = np.sqrt(green * excess.clip(0)) > STAINED
    ink = stained & (green < BLUEST * red)
    if ink.any():  # its rim, mixed with glass, is as pale as tissue
        ink = ndimage.binary_dilation(ink, iterations=math.ceil(3 * sigma))
    foreign = ink | (light.max(2) <= DARK)
    mask = stained & (excess > GREYEST * green) & (green > YELLOWEST * blue) & ~foreign
    filled = ~_without_small(~mask, HOLE_UM2 / mpp**2)
    return _without_small(filled, SPECK_UM2 / mpp**2), foreign & ~filled


def ink_share(rgb: NDArray[np.uint8], mpp: float) -> float:
    """Share of blue and green ink in all colour on an H&E image (h, w, 3) of `mpp` microns per pixel, 0..1."""
    _, _, (red, green, _), _ = _densities(rgb, mpp)
    coloured = np.maximum(red, green) > INKED
    return float((coloured & (green < BLUEST * red)).sum() / max(coloured.sum(), 1))


def _densities(
    rgb: NDArray[np.uint8], mpp: float
) -> tuple[float, NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Blur in pixels, blurred light (h, w, 3), densities (3, h, w), 0 at glass, and green's excess over the least."""
    from scipy import ndimage

    sigma = max(0.7, BLUR_UM / mpp)
    light = ndimage.gaussian_filter(rgb.astype(np.float32), (sigma, sigma, 0))
    density = np.moveaxis(np.log((_white(rgb) + 1) / (light + 1)).clip(0), 2, 0)
    return sigma, light, density, density[1] - np.minimum(density[0], density[2])


def _white(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colour of the glass (3,): the brightest that is seen, with no less green than the stains leave.

    Pure white is what readers put where nothing was scanned; it says nothing about the glass.
    """
    pixels = rgb.reshape(-1, 3)
    scanned = pixels[pixels.min(1) < 255]
    red, green, blue = np.percentile(scanned if len(scanned) else pixels, 99, axis=0)
    return np.array([red, max(green, TINT * (red + blue) / 2), blue])


def _without_small(mask: NDArray[np.bool_], least_px: float) -> NDArray[np.bool_]:
    """`mask` without its connected parts of fewer than `least_px` pixels; one that fills the image stays."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    keep = np.bincount(labels.ravel(), minlength=count + 1) >= min(least_px, mask.size)
    keep[0] = False
    return keep[labels]
