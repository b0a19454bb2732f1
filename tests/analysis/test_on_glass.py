"""A tile that is half glass, or half beyond the slide, tells of its tissue what a whole one tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.analysis.answers import answer, chosen
from hmgdm_plugin.analysis.encode import EncodedTile, encode_tiles
from hmgdm_plugin.analysis.nuclei import as_learnt
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tissue import find_tissue
from hmgdm_plugin.zoo.load import LoadedModel, load

SIDE = 256


@pytest.fixture(scope="module", name="model")
def _model() -> LoadedModel:
    return load("hmgdm-small")


def _encoded(path: Path, model: LoadedModel, knows: bool) -> EncodedTile:
    tile, events = Tile(0, 0, SIDE, SIDE, 0.5), Events(quiet=True)
    with open_slide(path, 0.5) as slide:
        nuclei, tissue = as_learnt(model.card, slide, [tile], events), find_tissue(slide) if knows else None
        return next(encode_tiles(slide, [tile], model, events, 1, nuclei=nuclei, tissue=tissue))


def test_density_at_the_edge_is_that_of_the_tissue(
    model: LoadedModel, stained: NDArray[np.uint8], tmp_path: Path
) -> None:
    half = stained[150 : 150 + SIDE, 300 : 300 + SIDE // 2]
    pixels = np.concatenate([half, half[:, ::-1]], axis=1)  # both halves hold the same
    whole, cut, glass = (tmp_path / name for name in ("whole.png", "cut.png", "glass.png"))
    Image.fromarray(pixels).save(whole)
    Image.fromarray(half).save(cut)
    beside = np.full((SIDE, 2 * SIDE, 3), (243, 242, 244), np.uint8)  # wider than a hole in tissue
    beside[:, : SIDE // 2] = half
    Image.fromarray(beside).save(glass)
    heads, shown = chosen(model.card, (), "nuclear-density")

    def density(path: Path, knows: bool) -> float:
        return float(answer(_encoded(path, model, knows), model, heads, shown).values["nuclear-density"][0])

    expected = density(whole, True)
    assert expected == density(whole, False), "a tile full of tissue is read as ever"
    for path in (cut, glass):
        assert 0.5 < density(path, True) / expected < 2
        assert density(path, False) / expected < 0.5, "what this is there for"


def test_what_is_read_out_sums_to_one_and_holds_no_glass(
    model: LoadedModel, stained: NDArray[np.uint8], tmp_path: Path
) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(stained[150 : 150 + SIDE, 300 : 300 + SIDE // 2]).save(path)
    tile = _encoded(path, model, True)
    beyond = (tile.latent.pos[:, 0] > 0.55) & (tile.latent.kind == 0)
    assert beyond.any()
    assert float(tile.latent.weight()[beyond].sum()) == 0
    assert float(tile.latent.weight().sum()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(tile.latent.tissue, torch.tensor([0.5]), atol=0.01, rtol=0)
    assert float(tile.graph.area.sum()) == pytest.approx(1, abs=1e-5)  # the graph itself tells of the whole tile
