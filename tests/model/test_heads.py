"""Heads, clusters, importance, induced subgraphs."""

import math
from dataclasses import replace

import pytest
import torch

from hmgdm_plugin.model.batch import LatentBatch, repeated, subgraph
from hmgdm_plugin.model.heads import ClusterHead, GatedHead
from hmgdm_plugin.model.importance import (
    both_curves,
    contribution,
    deletion_curve,
    evidence,
    gradient_x_input,
    insertion_curve,
)
from hmgdm_plugin.model.kinds import Vertices

BATCH = torch.tensor([0, 0, 0, 1, 1, 3])  # graph 2 is empty


def lively(head: GatedHead) -> GatedHead:
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    head.token_mean.normal_()
    head.token_std.uniform_(0.5, 2)
    return head


def graphs_of(area: torch.Tensor, kind: list[int] | None = None) -> LatentBatch:
    """The graphs of `BATCH`, of which heads read nothing but what vertices belong to."""
    none, nothing = area.new_zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    of = torch.zeros(6, dtype=torch.int64) if kind is None else torch.tensor(kind)
    places = none, torch.zeros(2, 0, dtype=torch.int64), area.new_zeros(6, 2), area.new_zeros(0, 2)
    return LatentBatch(area.new_zeros(6, 4), *places, BATCH, nothing, 4, of, area)


def test_head_starts_as_mean_pooling_and_mean_target():
    head = GatedHead(4, 2, "regression")
    head.target_mean.copy_(torch.tensor([5.0, -1.0]))
    tokens = torch.randn(6, 4)
    out = head(tokens, Vertices(BATCH, 4))
    assert torch.equal(out.gate, torch.tensor([1 / 3, 1 / 3, 1 / 3, 0.5, 0.5, 1.0]))
    assert torch.equal(out.value, head.target_mean.expand(4, 2))
    pooled = head.pool(tokens, Vertices(BATCH, 4))
    torch.testing.assert_close(pooled.mean[0], tokens[:3].mean(0))
    torch.testing.assert_close(pooled.std[1], tokens[3:5].std(0, correction=0), atol=1e-4, rtol=1e-4)


def test_gates_sum_to_one_in_each_graph():
    gate = lively(GatedHead(4, 1, "regression"))(torch.randn(6, 4), Vertices(BATCH, 4)).gate
    torch.testing.assert_close(torch.zeros(4).index_add(0, BATCH, gate), torch.tensor([1.0, 1, 0, 1]))
    assert gate[:3].std() > 0


def test_gates_start_as_the_areas():
    area = torch.tensor([1.0, 2, 1, 3, 1, 5])
    gate = GatedHead(4, 1, "regression")(torch.randn(6, 4), Vertices(BATCH, 4, area)).gate
    torch.testing.assert_close(gate, torch.tensor([0.25, 0.5, 0.25, 0.75, 0.25, 1.0]))


@pytest.mark.parametrize("transform", ["none", "log"])
def test_values_are_in_the_targets_units_and_the_loss_is_standardised(transform):
    head = lively(GatedHead(4, 2, "regression", transform))
    head.target_mean.copy_(torch.tensor([1.5, 2.0]))
    head.target_std.copy_(torch.tensor([0.5, 2.0]))
    out = head(torch.randn(6, 4), Vertices(BATCH, 4))
    assert head.loss(out, out.value).item() == pytest.approx(0, abs=1e-9)
    target = torch.rand(4, 2) * 10
    entered = target.log1p() if transform == "log" else target
    wanted = (out.raw - (entered - head.target_mean) / head.target_std).square().mean()
    torch.testing.assert_close(head.loss(out, target), wanted)


def test_classification_gives_probabilities_and_cross_entropy():
    head = lively(GatedHead(4, 3, "classification"))
    out = head(torch.randn(6, 4), Vertices(BATCH, 4))
    target = torch.tensor([0, 2, 1, 1])
    torch.testing.assert_close(out.value.sum(1), torch.ones(4))
    torch.testing.assert_close(head.loss(out, target), -out.value[torch.arange(4), target].log().mean())


def test_head_finds_the_telling_entity():
    """Class = sign of the one entity whose first feature is large: mean pooling alone sees it through noise."""
    draw = torch.Generator().manual_seed(0)
    graphs, n = 120, 10
    tokens = torch.randn(graphs, n, 4, generator=draw)
    label = (torch.rand(graphs, generator=draw) < 0.5).long()
    tokens[:, 0, 0], tokens[:, 0, 1] = 4.0, 2.0 * label - 1
    batch = torch.arange(graphs).repeat_interleave(n)
    head = GatedHead(4, 2, "classification")
    optimiser = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(head(tokens.flatten(0, 1), Vertices(batch, graphs)), label).backward()
        optimiser.step()
    out = head(tokens.flatten(0, 1), Vertices(batch, graphs))
    assert (out.value.argmax(1) == label).float().mean() > 0.95
    assert out.gate.view(graphs, n)[:, 0].mean() > 0.3
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())


