"""The whole graph of a tile: fields, frames, bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.descriptors import NAMES
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.zoo.vector import synthetic_tile

SETTINGS = GraphSettings()


@pytest.fixture(name="tile", scope="module")
def _tile():
    return Tile(1000.5, 2000.25, 512.0, 256, 0.5)


def test_fields_are_as_the_contract_says(tile):
    graph, labels = build(synthetic_tile(256), tile, "case", SETTINGS)
    n, m = graph.num_nodes, graph.edge_index.shape[1]
    assert labels.max() + 1 == n
    assert graph.x.shape == (n, 4, 32, 32)
    assert graph.edge_attr.shape == (m, 4, 32, 32)
    assert (graph.desc.shape, graph.edge_desc.shape) == ((n, len(NAMES)), (m, len(NAMES)))
    assert (graph.edge_index[0] < graph.edge_index[1]).all()
    assert int(graph.edge_index.max()) < n
    assert torch.isfinite(graph.desc.float()).all()
    assert torch.isfinite(graph.edge_desc.float()).all()
    assert float(graph.area.sum()) == pytest.approx(1, abs=1e-5)
    assert 20 <= n <= 80


def test_positions_are_level_0_pixels(tile):
    graph, labels = build(synthetic_tile(256), tile, "case", SETTINGS)
    y, x = np.argwhere(labels == 3).mean(0) + 0.5
    assert graph.pos[3].tolist() == pytest.approx([1000.5 + 2 * x, 2000.25 + 2 * y], abs=0.01)


def test_01_the_same_tile_gives_the_same_bits(tile):
    first, second = (build(synthetic_tile(256), tile, "case", SETTINGS)[0] for _ in range(2))
    for (key, one), (_, other) in zip(first.tensors(), second.tensors(), strict=True):
        assert torch.equal(one, other), key


@pytest.mark.parametrize("value", [0, 255])
def test_an_even_tile_is_still_a_graph(tile, value):
    graph, _ = build(np.full((256, 256, 3), value, np.uint8), tile, "glass", SETTINGS)
    assert graph.num_nodes >= SETTINGS.min_vertices
    assert torch.isfinite(graph.desc.float()).all()


def test_noise_is_still_a_graph(tile):
    rgb = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    graph, labels = build(rgb, tile, "noise", SETTINGS)
    assert np.bincount(labels.ravel()).min() >= SETTINGS.min_area_px
    assert graph.edge_index.shape[1] > 0


def test_graphs_batch(tile):
    graph = build(synthetic_tile(256), tile, "case", SETTINGS)[0]
    batch = batched([graph, graph])
    assert batch.edge_index[:, graph.edge_index.shape[1] :].equal(graph.edge_index + graph.num_nodes)
    assert batch.tile.shape == (2, 3)


def test_real_tissue_has_20_to_90_entities(shared_data: Path):
    from hmgdm_plugin.slide.reader import open_slide

    image = sorted((shared_data / "nuc_tnbc" / "images").glob("*.png"))[0]
    with open_slide(image, 0.25) as slide:
        rgb = slide.read(0, 0, 512, 256)
    assert 20 <= build(rgb, Tile(0, 0, 512, 256, 0.5), "tnbc", SETTINGS)[0].num_nodes <= 90
