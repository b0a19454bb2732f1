"""Shards: what is written is read again, graph by graph and as batches."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.descriptors import NAMES
from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.settings import AutoencoderSettings, GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.training.shards import Shards, write_latents, write_shard
from hmgdm_plugin.zoo.vector import synthetic_tile

TILE = Tile(10.0, 20.0, 128.0, 128, 0.5)


@pytest.fixture(name="graphs", scope="module")
def _graphs():
    whole = synthetic_tile(256)
    settings = GraphSettings(segments=16)
    return [build(whole[y : y + 128, x : x + 128], TILE, "s", settings)[0] for y in (0, 128) for x in (0, 128)]


def test_graphs_come_back_bit_for_bit(graphs, tmp_path):
    write_shard(tmp_path / "graphs-0.safetensors", graphs[:3], ["a", "b", "c"])
    write_shard(tmp_path / "graphs-1.safetensors", graphs[3:], ["d"])
    shards = Shards(tmp_path, "graphs-*.safetensors")
    assert (len(shards), shards.patients) == (4, ["a", "b", "c", "d"])
    for k, graph in enumerate(graphs):
        read = shards.graph(k)
        for key in ("x", "desc", "pos", "area", "kind", "edge_attr", "edge_desc", "edge_index", "tile"):
            assert torch.equal(read[key], graph[key]), key


def test_windows_are_windows_of_that_graph(graphs, tmp_path):
    write_shard(tmp_path / "graphs-0.safetensors", graphs, ["a"] * 4)
    some = Shards(tmp_path, "graphs-*.safetensors").windows(2, 6, np.random.default_rng(0))
    own = {w.numpy().tobytes() for w in (*graphs[2].x, *graphs[2].edge_attr)}
    assert len(some) == 6
    assert all(w.numpy().tobytes() in own for w in some)


def test_latents_batch_as_the_network_gave_them(graphs, tmp_path):
    features = EntityFeatures(EntityAutoencoder(AutoencoderSettings(channels=8, latent_channels=2)), len(NAMES), "both")
    batch = features(Batch.from_data_list(graphs))
    write_latents(tmp_path / "latents-0.safetensors", batch, ["a"] * 4)
    read = Shards(tmp_path, "latents-*.safetensors").latents([0, 1, 2, 3])
    assert torch.equal(read.edge_index, batch.edge_index)
    assert torch.equal(read.batch, batch.batch)
    assert torch.equal(read.edge_batch, batch.edge_batch)
    assert torch.allclose(read.x, batch.x, atol=5e-3)
    assert torch.equal(read.area, batch.area)


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no graphs"):
        Shards(tmp_path, "graphs-*.safetensors")