@pytest.mark.parametrize(("kind", "outputs"), [("regression", 2), ("classification", 2), ("classification", 3)])
def test_a_contribution_is_the_fall_of_the_answer_without_that_entity(kind, outputs):
    head = lively(GatedHead(4, outputs, kind)).double()
    tokens, area = torch.randn(6, 4).double(), torch.rand(6).double() + 0.1
    given = contribution(head, tokens, graphs_of(area), 1)
    whole = evidence(head, head(tokens, Vertices(BATCH, 4, area)).raw, 1)
    for k in range(5):
        rest = torch.arange(6) != k
        left = evidence(head, head(tokens[rest], Vertices(BATCH[rest], 4, area[rest])).raw, 1)
        torch.testing.assert_close(given[k], (whole - left)[BATCH[k]])
    assert given[5] == 0  # alone in its graph


@pytest.mark.parametrize("tissue", [None, torch.tensor([0.5, 0.25, 1, 1], dtype=torch.float64)])
@pytest.mark.parametrize("kinds_of", [[0, 1, 1, 0, 1, 0], [0, 1, 0, 1, 1, 1]])
def test_kinds_are_pooled_apart_and_a_contribution_is_still_the_fall(kinds_of, tissue):
    head = lively(GatedHead(4, 2, "regression", kinds=2)).double()
    head.amount_mean.normal_()
    tokens, area = torch.randn(6, 4).double(), torch.rand(6).double() + 0.1
    of = torch.tensor(kinds_of)
    given = contribution(head, tokens, replace(graphs_of(area, kinds_of), tissue=tissue), 1)
    whole = head(tokens, Vertices(BATCH, 4, area, of, tissue)).raw[:, 1]
    for k in range(5):
        rest = torch.arange(6) != k
        left = head(tokens[rest], Vertices(BATCH[rest], 4, area[rest], of[rest], tissue)).raw[:, 1]
        torch.testing.assert_close(given[k], (whole - left)[BATCH[k]])
    assert given[5] == 0  # alone in its graph


