"""How well superpixels keep to nuclei and tissue: boundary recall, undersegmentation error, beside scikit-image's SLIC.

    python -m benchmarks.superpixels [--every 1]

Tiles of 256 px with the masks of `benchmarks.masks`. Boundary recall is the share of the mask's boundary pixels that
have a superpixel's boundary within 2 px (Martin et al., 2004); undersegmentation error the share of the tile that
superpixels put on the wrong side (Neubert and Protzel, 2012). scikit-image gets the same blur and compactness, and as
many superpixels: the number to ask for is searched per tile. Intervals: patients drawn with replacement.

Before anything else scikit-image stretches each image from its darkest to its brightest value, so that colours weigh
more and the same number of compactness means less. It is therefore judged twice: as called, and on our own colours.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries, slic

from benchmarks.masks import Mask, Masked, nuclei, tissue
from hmgdm_plugin.graph.build import partition
from hmgdm_plugin.graph.colour import planes_of
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.training.intervals import interval, paired, resamples
from hmgdm_plugin.training.labelled import data_root

NEAR_PX = 2
WAYS = {"before merging": GraphSettings(merge_threshold=0.0), "merged, as the models see them": GraphSettings()}
Labels = NDArray[np.integer]


def boundary_recall(labels: Labels, mask: Mask) -> float:
    """Share of the mask's boundary that has a boundary of `labels` within NEAR_PX."""
    truth = find_boundaries(mask, mode="inner")
    near = ndimage.binary_dilation(find_boundaries(labels), np.ones((2 * NEAR_PX + 1,) * 2, bool))
    return float(near[truth].mean())


def undersegmentation_error(labels: Labels, mask: Mask) -> float:
    """Share of the tile on the wrong side: of each superpixel the smaller part, inside or outside of the mask."""
    inside = np.bincount(labels.ravel(), mask.ravel())
    return float(np.minimum(inside, np.bincount(labels.ravel()) - inside).sum() / mask.size)


def theirs(rgb: NDArray[np.uint8], count: int, settings: GraphSettings) -> tuple[Labels, Labels]:
    """scikit-image's SLIC with as near to `count` superpixels as can be asked for: as called, and on our colours."""
    lab = planes_of(rgb)[:3].transpose(1, 2, 0).astype(float)
    sigma, compactness = settings.blur_sigma_px, settings.compactness
    within = compactness / float(np.ptp(lab))  # what is left of it, since the stretch divides the colours by as much

    def as_called(asked: int) -> Labels:
        return slic(rgb, asked, compactness=compactness, sigma=sigma, start_label=0)

    def on_ours(asked: int) -> Labels:
        return slic(lab, asked, compactness=within, sigma=sigma, start_label=0, convert2lab=False)

    return _with(count, as_called), _with(count, on_ours)


def _with(count: int, cut: Callable[[int], Labels]) -> Labels:
    """What `cut` gives with the number of superpixels nearest to `count`, by bisection."""
    low, high, found = 2, 4 * count, []
    while low <= high:
        asked = (low + high) // 2
        found.append(cut(asked))
        got = int(found[-1].max()) + 1
        if got == count:
            break
        low, high = (asked + 1, high) if got < count else (low, asked - 1)
    return min(found, key=lambda labels: abs(int(labels.max()) + 1 - count))


def rows(what: str, found: Sequence[Masked]) -> list[str]:
    """One row of the table for each way and measure."""
    draws = resamples([tile.patient for tile in found])
    title = f"{what}: {len(found)} tiles of {len({tile.patient for tile in found})} patients"
    table = []
    for way, settings in WAYS.items():
        cuts = []
        for tile in found:
            labels, count = partition(tile.rgb, planes_of(tile.rgb), settings)
            cuts.append((labels, *theirs(tile.rgb, count, settings)))
        counts = np.mean([[labels.max() + 1 for labels in three] for three in cuts], axis=0)
        for name, judge in (("boundary recall", boundary_recall), ("undersegmentation error", undersegmentation_error)):
            values = np.array(
                [[judge(labels, tile.mask) for labels in three] for three, tile in zip(cuts, found, strict=True)]
            )
            own, called, same = (draws @ values / draws.sum(axis=1, keepdims=True)).T
            cells = [name, " / ".join(f"{count:.0f}" for count in counts), interval(own)]
            cells += [f"{same[0]:.3f}", paired(own, same), f"{called[0]:.3f}", paired(own, called)]
            table.append(f"| {title}, {way} | " + " | ".join(map(str, cells)) + " |")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge superpixels by masks of nuclei and of tissue.")
    parser.add_argument("--every", type=int, default=1, help="every so manieth tile only")
    asked = parser.parse_args()
    print("| masks | measure | superpixels | ours | same colours | difference | as called | difference |")
    print("|---|---|---|---|---|---|---|---|")
    for what, tiles in (("nuclei", nuclei), ("tissue", tissue)):
        print("\n".join(rows(what, list(tiles(data_root()))[:: asked.every])), flush=True)


if __name__ == "__main__":
    main()
