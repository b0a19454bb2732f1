"""Tiles with a mask that superpixels are judged by: nuclei against everything else, and tissue against glass.

Nuclei: all images of MoNuSeg (binary masks where true instances are absent), all of TNBC, and an image of histolytics
whose nuclei a model drew. Tissue: no drawn masks with pixels are at hand, so BreakHis, where its fat, lumina and tears
let the light through: glass is what is brighter than `GLASS` after a blur of 2 px.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.labelled import rows_of

SIDE_PX, FINE_MPP = 256, 0.25  # tiles are at twice that; masks are thinned, not averaged
GLASS = 215
Mask = NDArray[np.bool_]


class Masked(NamedTuple):
    """Pixels of a tile, its mask, and whose they are."""

    rgb: NDArray[np.uint8]
    mask: Mask
    patient: str


def nuclei(root: Path) -> Iterator[Masked]:
    """Tiles of 128 um with at least one nucleus: the corners of each image, or as many as fit side by side."""
    for image, mask, patient in _images(root):
        wide, side = mask.shape[0], 2 * SIDE_PX
        starts = np.linspace(0, wide - side, max(round(wide / side), 1)).astype(int).tolist()
        with open_slide(image, FINE_MPP) as slide:
            for y in starts:
                for x in starts:
                    rgb = np.ascontiguousarray(slide.read(x, y, side, SIDE_PX))
                    part = mask[y : y + side : 2, x : x + side : 2]
                    if part.any():
                        yield Masked(rgb, part, patient)


def _images(root: Path) -> Iterator[tuple[Path, Mask, str]]:
    """Image, mask of its nuclei, patient."""
    for source in ("nuc_monuseg_train", "nuc_tnbc"):
        for row in rows_of(root / source / "index.csv"):
            image, labels = root / source / "images" / row["file"], root / source / "labels"
            if row.get("annotation", "instances") == "instances":
                mask = np.load(labels / f"{image.stem}.npz", allow_pickle=False)["label"] > 0
            else:
                mask = np.asarray(Image.open(labels / f"{image.stem}_binary.png").convert("L")) > 127
            yield image, mask, row["patient"]
    drawn = root / "pypi_histolytics" / "hgsc_nest_inst_mask.npz"
    yield drawn.parent / "hgsc_nest.jpg", np.load(drawn, allow_pickle=False)["nuc_raster"] > 0, "hgsc-nest"


def tissue(root: Path, most: int = 8) -> Iterator[Masked]:
    """Tiles of BreakHis as they are, of which a tenth to nine tenths are glass; `most` of each patient."""
    taken: dict[str, int] = {}
    for row in rows_of(root / "cls_breakhis100x" / "labels.csv"):
        rgb = np.asarray(Image.open(root / "cls_breakhis100x" / "images" / row["file"]).convert("RGB"))
        mask = ndimage.gaussian_filter(rgb.mean(axis=2), 2.0) < GLASS
        for x in range(0, mask.shape[1] - SIDE_PX + 1, SIDE_PX):
            box = slice(0, SIDE_PX), slice(x, x + SIDE_PX)
            if 0.1 < mask[box].mean() < 0.9 and taken.get(row["patient"], 0) < most:
                taken[row["patient"]] = taken.get(row["patient"], 0) + 1
                yield Masked(np.ascontiguousarray(rgb[box]), mask[box], row["patient"])