def test_what_a_head_reads_of_kinds_by_hand():
    head = GatedHead(1, 1, "regression", kinds=2)
    tokens, of = torch.tensor([[1.0], [3.0], [10.0], [5.0], [7.0], [2.0]]), torch.tensor([0, 0, 1, 0, 1, 0])
    area = torch.tensor([0.25, 0.75, 0.1, 1.0, 0.2, 1.0])
    rows = head.pool(tokens, Vertices(BATCH, 4, area, of)).rows()
    flat = 1e-3  # the deviation of one, or of none
    expected = [
        [2.5, 10, math.log(2), 0.1, 0.75**0.5, flat],
        [5, 7, math.log(2), 0.2, flat, flat],
        [0, 0, 0, 0, flat, flat],
        [2, 0, 0, 0, flat, flat],
    ]
    torch.testing.assert_close(rows, torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_evidence_of_a_class_is_its_log_odds():
    head = lively(GatedHead(4, 3, "classification"))
    said = head(torch.randn(6, 4), Vertices(BATCH, 4))
    torch.testing.assert_close(evidence(head, said.raw, 2), said.value[:, 2].logit(), atol=1e-4, rtol=1e-4)


def test_clusters_are_nearest_in_whitened_space():
    head = ClusterHead(3, 2, 2)
    head.mean.copy_(torch.tensor([1.0, 0, 0]))
    head.scale.copy_(torch.tensor([10.0, 0.1]))
    head.centroids.copy_(torch.tensor([[0.0, 0.0], [0.0, 5.0]]))
    pooled = torch.tensor([[1.0, 0, 9], [6.0, 0, 9], [1.0, 0.4, 9]])
    torch.testing.assert_close(head.project(pooled, 2), torch.tensor([[0.0, 0], [0.5, 0], [0, 4]]))
    assert head(pooled).tolist() == [0, 0, 1]
    assert head.project(pooled, 1).shape == (3, 1)


def test_subgraph_by_hand():
    batch = LatentBatch(
        x=torch.arange(5.0)[:, None],
        edge_attr=torch.arange(4.0)[:, None],
        edge_index=torch.tensor([[0, 1, 0, 3], [1, 2, 2, 4]]),
        pos=torch.zeros(5, 2),
        edge_pos=torch.zeros(4, 2),
        batch=torch.tensor([0, 0, 0, 1, 1]),
        edge_batch=torch.tensor([0, 0, 0, 1]),
        num_graphs=2,
        kind=torch.tensor([0, 1, 0, 1, 0]),
    )
    part = subgraph(batch, torch.tensor([True, False, True, True, True]))
    assert part.x.flatten().tolist() == [0, 2, 3, 4]
    assert part.edge_index.tolist() == [[0, 2], [1, 3]]
    assert part.edge_attr.flatten().tolist() == [2, 3]
    assert part.kind.tolist() == [0, 0, 1, 0]
    assert (part.batch.tolist(), part.edge_batch.tolist(), part.num_graphs) == ([0, 0, 1, 1], [0, 1], 2)
    twice = repeated(part, 2)
    assert twice.edge_index.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert twice.batch.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert twice.edge_batch.tolist() == [0, 1, 2, 3]


def test_gradient_x_input_is_the_derivative_along_the_input(graphs, model_of):
    """The sum over a graph's entities is the derivative of its answer when its attributes are scaled."""
    model, batch = model_of().double(), graphs([8, 5, -2]).to(dtype=torch.float64)
    head = lively(GatedHead(32, 2, "regression")).double()
    vertex, edge = gradient_x_input(model, head, batch, output=1)
    relevance = torch.zeros(3, dtype=torch.float64).index_add(0, batch.batch, vertex)
    relevance = relevance.index_add(0, batch.edge_batch, edge)

    def answer(scale: float) -> torch.Tensor:
        scaled = replace(batch, x=batch.x * scale, edge_attr=batch.edge_attr * scale)
        return head(model.embed(scaled).tokens(), Vertices(batch.batch, 3, batch.area)).raw[:, 1]

    slope = (answer(1 + 1e-5) - answer(1 - 1e-5)) / 2e-5
    torch.testing.assert_close(relevance, slope, atol=1e-6, rtol=1e-5)
    assert vertex.abs().min() > 0


def test_gradient_x_input_leaves_the_model_alone_and_works_without_grad(graphs, model_of):
    model, head, batch = model_of(), lively(GatedHead(32, 1, "regression")), graphs([8])
    with torch.no_grad():
        vertex, edge = gradient_x_input(model, head, batch, 0)
    assert vertex.shape == (8,)
    assert edge.shape == (batch.edge_index.shape[1],)
    assert all(p.grad is None for p in [*model.parameters(), *head.parameters()])
    assert not batch.x.requires_grad


def test_gradient_x_input_without_edge_stream_gives_edges_nothing(graphs, model_of):
    vertex, edge = gradient_x_input(
        model_of(edges=False), lively(GatedHead(32, 1, "regression")), graphs([8]), output=0
    )
    assert vertex.abs().min() > 0
    assert not edge.any()


def test_curves_are_the_answers_of_the_induced_subgraphs(graphs, model_of):
    model, head, batch = model_of(), lively(GatedHead(32, 2, "classification")), graphs([9])
    order, steps = torch.randperm(9), 4

    def answer(vertices: torch.Tensor) -> torch.Tensor:
        part = subgraph(batch, torch.isin(torch.arange(9), vertices))
        return head(model.embed(part).tokens(), Vertices(part.batch, 1, part.area)).value[0].detach()

    deleted = deletion_curve(model, head, batch, order, steps)
    inserted = insertion_curve(model, head, batch, order, steps)
    assert deleted.shape == inserted.shape == (5, 2)
    for k, gone in enumerate([0, 2, 4, 7, 8]):
        torch.testing.assert_close(deleted[k], answer(order[gone:]))
    for k, there in enumerate([1, 2, 4, 7, 9]):
        torch.testing.assert_close(inserted[k], answer(order[:there]))
    torch.testing.assert_close(deleted[0], inserted[-1])


def test_curves_of_a_single_vertex(graphs, model_of):
    model, head = model_of(), lively(GatedHead(32, 1, "regression"))
    curve = deletion_curve(model, head, graphs([1]), torch.tensor([0]), steps=3)
    assert curve.std() < 1e-6
    assert curve.isfinite().all()


def test_values_stay_in_the_range_learnt_from():
    head = GatedHead(4, 1, "regression", "log")
    head.target_low.fill_(10.0)
    head.target_high.fill_(20.0)
    tokens, batch = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 2, 2])
    with torch.no_grad():
        head.linear.weight.normal_(std=100.0)
        value = head(tokens, Vertices(batch, 3)).value
    assert ((value >= 10) & (value <= 20)).all()
    assert ((value == 10) | (value == 20)).any()


def test_curves_together_are_the_curves_apart(graphs, model_of):
    model, batch = model_of(), graphs([9])
    head = GatedHead(32, 2, "classification")
    orders = [torch.arange(9), torch.arange(9).flip(0), torch.randperm(9)]
    for together, curve in zip(
        both_curves(model, head, batch, orders, 4), (deletion_curve, insertion_curve), strict=True
    ):
        apart = torch.stack([curve(model, head, batch, order, 4) for order in orders])
        assert together.shape == (3, 5, 2)
        torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)
