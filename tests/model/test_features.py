"""Frozen stage 1: windows and descriptors to attributes of stage 2."""

import dataclasses

import numpy as np
import pytest
import torch

from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.graph import EntityGraph, batched
from hmgdm_plugin.schema.settings import AutoencoderSettings, DiffusionSettings

D = 5


def entity_graph(n: int, edges: list[tuple[int, int]], origin: float = 1000.0, seed: int = 0) -> EntityGraph:
    draw = np.random.default_rng(seed)
    m = len(edges)
    pos = torch.from_numpy(origin + 512 * draw.random((n, 2))).float()
    index = torch.tensor(edges, dtype=torch.long).view(-1, 2).t().contiguous()
    return EntityGraph(
        x=torch.from_numpy(draw.integers(0, 256, (n, 4, 16, 16), np.uint8)),
        desc=torch.from_numpy(draw.normal(3, 2, (n, D))).half(),
        edge_index=index,
        edge_attr=torch.from_numpy(draw.integers(0, 256, (m, 4, 16, 16), np.uint8)),
        edge_desc=torch.from_numpy(draw.normal(size=(m, D))).half(),
        pos=pos,
        edge_pos=pos[index].mean(0),
        area=torch.full((n,), 9.0),
        edge_area=torch.full((m,), 4.0),
        kind=torch.arange(n).to(torch.uint8) % 2,
        slide="made",
        tile=torch.tensor([[origin, origin, 512.0]]),
        mpp=0.5,
    )


@pytest.fixture
def some() -> list[EntityGraph]:
    return [
        entity_graph(4, [(0, 1), (1, 3), (2, 3)]),
        entity_graph(1, [], 9000.0, 1),
        entity_graph(3, [(0, 2)], 0.0, 2),
    ]


def features_of(features: str) -> EntityFeatures:
    return EntityFeatures(EntityAutoencoder(AutoencoderSettings(channels=8, latent_channels=2), 16), D, features)


@pytest.mark.parametrize(("features", "parts"), [("latent", (8,)), ("descriptors", (D,)), ("both", (8, D))])
def test_attributes_hold_the_parts_asked_for(some, features, parts):
    module = features_of(features)
    batch = module(batched(some))
    assert module.parts == parts
    assert batch.x.shape == (8, sum(parts))
    assert batch.edge_attr.shape == (4, sum(parts))
    assert batch.x.dtype == torch.float32
    blocks = dict(zip(features.replace("both", "latent descriptors").split(), batch.x.split(parts, 1), strict=True))
    if "latent" in blocks:
        torch.testing.assert_close(blocks["latent"][:4], module.autoencoder.encode(some[0].x))
    if "descriptors" in blocks:
        torch.testing.assert_close(blocks["descriptors"][:4], some[0].desc.float().clamp(-6, 6))


def test_graphs_keep_their_places_and_numbering(some):
    batch = features_of("both")(batched(some))
    assert batch.num_graphs == 3
    assert batch.batch.tolist() == [0] * 4 + [1] + [2] * 3
    assert batch.edge_batch.tolist() == [0, 0, 0, 2]
    assert batch.edge_index.tolist() == [[0, 1, 2, 5], [1, 3, 3, 7]]
    assert batch.kind.tolist() == [0, 1, 0, 1, 0, 0, 1, 0]
    assert batch.pos.min() >= 0
    assert batch.pos.max() <= 1
    torch.testing.assert_close(batch.pos[4], (some[1].pos[0] - 9000) / 512)
    torch.testing.assert_close(batch.edge_pos[0], batch.pos[:2].mean(0))


def test_descriptors_are_standardised_and_clamped(some):
    module = features_of("descriptors")
    desc = torch.randn(5000, D) * 7 + 3
    desc[:, 4] = 2.5
    module.fit_descriptors(desc, desc * 2)
    torch.testing.assert_close(module.desc_std, torch.tensor([7.0, 7, 7, 7, 1]), atol=0.3, rtol=0)
    torch.testing.assert_close(module.edge_desc_mean, torch.tensor([6.0, 6, 6, 6, 5]), atol=0.5, rtol=0)
    some[0].desc[0] = torch.tensor([1000.0, -1000, 3, 3, 2.5])
    row = module(batched(some)).x[0]
    assert row[:2].tolist() == [6, -6]
    assert row[2:].abs().max() < 0.1


