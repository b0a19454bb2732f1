"""Whether tiles leave a trace in the nuclei of a slide: two tilings, two precisions.

    python -m benchmarks.nuclei_tilings [SLIDE] --tiles 1024 576

Nuclei of two searches are the same where their centres are: on the same pixel, or within 2 microns one to one.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from hmgdm_plugin.analysis.detect import Found
from hmgdm_plugin.analysis.detector import Search, detector, searched
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.slide.reader import Slide, open_slide
from hmgdm_plugin.training.labelled import data_root

NEAR_UM = 2.0
Points = NDArray[np.float64]


def search_of(slide: Slide, model: str, precision: str, tile_px: int | None = None) -> Search:
    """What `hmgdm nuclei` would look at, in tiles of another size where one is given."""
    found = detector(model, "cpu", precision, Events())
    found.stars.settings = found.card.detector.model_copy(update={"tile_px": tile_px or found.card.detector.tile_px})
    return searched(slide, found, None, Events())


def centres_of(search: Search) -> tuple[Points, Points]:
    """Grid places and centres in microns of all nuclei."""
    found: list[Found] = list(search.found(Events(), 2))
    mpp = search.slide.frame.mpp
    return np.concatenate([each.places for each in found]), mpp * np.concatenate([each.centres for each in found])


def alike(one: tuple[Points, Points], other: tuple[Points, Points]) -> tuple[int, int]:
    """How many nuclei have the same place in both, and how many have one to one a nucleus within NEAR_UM."""
    same = {tuple(place) for place in one[0].tolist()} & {tuple(place) for place in other[0].tolist()}
    there, back = cKDTree(other[1]).query(one[1]), cKDTree(one[1]).query(other[1])
    mutual = back[1][there[1]] == np.arange(len(one[1]))
    return len(same), int((mutual & (there[0] <= NEAR_UM)).sum())


def tilings(path: Path, model: str, sides: list[int]) -> Iterator[str]:
    """One line for each pair of searches."""
    found = {}
    with open_slide(path) as slide:
        for precision in ("float32", "bfloat16"):
            for side in sides:
                search = search_of(slide, model, precision, side)
                found[f"{precision}, {len(search.places)} tiles of {side} px"] = centres_of(search)
    yield "| one | other | nuclei | at the same pixel | within 2 µm |\n|---|---|---|---|---|"
    for one, other in combinations(found, 2):
        same, near = alike(found[one], found[other])
        yield f"| {one} | {other} | {len(found[one][0]):,} / {len(found[other][0]):,} | {same:,} | {near:,} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for traces of tiles.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--model", default="nuclei-stardist-he")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1024, 576])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for line in tilings(asked.slide, asked.model, asked.tiles):
        print(line, flush=True)


if __name__ == "__main__":
    main()
