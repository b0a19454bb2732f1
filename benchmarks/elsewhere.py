"""Nuclear density on a laboratory that nothing learnt from: what is said, what is counted, and which input says it.

    python -m benchmarks.elsewhere TILES.csv [--model hmgdm-small] [--every 2]

TILES.csv is that of `python -m benchmarks.tiles TILES.csv --sources crchisto tnbc monuseg`. Of CRCHisto neither model
nor detector saw anything; the other two, which both learnt from, stand beside it to compare the inputs. Tiles with
fewer than LEAST nuclei/mm2 are left out of the ratios.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hmgdm_plugin.analysis.labelled import encoded_tiles
from hmgdm_plugin.model.heads import GatedHead
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.training.heads import Tokens
from hmgdm_plugin.training.labelled import read_csv
from hmgdm_plugin.zoo.load import load

HEAD = "nuclear-density"
LEAST = 500.0
QUARTERS = (0.25, 0.5, 0.75)
Floats = NDArray[np.float64]


def inputs(head: GatedHead, tokens: Tokens) -> dict[str, Floats]:
    """What each kind of input adds to the logarithm of the answer, for each tile (T,)."""
    pooled = head.pool(tokens.rows, tokens.vertices)
    parts = (pooled.rows() * head.linear.weight[0] * head.target_std).double().numpy()
    means, amounts = pooled.mean.shape[1] * head.kinds, pooled.amounts.shape[1]
    cuts = (0, means // 2, means, means + amounts)
    names = ("superpixels", "nuclei", "number and cover")
    return {name: parts[:, low:high].sum(1) for name, low, high in zip(names, cuts, cuts[1:], strict=False)}


def quartiles(values: Floats) -> str:
    """Median and the two quartiles."""
    low, median, high = np.quantile(values, QUARTERS)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Nuclear density on a laboratory that nothing learnt from.")
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--every", type=int, default=2, help="take every so-manieth tile of a source")
    asked = parser.parse_args()
    model, tiles = load(asked.model), read_csv(asked.tiles)
    head = model.heads[HEAD]
    assert isinstance(head, GatedHead)
    print("| source | tiles | head / true | counted / true | superpixels | nuclei | number and cover |")
    print("|---|---|---|---|---|---|---|")
    for source in dict.fromkeys(tile.source for tile in tiles):
        own = [tile for tile in tiles if tile.source == source][:: asked.every]
        truth = np.array([float(tile.labels.get("density", np.nan)) for tile in own])
        encoded = list(encoded_tiles(own, model, Events(quiet=True)))
        tokens = Tokens.of([(tile.tokens, tile.latent) for tile in encoded], model.encoder.kinds)
        side_mm = model.card.graph.tile_px * model.card.graph.mpp / 1000
        with torch.no_grad():
            said = tokens.ask(head).value[:, 0].double().numpy()
            counted = tokens.vertices.amounts(model.encoder.kinds)[:, 0].expm1().double().numpy() / side_mm**2
            added = inputs(head, tokens)
        use = truth >= LEAST  # never so where the label is missing
        ratios = [quartiles(each[use] / truth[use]) for each in (said, counted)]
        print(f"| {source} | {use.sum()} | {' | '.join([*ratios, *(quartiles(a[use]) for a in added.values())])} |")


if __name__ == "__main__":
    main()
