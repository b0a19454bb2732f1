"""Blocks: what an earlier run encoded is taken up bit for bit, and only where everything is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.analysis import blocks
from hmgdm_plugin.analysis.blocks import encoded_tiles
from hmgdm_plugin.analysis.encode import EncodedTile, encode_tiles
from hmgdm_plugin.analysis.placed import Placed
from hmgdm_plugin.analysis.plan import Plan, planned
from hmgdm_plugin.graph.nuclei import NucleusMap, burned
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.graph import NUCLEUS
from hmgdm_plugin.schema.options import EmbedOptions
from hmgdm_plugin.schema.run import block_file
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.zoo.load import LoadedModel, load

PER_BLOCK = 8


@pytest.fixture(name="plan")
def _plan(tmp_path: Path, stained: NDArray[np.uint8], model: LoadedModel) -> Iterator[Plan]:
    """Two blocks and a half."""
    path = tmp_path / "a.png"
    Image.fromarray(stained[:480, 220:604]).save(path)
    with open_slide(path, 0.5) as slide:
        plan = planned(slide, model, EmbedOptions(slides=(path,)), Events())
        assert len(plan.tiles) == 20
        yield plan


@pytest.fixture(name="model", scope="module")
def _model(saved_model: Path) -> LoadedModel:
    return load(saved_model)


@pytest.fixture(name="asked")
def _asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tiles the network was asked for, call by call; blocks are small."""
    calls: list[int] = []

    def counted(slide: Any, tiles: Any, *more: Any, **named: Any) -> Iterator[EncodedTile]:
        calls.append(len(tiles))
        return encode_tiles(slide, tiles, *more, **named)

    monkeypatch.setattr(blocks, "encode_tiles", counted)
    monkeypatch.setattr(blocks, "TILES_PER_BLOCK", PER_BLOCK)
    return calls


def _same(a: list[EncodedTile], b: list[EncodedTile]) -> None:
    assert [tile.tile for tile in a] == [tile.tile for tile in b]
    for one, other in zip(a, b, strict=True):
        for name in ("tokens", "pooled"):
            assert torch.equal(getattr(one, name), getattr(other, name))
        assert torch.equal(one.graph.pos, other.graph.pos)
        assert torch.equal(one.graph.kind, other.graph.kind)
        assert one.graph.kind.dtype == other.graph.kind.dtype
        assert torch.equal(one.latent.weight(), other.latent.weight())
        assert one.outlines is not None
        assert other.outlines is not None
        assert shapely.to_wkb(one.outlines).tolist() == shapely.to_wkb(other.outlines).tolist()


def test_a_slide_is_taken_up_where_it_was_left(
    plan: Plan, model: LoadedModel, asked: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    whole = list(encoded_tiles(plan, model, Events(), 1))
    first = encoded_tiles(plan, model, Events(), 1, folder)
    for _ in range(PER_BLOCK + 3):  # into the second block
        next(first)
    first.close()
    assert sorted(path.name for path in folder.iterdir()) == [block_file(0), block_file(1)]
    (folder / block_file(1)).unlink()
    _same(list(encoded_tiles(plan, model, Events(), 1, folder)), whole)
    _same(list(encoded_tiles(plan, model, Events(), 2, folder)), whole)
    assert asked == [20, 20, 12, 0], "every block once, also the last one that is not full"


def test_blocks_that_are_damaged_or_of_another_recipe_are_made_again(
    plan: Plan, model: LoadedModel, asked: list[int], tmp_path: Path
) -> None:
    whole = list(encoded_tiles(plan, model, Events(), 1, tmp_path / "w"))
    path = tmp_path / "w" / block_file(1)
    raw = path.read_bytes()
    for damaged in (raw[:100], b"", raw[:-1], bytes(8) + raw[8:]):
        path.write_bytes(damaged)
        _same(list(encoded_tiles(plan, model, Events(), 1, tmp_path / "w")), whole)
    assert asked == [20, 12, 12, 12, 12]
    list(encoded_tiles(plan, replace(model, digest="another"), Events(), 1, tmp_path / "w"))
    assert asked[-1] == 20
    list(encoded_tiles(replace(plan, tiles=plan.tiles[1:]), model, Events(), 1, tmp_path / "w"))
    assert asked[-1] == 19
    list(encoded_tiles(plan, model, Events(), 1, tmp_path / "w"))
    os.utime(plan.slide.path, ns=(1, 1))
    list(encoded_tiles(plan, model, Events(), 1, tmp_path / "w"))
    assert asked[-2:] == [20, 20], "somebody wrote to the slide"


class _Drawn:
    """One nucleus, in the middle of a tile; see `nuclei.Nuclei`."""

    def __init__(self, tile: Tile) -> None:
        x_px, y_px = tile.x_px + tile.side_px / 2, tile.y_px + tile.side_px / 2
        self._placed = Placed([np.array([shapely.box(x_px, y_px, x_px + 12, y_px + 12)])])

    def map(self, tile: Tile) -> NucleusMap:
        return burned(self._placed.within(tile), tile)

    def remarks(self, tiles: Sequence[Tile]) -> list[str]:
        return []

    def digest(self) -> str:
        return self._placed.digest()


def test_blocks_keep_nuclei_and_are_not_those_of_other_nuclei(
    plan: Plan, model: LoadedModel, asked: list[int], tmp_path: Path
) -> None:
    near = replace(plan, tiles=plan.tiles[:12], nuclei=_Drawn(plan.tiles[3]))
    whole = list(encoded_tiles(near, model, Events(), 1))
    assert [int((tile.graph.kind == NUCLEUS).sum()) for tile in whole[2:5]] == [0, 1, 0]
    _same(list(encoded_tiles(near, model, Events(), 1, tmp_path / "w")), whole)
    _same(list(encoded_tiles(near, model, Events(), 1, tmp_path / "w")), whole)
    list(encoded_tiles(replace(near, nuclei=_Drawn(plan.tiles[5])), model, Events(), 1, tmp_path / "w"))
    assert asked == [12, 12, 0, 12]
