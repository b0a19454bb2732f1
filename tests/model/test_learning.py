"""That training learns what it should (method, section 7, tests 15 to 18), at a size that runs in seconds."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.restored import Draw
from hmgdm_plugin.model.segments import segment_mean
from hmgdm_plugin.schema.settings import DiffusionSettings

DIM, STEPS = 6, (500, 750, 999)  # before, x_t alone is nearly exact and a short training cannot add to it


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**settings: object) -> HMGDM:
    torch.manual_seed(0)
    return HMGDM(DiffusionSettings(**{"hidden": 32, "heads": 2, "layers": 2, **settings}), (DIM,), (DIM,))


@pytest.fixture
def tissues(graphs: Callable[..., LatentBatch]) -> Callable[[int, int], LatentBatch]:
    """Graphs whose attributes are mostly their tissue (one random vector per graph) and a little of their own."""

    def make(count: int, seed: int) -> LatentBatch:
        batch = graphs([10] * count, dv=DIM, de=DIM, seed=seed)
        tissue = torch.randn(count, DIM, generator=seeded(1000 + seed))
        x = 0.9 * tissue[batch.batch] + 0.44 * batch.x
        return replace(batch, x=x, edge_attr=0.9 * tissue[batch.edge_batch] + 0.44 * batch.edge_attr)

    return make


def train(model: HMGDM, batch_at: Callable[[int], LatentBatch], steps: int, draw: Draw | None = None) -> list[float]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps)
    history = []
    for step in range(steps):
        batch = batch_at(step)
        vertex, edge, _ = model.restore(batch, draw or model.draw(batch, seeded(step)))
        loss = vertex.mean_loss + edge.mean_loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        history.append(loss.item())
    return history


def at_step(model: HMGDM, batch: LatentBatch, t: int) -> tuple[float, float]:
    """Vertex loss at noise step `t`, and that of the trivial predictor."""
    draw = model.draw(batch, seeded(t))
    with torch.no_grad():
        vertex, _, _ = model.restore(batch, replace(draw, steps=torch.full_like(draw.steps, t)))
    return vertex.mean_loss.item(), vertex.mean_trivial.item()


def test_15_overfits_one_batch_with_fixed_chance(graphs):
    model, batch = small(), graphs([8, 9, 10, 11], dv=DIM, de=DIM)
    history = train(model, lambda step: batch, 200, draw=model.draw(batch, seeded(0)))
    assert history[-1] < 0.01 * history[0]


def test_15_learns_one_batch_by_heart_with_fresh_chance(graphs):
    model, batch = small(schedule="zero-terminal-snr", layers=1), graphs([8, 9, 10, 11], dv=DIM, de=DIM)
    history = train(model, lambda step: batch, 240)  # split, noise and its strength drawn anew at every step
    assert sum(history[-20:]) < 0.4 * sum(history[:20])


def test_16_17_beats_trivial_predictors_by_using_the_visible_part(tissues):
    model = small(schedule="zero-terminal-snr")
    batches = [tissues(16, seed) for seed in range(30)]
    train(model, lambda step: batches[step % 30], 150)
    held_out = tissues(48, 77)
    losses = {t: at_step(model, held_out, t) for t in STEPS}
    gaps = [trivial - loss for loss, trivial in losses.values()]
    assert all(gap > 0 for gap in gaps)
    assert gaps == sorted(gaps)  # the noisier, the more the visible part is worth
    ordered = [loss for loss, _ in losses.values()]
    assert ordered == sorted(ordered)  # and the harder the task
    assert losses[999][0] < 0.6 * held_out.x.var().item()  # predicting the mean
    assert at_step(model, with_visible_part_of_others(model, held_out, 999), 999)[0] > 1.3 * losses[999][0]


def with_visible_part_of_others(model: HMGDM, batch: LatentBatch, t: int) -> LatentBatch:
    """Each graph's visible attributes replaced by the next graph's, the hidden ones kept."""
    draw = model.draw(batch, seeded(t))
    per_graph = batch.x.shape[0] // batch.num_graphs
    other_x = batch.x.roll(per_graph, 0)
    tissue_f = segment_mean(batch.edge_attr, batch.edge_batch, batch.num_graphs)
    other_f = tissue_f.roll(1, 0)[batch.edge_batch]
    x = torch.where(draw.hide_vertices[:, None], batch.x, other_x)
    return replace(batch, x=x, edge_attr=torch.where(draw.hide_edges[:, None], batch.edge_attr, other_f))


def test_17_embedding_of_other_graphs_is_not_what_is_compared(tissues):
    """The helper above leaves hidden slots, and so targets and noise, as they are."""
    model, batch = small(), tissues(4, 1)
    draw, other = model.draw(batch, seeded(999)), with_visible_part_of_others(model, batch, 999)
    assert torch.equal(other.x[draw.hide_vertices], batch.x[draw.hide_vertices])
    assert not torch.isclose(other.x, batch.x)[~draw.hide_vertices].all(dim=1).any()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "plain"},
        {"edges": False},
        {"skips": False},
        {"position": False},
        {"schedule": "mask-only"},
        {"schedule": "zero-terminal-snr", "target": "step"},
        {"target": "eps", "noise": "fixed"},
        {"kl_weight": 1e-3},
        {"layers": 1},
    ],
)
def test_18_every_parameter_learns(graphs, settings):
    model, batch = small(**settings), graphs([9, 6, 12, 2], dv=DIM, de=DIM)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    moved = {name: torch.zeros(()) for name, _ in model.named_parameters()}
    for step in range(4):  # the restoring heads start at zero: what lies below them moves from the second step on
        optimiser.zero_grad()
        model(batch, seeded(step))["total"].backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            moved[name] += parameter.grad.abs().sum()
        optimiser.step()
    assert not [name for name, size in moved.items() if not size > 0]


def test_18_no_gate_is_dead_and_embeddings_do_not_collapse(graphs):
    model, batch = small(layers=3), graphs([12] * 40, dv=DIM, de=DIM)
    embedding = model.embed(batch)
    assert len(embedding.gates) == 2
    assert all(gate.min() > 0.2 and gate.max() < 1.8 and gate.std() > 1e-3 for gate in embedding.gates)
    assert embedding.x.std(0).min() > 1e-2
    assert effective_rank(embedding.x) > DIM / 2


def effective_rank(rows: Tensor) -> float:
    """Exponential of the entropy of the covariance's eigenvalues."""
    share = torch.linalg.svdvals(rows - rows.mean(0)).square()
    share = share / share.sum()
    return (-(share * share.clamp(min=1e-12).log()).sum()).exp().item()


