"""What the encoder may see, and what must not change its answer (method, section 7, tests 8 to 11, 14)."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hmgdm_plugin.model.batch import LatentBatch, subgraph
from hmgdm_plugin.model.layout import Layout
from hmgdm_plugin.model.restored import Draw

SIZES = [12, 2, 1, 7, -3, 20, -1, 3]
ABLATIONS = [
    {},
    {"encoder": "plain"},
    {"edges": False},
    {"skips": False},
    {"position": False},
    {"schedule": "mask-only"},
    {"target": "step"},
    {"kl_weight": 1e-3},
    {"layers": 1},
    {"readout": 4, "arrangement": 2},
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoded(model, batch: LatentBatch, draw: Draw) -> list[Tensor]:
    layout = Layout.of(batch, draw.hide_vertices, draw.hide_edges, with_edges=model.settings.edges)
    levels = model.encode(batch, layout)
    return [*levels.x, *levels.f, *levels.gates]


def spoiled(batch: LatentBatch, draw: Draw, value: float | None) -> LatentBatch:
    """Hidden attributes replaced by `value`, or by noise."""
    fill = [
        torch.randn_like(a) * 100 if value is None else torch.full_like(a, value) for a in (batch.x, batch.edge_attr)
    ]
    x = torch.where(draw.hide_vertices[:, None], fill[0], batch.x)
    return replace(batch, x=x, edge_attr=torch.where(draw.hide_edges[:, None], fill[1], batch.edge_attr))


def shuffled(batch: LatentBatch) -> tuple[LatentBatch, Tensor, Tensor]:
    """Vertices and edges renumbered inside their graphs, half of the edges turned round."""
    v = (torch.rand(batch.x.shape[0], dtype=torch.float64, generator=seeded(1)) + batch.batch).argsort()
    e = (torch.rand(batch.edge_attr.shape[0], dtype=torch.float64, generator=seeded(2)) + batch.edge_batch).argsort()
    new_index = torch.empty_like(v)
    new_index[v] = torch.arange(v.numel())
    ends = new_index[batch.edge_index[:, e]]
    turned = torch.where(torch.rand(e.numel(), generator=seeded(3)) < 0.5, ends, ends.flip(0))
    other = replace(batch, x=batch.x[v], pos=batch.pos[v], kind=batch.kind[v], area=batch.area[v], edge_index=turned)
    return replace(other, edge_attr=batch.edge_attr[e], edge_pos=batch.edge_pos[e]), v, e


@pytest.mark.parametrize("settings", ABLATIONS)
@pytest.mark.parametrize("value", [float("nan"), None])
def test_08_encoder_is_blind_to_hidden_attributes(graphs, model_of, settings, value):
    model, batch = model_of(**settings), graphs(SIZES)
    draw = model.draw(batch, seeded())
    before, after = encoded(model, batch, draw), encoded(model, spoiled(batch, draw, value), draw)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(level.isfinite().all() for level in after)


def test_08_encoder_sees_visible_attributes(graphs, model_of):
    model, batch = model_of(), graphs(SIZES)
    draw = model.draw(batch, seeded())
    opposite = replace(draw, hide_vertices=~draw.hide_vertices, hide_edges=~draw.hide_edges)
    changed = zip(encoded(model, batch, draw), encoded(model, spoiled(batch, opposite, 1.0), draw), strict=True)
    assert not any(torch.equal(a, b) for a, b in changed)


def test_09_no_gradient_from_visible_features_to_hidden_attributes(graphs, model_of):
    model, batch = model_of(), graphs(SIZES)
    draw = model.draw(batch, seeded())
    x, f = batch.x.clone().requires_grad_(), batch.edge_attr.clone().requires_grad_()
    total = sum(level.square().sum() for level in encoded(model, replace(batch, x=x, edge_attr=f), draw))
    total.backward()
    assert not x.grad[draw.hide_vertices].any()
    assert not f.grad[draw.hide_edges].any()
    assert x.grad[~draw.hide_vertices].any(dim=1).all()


def test_09_no_gradient_from_predictions_to_clean_targets(graphs, model_of):
    model, batch = model_of(), graphs([9, 14])
    draw = model.draw(batch, seeded())
    layout = Layout.of(batch, draw.hide_vertices, draw.hide_edges, with_edges=True)
    x, f = batch.x.clone().requires_grad_(), batch.edge_attr.clone().requires_grad_()
    given = replace(batch, x=x, edge_attr=f)
    noisy_x, noisy_f = torch.randn_like(draw.vertex_noise), torch.randn_like(draw.edge_noise)
    u_x, u_f = model.decode(given, model.encode(given, layout), noisy_x, noisy_f, draw.steps, layout)
    (u_x.sum() + u_f.sum()).backward()
    assert not x.grad[draw.hide_vertices].any()
    assert not f.grad[draw.hide_edges].any()
    assert x.grad[~draw.hide_vertices].any()


@pytest.mark.parametrize("settings", [{}, {"encoder": "plain"}, {"edges": False}, {"readout": 4, "arrangement": 2}])
def test_10_renumbering_and_turning_edges_changes_nothing(graphs, model_of, settings):
    model, batch = model_of(**settings), graphs(SIZES)
    other, v, e = shuffled(batch)
    one, two = model.embed(batch), model.embed(other)
    torch.testing.assert_close(two.x, one.x[v], atol=1e-5, rtol=0)
    torch.testing.assert_close(two.edges, one.edges[e], atol=1e-5, rtol=0)
    torch.testing.assert_close(two.tokens(), one.tokens()[v], atol=1e-5, rtol=0)
    torch.testing.assert_close(two.pooled(), one.pooled(), atol=1e-5, rtol=0)
    torch.testing.assert_close(two.spread(), one.spread(), atol=1e-5, rtol=0)


def test_10_renumbering_keeps_the_loss(graphs, model_of):
    model, batch = model_of(), graphs(SIZES)
    other, v, e = shuffled(batch)
    draw = model.draw(batch, seeded())
    noise_x, noise_f = torch.zeros_like(batch.x), torch.zeros_like(batch.edge_attr)
    noise_x[draw.hide_vertices], noise_f[draw.hide_edges] = draw.vertex_noise, draw.edge_noise
    hide_v, hide_e = draw.hide_vertices[v], draw.hide_edges[e]
    moved = Draw(hide_v, hide_e, draw.steps, noise_x[v][hide_v], noise_f[e][hide_e])
    for one, two in zip(model.restore(batch, draw)[:2], model.restore(other, moved)[:2], strict=True):
        torch.testing.assert_close(two.loss, one.loss, atol=1e-5, rtol=1e-5)


def alone(batch: LatentBatch, draw: Draw, graph: int) -> tuple[LatentBatch, Draw]:
    """One graph of a batch with its own part of the draw."""
    mine, my_edges = batch.batch == graph, batch.edge_batch == graph
    part = subgraph(batch, mine)
    part = replace(part, batch=part.batch * 0, edge_batch=part.edge_batch * 0, num_graphs=1)
    noise = draw.vertex_noise[mine[draw.hide_vertices]], draw.edge_noise[my_edges[draw.hide_edges]]
    return part, Draw(draw.hide_vertices[mine], draw.hide_edges[my_edges], draw.steps[graph : graph + 1], *noise)


@pytest.mark.parametrize("settings", [s for s in ABLATIONS if "kl_weight" not in s])
def test_11_a_graph_alone_or_in_a_batch_is_the_same(graphs, model_of, settings):
    model, batch = model_of(**settings), graphs(SIZES)
    draw = model.draw(batch, seeded())
    together, pooled = model.restore(batch, draw), model.embed(batch).pooled()
    for graph in range(batch.num_graphs):
        part, own = alone(batch, draw, graph)
        torch.testing.assert_close(model.embed(part).pooled()[0], pooled[graph], atol=1e-5, rtol=0)
        for one, many in zip(model.restore(part, own)[:2], together[:2], strict=True):
            if many is not None:
                torch.testing.assert_close(one.loss[0], many.loss[graph], atol=1e-5, rtol=1e-5)
                assert bool(one.counted[0]) == bool(many.counted[graph])


def test_11_loss_is_the_mean_over_graphs_with_targets(graphs, model_of):
    model, batch = model_of(), graphs(SIZES)
    vertex, edge, _ = model.restore(batch, model.draw(batch, seeded()))
    assert vertex.counted.tolist() == [abs(n) > 1 for n in SIZES]
    losses = model(batch, seeded())
    torch.testing.assert_close(losses["vertex"], vertex.loss[vertex.counted].mean())
    torch.testing.assert_close(losses["total"], 0.5 * losses["vertex"] + 0.5 * edge.loss[edge.counted].mean())


@pytest.mark.parametrize("sizes", [[1], [2], [-2], [1, -4], [3]])
def test_11_tiny_graphs_give_finite_losses_and_gradients(graphs, model_of, sizes):
    model, batch = model_of(), graphs(sizes)
    losses = model(batch, seeded())
    losses["total"].backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.embed(batch).pooled().isfinite().all()


def test_14_embedding_is_deterministic_and_draws_nothing(graphs, model_of):
    for settings in ({}, {"kl_weight": 1e-3}):
        model, batch = model_of(**settings), graphs(SIZES)
        first = model.embed(batch).pooled()
        state = torch.get_rng_state()
        again = model.train().embed(batch).pooled()
        assert torch.equal(first, again)
        assert torch.equal(state, torch.get_rng_state())


def test_14_weights_survive_safetensors(graphs, model_of, tmp_path):
    from safetensors.torch import load_file, save_file

    model, batch = model_of(), graphs(SIZES)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = model_of(trained=False)
    for parameter in other.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(other.embed(batch).pooled(), model.embed(batch).pooled())


def test_14_training_steps_repeat_with_their_generator(graphs, model_of):
    model, batch = model_of(kl_weight=1e-3), graphs(SIZES)
    losses = [model(batch, seeded(seed))["total"].item() for seed in (4, 4, 5)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("encoder", ["residual", "plain"])
def test_edges_reach_vertices_through_the_gates_from_the_second_level_on(graphs, model_of, encoder):
    model, batch = model_of(encoder=encoder), graphs([12])
    one, two = (model.embed(replace(batch, edge_attr=f)) for f in (batch.edge_attr, batch.edge_attr.flip(0)))
    assert torch.equal(one.layers_x[0], two.layers_x[0])
    assert not torch.isclose(one.layers_x[1], two.layers_x[1]).all(dim=1).any()
    assert len(one.gates) == 2
    assert not torch.allclose(one.gates[0], two.gates[0])
    without = model_of(encoder=encoder, edges=False).embed(batch)
    assert all(torch.equal(gate, torch.ones(batch.edge_index.shape[1])) for gate in without.gates)


def test_14_pooled_parts_are_means_over_vertices_and_edges(graphs, model_of):
    model, batch = model_of(), graphs([6, -3])
    embedding = model.embed(batch)
    pooled, spread, tokens = embedding.pooled(), embedding.spread(), embedding.tokens()
    share = (batch.area[:6] / batch.area[:6].sum())[:, None]
    torch.testing.assert_close(pooled[0, :16], (share * embedding.x[:6]).sum(0))
    torch.testing.assert_close(pooled[0, 16:], embedding.edges.mean(0))
    variance = (share * (embedding.x[:6] - pooled[0, :16]).square()).sum(0)
    torch.testing.assert_close(spread[0, :16], variance.sqrt())
    unweighted = replace(embedding, source=replace(batch, area=None)).pooled()
    torch.testing.assert_close(unweighted[0, :16], embedding.x[:6].mean(0))
    touching = (batch.edge_index == 2).any(0)
    torch.testing.assert_close(tokens[2], torch.cat([embedding.x[2], embedding.edges[touching].mean(0)]))
    assert not pooled[1, 16:].any()
    assert not spread[1, 16:].any()
    assert not tokens[6:, 16:].any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_14_a_gpu_embeds_as_the_cpu_does(graphs, model_of):
    model, batch = model_of(), graphs(SIZES)
    here = model.embed(batch).pooled()
    there = model.to("cuda").embed(batch.to("cuda")).pooled().cpu()
    assert torch.allclose(here, there, atol=1e-4)
