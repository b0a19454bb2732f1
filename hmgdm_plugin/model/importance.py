"""Which entities and contacts carry an answer: gradient x input, gate contributions, deletion and insertion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .batch import LatentBatch, repeated, subgraph
from .heads import EPSILON, GatedHead
from .hmgdm import HMGDM


def gradient_x_input(model: HMGDM, head: GatedHead, batch: LatentBatch, output: int) -> tuple[Tensor, Tensor]:
    """Signed relevance of every vertex (N,) and edge (M,) for the head's raw `output`.

    Gradient times input (captum), summed over attribute dimensions; each graph's relevance is that of its own answer.
    In a model without edge stream the edges' attributes are not read: zeros.
    """
    from captum.attr import InputXGradient

    def answer(x: Tensor, edge_attr: Tensor = batch.edge_attr) -> Tensor:
        tokens = model.embed(replace(batch, x=x, edge_attr=edge_attr)).tokens()
        return head(tokens, batch.batch, batch.num_graphs, batch.area).raw

    inputs = tuple(each.detach().clone().requires_grad_() for each in (batch.x, batch.edge_attr))
    with torch.enable_grad():
        parts = InputXGradient(answer).attribute(inputs if model.settings.edges else inputs[:1], target=output)
    relevance = [part.detach().sum(1) for part in parts]
    return relevance[0], relevance[1] if model.settings.edges else batch.edge_attr.new_zeros(batch.edge_attr.shape[0])


def gate_contribution(
    head: GatedHead, tokens: Tensor, batch: Tensor, num_graphs: int, output: int, area: Tensor | None = None
) -> Tensor:
    """What each vertex (N,) adds to the head's raw `output` of its graph through the gated pooling.

    ``gate_i * relevance_i``, with ``relevance_i = w_mean . z_i + w_std . ((z_i - mean)^2 + eps) / std`` for tokens z_i,
    gated mean and std. The mean is linear, so its part is exact; the std is shared in proportion to each vertex's
    squared distance from the mean, weighed by its gate. A graph's contributions sum to its raw output less the bias.
    """
    pooled = head.pool(tokens, batch, num_graphs, area)
    w_mean, w_std = head.linear.weight[output].chunk(2)
    spread = ((pooled.z - pooled.mean[batch]).square() + EPSILON) / pooled.std[batch]
    return pooled.gate * (pooled.z @ w_mean + spread @ w_std)


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
    return head(model.embed(graphs).tokens(), graphs.batch, graphs.num_graphs, graphs.area).value