@pytest.mark.parametrize("target", ["x0", "eps", "step"])
def test_loss_starts_at_the_trivial_predictor(graphs, target):
    losses = small(target=target)(graphs([9, 6], dv=DIM, de=DIM), seeded(1))
    torch.testing.assert_close(losses["total"], losses["trivial"])
    assert not losses["trivial"].requires_grad


def test_blocks_of_attributes_weigh_the_same(graphs):
    batch = graphs([9, 6], dv=DIM, de=DIM)
    model = HMGDM(DiffusionSettings(hidden=16, heads=2, schedule="mask-only"), (1, 5), (6,))
    draw = model.draw(batch, seeded(0))
    vertex, _, _ = model.restore(batch, draw)
    wanted = [
        0.5 * rows[:, 0].square().mean() + 0.5 * rows[:, 1:].square().mean()
        for rows in (batch.x[draw.hide_vertices & (batch.batch == graph)] for graph in (0, 1))
    ]
    torch.testing.assert_close(vertex.trivial, torch.stack(wanted))


def test_kl_of_stage_two_is_that_of_the_posterior(graphs):
    model, batch = small(kl_weight=0.1), graphs([9], dv=DIM, de=DIM)
    losses = model(batch, seeded(0))
    torch.testing.assert_close(losses["total"], 0.5 * losses["vertex"] + 0.5 * losses["edge"] + 0.1 * losses["kl"])
    with torch.no_grad():
        for each in (model.posterior.vertex, model.posterior.edge):
            each.mean.weight.zero_()
            each.log_var.weight.zero_()
            each.log_var.bias.fill_(-2.0)
    wanted = 2 * 0.5 * (torch.tensor(-2.0).exp() - 1 + 2)  # N(0, exp(-2)) against N(0, 1), both streams
    torch.testing.assert_close(model(batch, seeded(0))["kl"], wanted)


def test_bfloat16_autocast_trains(graphs):
    model, batch = small(), graphs([9, 6, 1, -3], dv=DIM, de=DIM)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch, seeded(0))
        pooled = model.embed(batch).pooled()
    losses["total"].backward()
    assert losses["total"].dtype == pooled.dtype == torch.float32
    assert all(p.grad.isfinite().all() for p in model.parameters())
    torch.testing.assert_close(pooled, model.embed(batch).pooled(), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("target", ["x0", "eps", "step"])
def test_loss_is_the_squared_error_of_the_target(graphs, target):
    model, batch = small(target=target), graphs([9, 6], dv=DIM, de=DIM)
    torch.nn.init.normal_(model.edge_head.layers[-1].weight)
    draw = model.draw(batch, seeded(0))
    _, edge, _ = model.restore(batch, draw)
    hidden = draw.hide_edges.nonzero().squeeze(1)
    t = draw.steps[batch.edge_batch[hidden]]
    wanted = model.noise.target(batch.edge_attr[hidden], draw.edge_noise, t)
    error = (model.noise.prediction(edge.noisy, edge.correction, t) - wanted).square().mean(1)
    by_graph = [error[batch.edge_batch[hidden] == graph].mean() for graph in (0, 1)]
    torch.testing.assert_close(edge.loss, torch.stack(by_graph), atol=1e-5, rtol=1e-3)
    assert edge.rows.tolist() == hidden.tolist()


def test_embedding_is_the_posterior_mean(graphs):
    model, batch = small(kl_weight=0.1), graphs([9], dv=DIM, de=DIM)
    with torch.no_grad():
        model.posterior.vertex.mean.weight.mul_(2)
        model.posterior.edge.mean.bias.fill_(5)
    embedding = model.embed(batch)
    torch.testing.assert_close(embedding.x, 2 * embedding.layers_x[-1])
    assert embedding.edges.mean() > 3
