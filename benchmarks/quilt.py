"""Textures of one patient's tissue, and fields of them as large as wanted, quilted from real patches.

Patches of the patient's images are grouped by k-means on their stain; a field is a lattice of random patches of one
group, turned and mirrored, blended over their margins. Every field has the same lattice of blended margins, so that a
seam says nothing of what was laid out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

PATCH_PX, MARGIN_PX, STEP_PX = 40, 8, 6
TEXTURES = 3
TYPICAL = 0.5  # share of a group's patches, those nearest to its centre, that are used
FEATHER_PX = 1.5

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]


class Textures:
    """Three textures of one patient, ordered by how much haematoxylin they hold: 0 least, 2 most.

    Parameters
    ----------
    images : sequence of (H, W, 3) uint8
        At the microns per pixel of the tiles.
    """

    def __init__(self, images: Sequence[Image], seed: int) -> None:
        from sklearn.cluster import KMeans

        pieces = [_patches(image) for image in images]
        described = np.concatenate([features for features, _ in pieces])
        patches = np.concatenate([own for _, own in pieces])
        scaled = (described - described.mean(0)) / described.std(0)
        found = KMeans(TEXTURES, n_init=4, random_state=seed).fit(scaled)
        distance = np.linalg.norm(scaled - found.cluster_centers_[found.labels_], axis=1)
        self.patches: list[Image] = []
        for label in np.argsort(found.cluster_centers_[:, 0], kind="stable"):
            own = np.flatnonzero(found.labels_ == label)
            typical = own[np.argsort(distance[own], kind="stable")]
            self.patches.append(patches[typical[: max(int(TYPICAL * len(own)), 1)]])

    def field(self, texture: int, side: int, rng: np.random.Generator) -> Floats:
        """A field (side, side, 3) of one texture, 0 to 255."""
        step = PATCH_PX - MARGIN_PX
        count = side // step + 2
        total, weight = np.zeros((count * step + MARGIN_PX,) * 2 + (3,)), np.zeros((count * step + MARGIN_PX,) * 2)
        window = _window()
        for y, x in np.ndindex(count, count):
            patch = np.rot90(self.patches[texture][rng.integers(len(self.patches[texture]))], rng.integers(4))
            patch = patch[:, ::-1] if rng.random() < 0.5 else patch
            box = np.s_[y * step : y * step + PATCH_PX, x * step : x * step + PATCH_PX]
            total[box] += window[..., None] * patch
            weight[box] += window
        first = rng.integers(0, step, size=2)
        box = np.s_[first[0] : first[0] + side, first[1] : first[1] + side]
        return total[box] / weight[box][..., None]

    def laid_out(self, layout: NDArray[np.uint8], textures: Sequence[int], rng: np.random.Generator) -> Image:
        """Picture of a layout whose label k stands for ``textures[k]``; borders are feathered alike everywhere."""
        shares = [gaussian_filter((layout == k).astype(np.float64), FEATHER_PX) for k in range(len(textures))]
        fields = [self.field(texture, len(layout), rng) for texture in textures]
        blended = sum(share[..., None] * field for share, field in zip(shares, fields, strict=True))
        return np.clip(np.round(blended), 0, 255).astype(np.uint8)


def _window() -> Floats:
    """Weight of a patch's pixels, rising over its margin."""
    ramp = np.minimum(np.arange(PATCH_PX) + 1, MARGIN_PX + 1) / (MARGIN_PX + 1)
    side = np.minimum(ramp, ramp[::-1])
    return np.outer(side, side)


def _patches(image: Image) -> tuple[Floats, Image]:
    """Stain of the patches of an image (n, 3), haematoxylin first, and the patches (n, 40, 40, 3)."""
    from skimage.color import rgb2hed

    hed = rgb2hed(image)
    grey = image.mean(axis=2) / 255
    planes = [hed[..., 0], hed[..., 1], grey]
    half = PATCH_PX // 2
    places = [np.arange(half, size - half + 1, STEP_PX) for size in image.shape[:2]]
    means = np.stack([uniform_filter(plane, PATCH_PX, mode="nearest")[np.ix_(*places)] for plane in planes], axis=-1)
    corners = [(y - half, x - half) for y in places[0] for x in places[1]]
    return means.reshape(-1, 3), np.stack([image[y : y + PATCH_PX, x : x + PATCH_PX] for y, x in corners])
