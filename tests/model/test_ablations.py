"""Every setting of the model changes what it should, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.posterior import Posterior
from hmgdm_plugin.schema.settings import AutoencoderSettings, DiffusionSettings


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def restored(model: HMGDM, batch) -> torch.Tensor:
    vertex, _, _ = model.restore(batch, model.draw(batch, seeded()))
    return vertex.correction.detach()


@pytest.mark.parametrize("position", [True, False])
def test_position_decides_whether_places_matter(graphs, model_of, position):
    model, batch = model_of(position=position), graphs([9, 6])
    moved = replace(batch, pos=batch.pos.flip(0), edge_pos=batch.edge_pos.flip(0))
    assert torch.equal(model.embed(batch).pooled(), model.embed(moved).pooled()) != position
    assert torch.equal(restored(model, batch), restored(model, moved)) != position


@pytest.mark.parametrize("edges", [True, False])
def test_edges_decides_whether_what_contacts_look_like_matters(graphs, model_of, edges):
    model, batch = model_of(edges=edges), graphs([9, 6])
    other = replace(batch, edge_attr=batch.edge_attr + 1)
    assert torch.equal(model.embed(batch).vertex_mean(), model.embed(other).vertex_mean()) != edges
    assert (model(batch, seeded())["edge"] > 0) == edges


@pytest.mark.parametrize("edges", [True, False])
def test_contacts_carry_messages_with_or_without_edge_stream(graphs, model_of, edges):
    model, batch = model_of(edges=edges), graphs([9])
    changed = batch.x.clone()
    changed[0] += 1
    before, after = model.embed(batch).x, model.embed(replace(batch, x=changed)).x
    ends = batch.edge_index[:, (batch.edge_index == 0).any(0)].unique()
    assert not torch.isclose(before[ends], after[ends]).all(1).any()


def test_without_skips_the_decoder_sees_the_last_level_only(graphs, model_of):
    batch = graphs([9, 6])
    seen = {}
    for skips in (True, False):
        model = model_of(skips=skips, layers=2)
        draw = model.draw(batch, seeded())
        kept = model.encoder.forward

        def first_level_changed(*arguments, kept=kept):
            encoded = kept(*arguments)
            encoded.x[0] = encoded.x[0] + torch.linspace(0, 1, encoded.x[0].shape[1])  # a norm takes equal ones away
            return encoded

        before = model.restore(batch, draw)[0].correction
        model.encoder.forward = first_level_changed
        seen[skips] = torch.equal(before, model.restore(batch, draw)[0].correction)
    assert seen == {True: False, False: True}


@pytest.mark.parametrize("ratio", [0.3, 0.8])
def test_mask_ratios_are_apart_for_vertices_and_edges(graphs, model_of, ratio):
    batch = graphs([20, 20])
    draw = model_of(vertex_mask_ratio=ratio, edge_mask_ratio=0.5).draw(batch, seeded())
    assert int(draw.hide_vertices.sum()) == 2 * int(20 * ratio)
    for graph in (0, 1):
        own = draw.hide_edges[batch.edge_batch == graph]
        assert int(own.sum()) == len(own) // 2


@pytest.mark.parametrize(("channels", "length"), [(16, 256), (192, 3072)])
def test_latents_of_both_published_lengths_train_stage_two(graphs, channels, length):
    assert EntityAutoencoder(AutoencoderSettings(latent_channels=channels, channels=8), 32).latent_dim == length
    batch = graphs([6, 5], dv=length, de=length)
    model = HMGDM(DiffusionSettings(hidden=16, heads=2), (length,), (length,))
    losses = model(batch, seeded())
    losses["total"].backward()
    assert losses["total"].isfinite()
    assert model.embed(batch).pooled().shape == (2, 32)


def test_the_kl_of_stage_two_is_paid_only_where_it_is_asked_for(graphs, model_of):
    batch = graphs([9, 6])
    models = (model_of(kl_weight=weight) for weight in (0.0, 0.5))
    free, paid = ({name: value.item() for name, value in model(batch, seeded()).items()} for model in models)
    assert free["kl"] == 0
    assert paid["total"] == pytest.approx(0.5 * (paid["vertex"] + paid["edge"] + paid["kl"]), rel=1e-5)


def test_the_posterior_has_a_spread_of_its_own_that_may_be_small():
    torch.manual_seed(0)
    posterior, rows, owner = Posterior(8, edges=False), torch.randn(400, 8), torch.zeros(400, dtype=torch.long)
    sample, _ = posterior.vertex(rows, owner, 1, seeded())
    spread = (sample - posterior.vertex.mean(rows)).std()
    assert 0.1 < spread < 0.2  # log-variance -4, whatever the mean
    _, kl = posterior.vertex(rows, owner, 1, seeded())
    kl.backward()
    assert all(weight.grad.abs().sum() > 0 for weight in posterior.vertex.parameters())
