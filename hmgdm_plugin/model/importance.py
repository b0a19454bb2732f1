"""Which entities and contacts carry an answer: contributions, gradient x input, deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .batch import LatentBatch, repeated, subgraph
from .heads import EPSILON, GatedHead
from .hmgdm import HMGDM
from .kinds import Vertices


def evidence(head: GatedHead, raw: Tensor, output: int) -> Tensor:
    """What is explained (B,) of raw answers (B, outputs): a number itself; a class by its log-odds against the rest."""
    if head.kind == "regression":
        return raw[:, output]
    rest = torch.arange(raw.shape[1], device=raw.device) != output
    return raw[:, output] - raw[:, rest].logsumexp(1)


def gradient_x_input(model: HMGDM, head: GatedHead, batch: LatentBatch, output: int) -> tuple[Tensor, Tensor]:
    """Signed relevance of every vertex (N,) and edge (M,) for the `evidence` of the head's `output`.

    Gradient times input (captum), summed over attribute dimensions; each graph's relevance is that of its own answer.
    In a model without edge stream the edges' attributes are not read: zeros.
    """
    from captum.attr import InputXGradient

    def answer(x: Tensor, edge_attr: Tensor = batch.edge_attr) -> Tensor:
        tokens = model.embed(replace(batch, x=x, edge_attr=edge_attr)).tokens()
        return evidence(head, head(tokens, batch.vertices).raw, output)

    inputs = tuple(each.detach().clone().requires_grad_() for each in (batch.x, batch.edge_attr))
    with torch.enable_grad():
        parts = InputXGradient(answer).attribute(inputs if model.settings.edges else inputs[:1])
    relevance = [part.detach().sum(1) for part in parts]
    return relevance[0], relevance[1] if model.settings.edges else batch.edge_attr.new_zeros(batch.edge_attr.shape[0])


def contribution(head: GatedHead, tokens: Tensor, graphs: LatentBatch, output: int) -> Tensor:
    """What each vertex (N,) adds to the `evidence` of `output`: by how much that falls without it in the gated pooling.

    The others of its graph, and kind where kinds are told apart, keep their tokens and share its gate g: with d its
    distance from the mean and o = g / (1 - g), the mean becomes ``mean - o d``, the variance
    ``var + o (var - d^2) - (o d)^2``; amounts fall with it. 0 for the only vertex of a graph.
    """
    batch, num_graphs = graphs.batch, graphs.num_graphs
    pooled = head.pool(tokens, graphs.vertices)
    owner, kinds = pooled.owner, head.kinds
    gate, far = pooled.gate[:, None], pooled.z - pooled.mean[owner]
    odds = gate / (1 - gate).clamp(min=EPSILON)
    variance = pooled.std.square()[owner] - EPSILON
    variance = (variance + odds * (variance - far.square()) - (odds * far).square()).clamp(min=0)
    alone = (torch.bincount(owner, minlength=num_graphs * kinds) == 1)[owner, None]  # of its kind: nothing is left
    mean = torch.where(alone, 0.0, pooled.mean[owner] - odds * far)
    spread = (torch.where(alone, 0.0, variance) + EPSILON).sqrt()
    rows = pooled.rows()[batch]
    size, of = far.shape[1], (owner % kinds)[:, None]
    place = of * size + torch.arange(size, device=of.device)
    first = kinds * size
    rows = rows.scatter(1, place, mean).scatter(1, place + rows.shape[1] - first, spread)
    if kinds > 1:
        rows[:, first : rows.shape[1] - first] = _fewer(head, graphs.vertices)
    whole, without = head.linear(pooled.rows()), head.linear(rows)
    fall = evidence(head, whole, output)[batch] - evidence(head, without, output)
    return torch.where(torch.bincount(batch, minlength=num_graphs)[batch] > 1, fall, torch.zeros_like(fall))


def _fewer(head: GatedHead, vertices: Vertices) -> Tensor:
    """Standardised amounts (N, a) of each vertex's graph without it."""
    batch, owner = vertices.batch, vertices.owner(head.kinds)
    own = (owner % head.kinds)[:, None] == torch.arange(1, head.kinds, device=owner.device)  # (N, kinds - 1)
    count, area_left = vertices.amounts(head.kinds)[batch].chunk(2, dim=1)
    count = torch.where(own, (count.expm1() - 1 / vertices.share()[batch]).clamp(min=0).log1p(), count)
    area_left = torch.where(own, area_left - vertices.weight()[:, None], area_left)
    return head.scaled(torch.cat([count, area_left], dim=1))


def deletion_curve(model: HMGDM, head: GatedHead, batch_of_one: LatentBatch, order: Tensor, steps: int = 10) -> Tensor:
    """Head values (steps + 1, outputs) after deleting the first k/steps of the vertices in `order`, k = 0..steps.

    Vertices go with their edges; the last one stays. All steps run as one batch.

    Parameters
    ----------
    batch_of_one : LatentBatch
        One graph of N vertices.
    order : (N,) int64
        A permutation of the vertices, first to go first.
    """
    return _scores(model, head, batch_of_one, _first(order, steps, most=order.numel() - 1).logical_not())


def insertion_curve(model: HMGDM, head: GatedHead, batch_of_one: LatentBatch, order: Tensor, steps: int = 10) -> Tensor:
    """Head values (steps + 1, outputs) with only the first k/steps of the vertices in `order`, at least one."""
    return _scores(model, head, batch_of_one, _first(order, steps, least=1))


def both_curves(
    model: HMGDM, head: GatedHead, batch_of_one: LatentBatch, orders: Sequence[Tensor], steps: int = 10
) -> tuple[Tensor, Tensor]:
    """`deletion_curve` and `insertion_curve` of every order, each (orders, steps + 1, outputs).

    What several curves share, such as the whole graph, is encoded once.
    """
    gone = torch.cat([_first(order, steps, most=order.numel() - 1).logical_not() for order in orders])
    come = torch.cat([_first(order, steps, least=1) for order in orders])
    keep, back = torch.cat([gone, come]).unique(dim=0, return_inverse=True)
    values = _scores(model, head, batch_of_one, keep)[back]
    deleted, inserted = values.view(2, len(orders), steps + 1, -1)
    return deleted, inserted


def _first(order: Tensor, steps: int, least: int = 0, most: int | None = None) -> Tensor:
    """(steps + 1, N) bool: the first k/steps of the vertices in `order`, at least `least`, at most `most`."""
    n = order.numel()
    sizes = (
        (torch.arange(steps + 1, device=order.device) * n / steps)
        .round()
        .long()
        .clamp(least, n if most is None else most)
    )
    rank = torch.empty_like(order)
    rank[order] = torch.arange(n, device=order.device)
    return rank < sizes[:, None]


@torch.no_grad()
def _scores(model: HMGDM, head: GatedHead, batch_of_one: LatentBatch, keep: Tensor) -> Tensor:
    """Head values (K, outputs) of the K induced subgraphs that `keep` (K, N) picks."""
    graphs = subgraph(repeated(batch_of_one, keep.shape[0]), keep.flatten())
    return head(model.embed(graphs).tokens(), graphs.vertices).value