def test_a_batch_where_no_graph_has_edges(some):
    batch = features_of("both")(batched([some[1], some[1]]))
    assert batch.edge_attr.shape == (0, 8 + D)
    model = HMGDM(DiffusionSettings(hidden=16), (8, D), (8, D))
    assert model.embed(batch).pooled().shape == (2, 32)


def test_03_stage_one_is_frozen_in_stage_two(some):
    module = features_of("both").train()
    model = HMGDM(DiffusionSettings(hidden=16), module.parts, module.parts)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    optimiser = torch.optim.AdamW([*model.parameters(), *module.parameters()], lr=0.1)
    model(module(batched(some)), torch.Generator().manual_seed(0))["total"].backward()
    optimiser.step()
    assert not module.autoencoder.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_moving_a_batch_keeps_indices_whole(some):
    batch = features_of("both")(batched(some)).to("cpu", torch.float64)
    assert {batch.x.dtype, batch.edge_attr.dtype, batch.pos.dtype, batch.edge_pos.dtype} == {torch.float64}
    assert {batch.edge_index.dtype, batch.batch.dtype, batch.edge_batch.dtype, batch.kind.dtype} == {torch.int64}


def test_blocks_of_attributes_start_with_equal_say():
    settings = DiffusionSettings(hidden=64)
    weight = HMGDM(settings, (256, 63), (256, 63)).encoder.vertex.attributes.weight.detach()
    assert float(weight[:, :256].square().sum() / weight[:, 256:].square().sum()) == pytest.approx(1, rel=0.05)


def _longer(desc: torch.Tensor) -> torch.Tensor:
    return torch.cat([desc, torch.full((len(desc), 2), 7.0).half()], 1)


def test_a_model_takes_the_descriptors_that_it_learnt_from(some):
    """Descriptors are only appended: a later version's graphs give an older model the same attributes."""
    module = features_of("descriptors")
    before = module(batched(some))
    more = [
        dataclasses.replace(graph, **{name: _longer(getattr(graph, name)) for name in ("desc", "edge_desc")})
        for graph in some
    ]
    after = module(batched(more))
    assert torch.equal(after.x, before.x)
    assert torch.equal(after.edge_attr, before.edge_attr)


def test_what_looks_past_an_entity_is_not_learnt_from(monkeypatch, some):
    """Numbers beside the attributes reach the tokens of their own vertex, and nothing else."""
    monkeypatch.setattr("hmgdm_plugin.model.features.OWN_DESCRIPTORS", D - 2)
    features = features_of("descriptors")
    assert (features.parts, features.beside) == ((D - 2,), 2)
    torch.manual_seed(0)
    settings = DiffusionSettings(hidden=16, heads=2, layers=2, readout=4, arrangement=2)
    model = HMGDM(settings, features.parts, features.parts, features.beside).eval()
    batch = features(batched(some))
    assert (batch.x.shape[1], batch.edge_attr.shape[1]) == (D, D - 2)
    other = dataclasses.replace(batch, x=torch.cat([batch.x[:, :-2], torch.full((len(batch.x), 2), torch.nan)], 1))
    losses, same = (model(each, torch.Generator().manual_seed(1)) for each in (batch, other))
    assert all(torch.equal(losses[name], same[name]) for name in losses)
    tokens, spoilt = (model.embed(each).tokens() for each in (batch, other))
    assert tokens.shape[1] == D + 4
    assert torch.equal(tokens[:, D - 2 : D], batch.x[:, -2:])
    known = [*range(D - 2), *range(D, D + 4)]
    assert torch.equal(tokens[:, known], spoilt[:, known])
