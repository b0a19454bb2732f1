"""How well superpixels keep to nuclei: boundary recall and undersegmentation error, beside scikit-image's SLIC.

    python -m benchmarks.superpixels [--tiles 60]

Tiles of 256 px at 0.5 microns per pixel: the images of MoNuSeg with true instances and those of TNBC, the mask being
nuclei against everything else. Boundary recall is the share of the mask's boundary pixels that have a superpixel's
boundary within 2 px (Martin et al., 2004); undersegmentation error the share of the tile that superpixels put on the
wrong side (Neubert and Protzel, 2012). scikit-image gets the same blur and compactness and as many superpixels.
Intervals: patients drawn with replacement.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries, slic

from hmgdm_plugin.graph.build import partition
from hmgdm_plugin.graph.colour import planes_of
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.intervals import interval, paired, resamples
from hmgdm_plugin.training.labelled import data_root, rows_of

SIDE_PX, NEAR_PX = 256, 2
WAYS = {"merged, as the models see them": GraphSettings(), "before merging": GraphSettings(merge_threshold=0.0)}
Labels = NDArray[np.integer]


def tiles(root: Path) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_], str]]:
    """Image, mask of the nuclei, and patient: the upper left of each image at 0.5 microns per pixel."""
    for source in ("nuc_monuseg_train", "nuc_tnbc"):
        for row in rows_of(root / source / "index.csv"):
            if row.get("annotation", "instances") != "instances":
                continue
            image = root / source / "images" / row["file"]
            nuclei = np.load(root / source / "labels" / f"{image.stem}.npz", allow_pickle=False)["label"]
            with open_slide(image, 0.25) as slide:
                rgb = slide.read(0, 0, 2 * SIDE_PX, SIDE_PX)
            yield np.ascontiguousarray(rgb), nuclei[: 2 * SIDE_PX : 2, : 2 * SIDE_PX : 2] > 0, row["patient"]


def boundary_recall(labels: Labels, mask: NDArray[np.bool_]) -> float:
    """Share of the mask's boundary that has a boundary of `labels` within NEAR_PX."""
    truth = find_boundaries(mask, mode="inner")
    near = ndimage.binary_dilation(find_boundaries(labels), np.ones((2 * NEAR_PX + 1,) * 2, bool))
    return float(near[truth].mean())


def undersegmentation_error(labels: Labels, mask: NDArray[np.bool_]) -> float:
    """Share of the tile on the wrong side: of each superpixel the smaller part, inside or outside of the mask."""
    inside = np.bincount(labels.ravel(), mask.ravel())
    return float(np.minimum(inside, np.bincount(labels.ravel()) - inside).sum() / mask.size)


def theirs(rgb: NDArray[np.uint8], count: int, settings: GraphSettings) -> Labels:
    """scikit-image's SLIC with as near to `count` superpixels as asking for a few more or less brings it."""
    found = [
        slic(rgb, asked, compactness=settings.compactness, sigma=settings.blur_sigma_px, start_label=0)
        for asked in range(max(count - 12, 2), count + 15, 3)
    ]
    return min(found, key=lambda labels: abs(int(labels.max()) + 1 - count))


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge superpixels by masks of nuclei.")
    parser.add_argument("--tiles", type=int, default=60, help="at most so many")
    asked = parser.parse_args()
    found = [tile for tile in tiles(data_root()) if tile[1].any()]
    found = found[:: max(len(found) // asked.tiles, 1)]
    draws = resamples([patient for *_, patient in found])
    patients = len({patient for *_, patient in found})
    print(f"| {len(found)} tiles of {patients} patients | superpixels | ours | scikit-image | difference |")
    print("|---|---|---|---|---|")
    for way, settings in WAYS.items():
        both = []
        for rgb, _, _ in found:
            labels, count = partition(rgb, planes_of(rgb), settings)
            both.append((labels, theirs(rgb, count, settings)))
        counts = "{:.0f} / {:.0f}".format(*np.mean([[a.max() + 1, b.max() + 1] for a, b in both], axis=0))
        for name, judge in (("boundary recall", boundary_recall), ("undersegmentation error", undersegmentation_error)):
            values = np.array(
                [[judge(labels, mask) for labels in pair] for pair, (_, mask, _) in zip(both, found, strict=True)]
            )
            own, other = (draws @ values / draws.sum(axis=1, keepdims=True)).T
            print(f"| {name}, {way} | {counts} | {interval(own)} | {interval(other)} | {paired(own, other)} |")


if __name__ == "__main__":
    main()
