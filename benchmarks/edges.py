"""What nuclear density says of a tile that lies partly beyond the slide, with and without its tissue in mind.

    python -m benchmarks.edges [--model hmgdm-small]

Tiles of the 13 MoNuSeg images with true nuclei, moved over the right edge until only a part of them shows tissue; the
truth is the density of the nuclei that are left, per square millimetre of image. The model and its detector learnt from
these images, so this judges how an answer changes at an edge, not how good it is on other patients.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.squares import MPP, SIZE_PX
from benchmarks.tiles import nucleus_labels
from hmgdm_plugin.analysis.answers import answer, chosen
from hmgdm_plugin.analysis.encode import encode_tiles
from hmgdm_plugin.analysis.nuclei import as_learnt
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tissue import find_tissue
from hmgdm_plugin.training.labelled import data_root, rows_of
from hmgdm_plugin.zoo.load import LoadedModel, load

SHARES = (1.0, 0.75, 0.5, 0.3)
HEAD = "nuclear-density"
IMAGE_MPP = 0.25


def ratios(model: LoadedModel, image: Path, labels: Path) -> Iterator[tuple[float, float, float]]:
    """Share of a tile that lies on the image, and the density said of it over the true one: as a whole, on tissue."""
    heads, shown = chosen(model.card, (HEAD,), HEAD)
    truth, side, events = nucleus_labels(labels, IMAGE_MPP), SIZE_PX * MPP / IMAGE_MPP, Events(quiet=True)
    with open_slide(image, IMAGE_MPP) as slide:
        width, height = slide.frame.width_px, slide.frame.height_px
        places = [(share, y) for share in SHARES for y in (0.0, height - side)]
        tiles = [Tile(width - side * share, y, side, SIZE_PX, MPP) for share, y in places]
        nuclei, tissue = as_learnt(model.card, slide, tiles, events), find_tissue(slide)
        said = [
            [
                float(answer(tile, model, heads, shown).values[HEAD][0])
                for tile in encode_tiles(slide, tiles, model, events, 1, nuclei=nuclei, tissue=known)
            ]
            for known in (None, tissue)
        ]
    for (share, _), tile, whole, own in zip(places, tiles, *said, strict=True):
        true = float(truth(tile.x_px, tile.y_px, side)["density"])
        if true:
            yield share, whole / true, own / true


def main() -> None:
    parser = argparse.ArgumentParser(description="Nuclear density of tiles that lie partly beyond the slide.")
    parser.add_argument("--model", default="hmgdm-small")
    model, folder = load(parser.parse_args().model), data_root() / "nuc_monuseg_train"
    files = [Path(row["file"]) for row in rows_of(folder / "index.csv") if row["annotation"] == "instances"]
    found = np.array(
        [
            row
            for file in files
            for row in ratios(model, folder / "images" / file, folder / "labels" / f"{file.stem}.npz")
        ]
    )
    print("| part of the tile on the slide | tiles | said / true, whole tile | its tissue |\n|---|---|---|---|")
    for share in SHARES:
        own = found[found[:, 0] == share, 1:]
        cells = [
            f"{middle:.2f} ({low:.2f} to {high:.2f})"
            for low, middle, high in np.quantile(own, [0.1, 0.5, 0.9], axis=0).T
        ]
        print(f"| {share:.0%} | {len(own)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
