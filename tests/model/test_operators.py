"""Scatter forms against explicit matrices and torch-geometric (method, section 7, tests 12 and 13)."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, HypergraphConv

from hmgdm_plugin.model.convolution import EntityConvolution
from hmgdm_plugin.model.inputs import Place
from hmgdm_plugin.model.segments import segment_mean, segment_softmax, segment_std
from hmgdm_plugin.model.topology import Topology


def topology(batch, dtype=torch.float64) -> Topology:
    n = batch.x.shape[0]
    return Topology.of(batch.edge_index, n, n, dtype)


def dual_incidence(edge_index: torch.Tensor, n: int) -> torch.Tensor:
    """H (edges x hyperedges): vertices with two edges or more, and one hyperedge of its own per edge."""
    m = edge_index.shape[1]
    h = torch.zeros(m, n, dtype=torch.float64)
    h[torch.arange(m), edge_index[0]] = 1
    h[torch.arange(m), edge_index[1]] = 1
    return torch.cat([h[:, h.sum(0) > 1], torch.eye(m, dtype=torch.float64)], dim=1)


@pytest.mark.parametrize("sizes", [[12], [2], [4, 9, 2, 1, -3]])
def test_13_hypergraph_scatter_is_the_matrix_form(graphs, sizes):
    batch = graphs(sizes)
    f = batch.edge_attr.double()
    h = dual_incidence(batch.edge_index, batch.x.shape[0])
    explicit = torch.diag(1 / h.sum(1)) @ h @ torch.diag(1 / h.sum(0)) @ h.t() @ f
    torch.testing.assert_close(topology(batch).across_edges(f), explicit, atol=1e-12, rtol=0)


def test_13_hypergraph_scatter_is_torch_geometric(graphs):
    batch = graphs([12, 7, 2])
    h = dual_incidence(batch.edge_index, batch.x.shape[0])
    reference = HypergraphConv(5, 6, bias=False).double()
    f = batch.edge_attr.double()
    wanted = reference(f, h.nonzero().t())
    torch.testing.assert_close(topology(batch).across_edges(reference.lin(f)), wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("sizes", [[12], [2], [4, 9, 2, 1, -3]])
def test_13_graph_convolution_is_the_normalised_adjacency(graphs, sizes):
    batch = graphs(sizes)
    n, (u, v) = batch.x.shape[0], batch.edge_index
    x, w = batch.x.double(), 2 * torch.rand(u.numel(), dtype=torch.float64)
    a = torch.eye(n, dtype=torch.float64)
    a[u, v], a[v, u] = w, w
    scale = torch.diag(a.sum(1).rsqrt())
    torch.testing.assert_close(topology(batch).across_vertices(x, w), scale @ a @ scale @ x, atol=1e-12, rtol=0)


def test_13_graph_convolution_is_torch_geometric(graphs):
    batch = graphs([12, 7, 1])
    x, w = batch.x.double(), 2 * torch.rand(batch.edge_index.shape[1], dtype=torch.float64)
    reference = GCNConv(7, 6, bias=False).double()
    both = torch.cat([batch.edge_index, batch.edge_index.flip(0)], dim=1)
    wanted = reference(x, both, torch.cat([w, w]))
    torch.testing.assert_close(topology(batch).across_vertices(reference.lin(x), w), wanted, atol=1e-12, rtol=0)


def test_13_gradients_are_those_of_the_matrix_form(graphs):
    batch = graphs([5, 2, -2, 1])
    n, m = batch.x.shape[0], batch.edge_index.shape[1]
    t = Topology.of(batch.edge_index, n, n - 2, torch.float64)  # the last two have no features
    x, f = torch.randn(n - 2, 3, dtype=torch.float64), torch.randn(m, 3, dtype=torch.float64)
    gate = torch.rand(m, dtype=torch.float64)
    x, f, gate = (each.requires_grad_() for each in (x, f, gate))
    assert torch.autograd.gradcheck(t.across_edges, (f,))
    assert torch.autograd.gradcheck(t.across_vertices, (x, gate))
    assert torch.autograd.gradcheck(lambda x: t.across_vertices(x, None), (x,))


def test_13_messages_cross_only_between_present_vertices():
    ends = torch.tensor([[0, 1, 0, 3], [1, 2, 3, 4]])  # path 2-1-0-3-4, of which 0, 1, 2 have features
    t = Topology.of(ends, vertices=5, present=3, dtype=torch.float64)
    assert t.links.tolist() == [[0, 1], [1, 2]]
    assert t.carriers.tolist() == [0, 1]
    assert t.share.flatten().tolist() == [0.5, 0.5, 0, 0.5, 0]  # ends of the path: hyperedges of one edge
    assert t.weight.flatten().tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 3, 1 / 2])


@pytest.mark.parametrize("residual", [True, False])
def test_gates_weigh_vertex_messages_by_edge_content(graphs, residual):
    batch = graphs([9])
    layer = EntityConvolution(8, edges=True, gated=True, residual=residual)
    x, f = torch.randn(9, 8), torch.randn(batch.edge_index.shape[1], 8)
    t = topology(batch, torch.float32)
    open_x, _, gate = layer(x, f, t)
    assert gate.min() > 0
    assert gate.max() < 2
    with torch.no_grad():
        layer.gate.bias.fill_(-100.0)  # all shut: a vertex is left to itself
    shut_x, _, _ = layer(x, f, t)
    activated = nn.functional.gelu(layer.vertex.norm(x)) if residual else x
    alone = layer.vertex.weight(activated) + layer.vertex.bias + (x if residual else 0)
    torch.testing.assert_close(shut_x, alone)
    assert not torch.allclose(open_x, shut_x, atol=1e-3)


def saved_bytes(model, batch) -> int:
    """Memory that one training step keeps for its backward pass."""
    storages: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        total = model(batch, torch.Generator().manual_seed(0))["total"]
    total.backward()
    return sum(storages.values())


def test_12_memory_is_linear_in_the_number_of_graphs(graphs, model_of):
    model = model_of(hidden=32)
    small, large = (saved_bytes(model, graphs([15] * count)) for count in (8, 64))
    assert large < 8.8 * small


def test_segments_by_hand():
    rows, index = torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 2])
    assert segment_mean(rows, index, 4).flatten().tolist() == [2, 0, 5, 0]
    assert segment_std(rows, index, 4).flatten().tolist() == [1, 0, 0, 0]
    weight = torch.tensor([3.0, 1.0, 7.0])
    assert segment_mean(rows, index, 4, weight).flatten().tolist() == [1.5, 0, 5, 0]
    assert segment_std(rows, index, 4, weight).flatten().tolist() == pytest.approx([0.75**0.5, 0, 0, 0])


def test_segment_std_of_equal_rows_has_a_finite_gradient():
    rows = torch.ones(3, 2, requires_grad=True)
    segment_std(rows, torch.tensor([0, 0, 1]), 2, torch.ones(3)).sum().backward()
    assert rows.grad.isfinite().all()


def test_nuclei_get_their_vector_and_tissue_none():
    place = Place(4, position=False, kinds=True)
    torch.nn.init.ones_(place.nucleus)
    rows = place(torch.zeros(3, 4), torch.rand(3, 2), torch.tensor([0, 1, 0]))
    assert rows[:, 0].tolist() == [0, 1, 0]


def test_position_is_sine_and_cosine_at_six_octaves():
    place = Place(24, position=True, kinds=False)
    torch.nn.init.eye_(place.position.weight)
    features = place(torch.zeros(1, 24), torch.tensor([[0.5, 1.0]]), None)[0]
    torch.testing.assert_close(features[:12], torch.tensor([1.0] + [0.0] * 11), atol=1e-5, rtol=0)
    torch.testing.assert_close(features[12:], torch.tensor([0, -1, 1, 1, 1, 1, -1.0, 1, 1, 1, 1, 1]), atol=1e-5, rtol=0)


def test_softmax_of_segments_is_torch_geometric():
    from torch_geometric.utils import softmax

    draw = torch.Generator().manual_seed(5)
    scores = (50 * torch.randn(40, 1, generator=draw)).requires_grad_()
    index = torch.randint(6, (40,), generator=draw).sort().values
    ours, theirs = segment_softmax(scores, index, 7), softmax(scores, index, num_nodes=7)
    assert torch.allclose(ours, theirs, atol=1e-6)
    ours_grad, theirs_grad = (
        torch.autograd.grad((p * torch.arange(40)[:, None]).sum(), scores)[0] for p in (ours, theirs)
    )
    assert torch.allclose(ours_grad, theirs_grad, atol=1e-4)
