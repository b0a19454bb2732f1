"""Shards: what is written is read again, graph by graph and as batches."""

import numpy as np
import pytest
import torch

from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.descriptors import NAMES
from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.graph import batched
from hmgdm_plugin.schema.settings import AutoencoderSettings, GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.training import shards as module
from hmgdm_plugin.training.shards import Shards, write_index, write_latents, write_shard
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
    assert [shards.patient(k) for k in range(len(shards))] == ["a", "b", "c", "d"]
    for k, graph in enumerate(graphs):
        read = shards.graph(k)
        for key in ("x", "desc", "pos", "area", "kind", "edge_attr", "edge_desc", "edge_index", "tile"):
            assert torch.equal(getattr(read, key), getattr(graph, key)), key


def test_windows_are_windows_of_that_graph(graphs, tmp_path):
    write_shard(tmp_path / "graphs-0.safetensors", graphs, ["a"] * 4)
    some = Shards(tmp_path, "graphs-*.safetensors").windows(2, 6, np.random.default_rng(0))
    own = {w.numpy().tobytes() for w in (*graphs[2].x, *graphs[2].edge_attr)}
    assert len(some) == 6
    assert all(w.numpy().tobytes() in own for w in some)


def test_latents_batch_as_the_network_gave_them(graphs, tmp_path):
    features = EntityFeatures(EntityAutoencoder(AutoencoderSettings(channels=8, latent_channels=2)), len(NAMES), "both")
    batch = features(batched(graphs))
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


def test_an_index_spares_looking_at_the_files(corpus, monkeypatch):
    folder = corpus([3, 5], [4, 2, 6], [7])
    scanned = Shards(folder, "latents-*.safetensors")
    monkeypatch.setattr(module, "_counted", lambda files: pytest.fail("files were counted at opening"))
    indexed = Shards(folder, "latents-*.safetensors")
    assert indexed.first.tolist() == scanned.first.tolist() == [0, 2, 5, 6]
    assert (len(indexed), indexed.files, indexed.entities) == (6, 3, 2 * 27 - 6)
    assert [indexed.where(n)[1] for n in range(6)] == [0, 1, 0, 1, 2, 0]
    assert indexed.sizes(1).tolist() == [7, 3, 11]
    assert indexed.latents([4, 0]).num_graphs == 2


def test_an_index_follows_the_shards(corpus):
    folder = corpus([3, 5])
    corpus([3, 5], [4])
    assert len(Shards(folder, "latents-*.safetensors")) == 3
    (folder / "index-of-latents-all.safetensors").unlink()
    assert len(Shards(folder, "latents-*.safetensors")) == 3
    write_index(folder, "nothing-*.safetensors")
    with pytest.raises(InputError, match="no nothing"):
        Shards(folder, "nothing-*.safetensors")


def test_only_so_many_shards_are_open(corpus, monkeypatch):
    monkeypatch.setattr(module, "OPEN_SHARDS", 2)
    shards = Shards(corpus([3], [4], [5], [6]), "latents-*.safetensors")
    sizes = [len(shards.latents([n]).x) for n in (0, 1, 2, 3, 0, 3)]
    assert sizes == [3, 4, 5, 6, 3, 6]
    assert len(shards._open) == 2
