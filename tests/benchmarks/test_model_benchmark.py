import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.arithmetic import Products, attention_flops
from benchmarks.dense import dense
from benchmarks.graphs import EDGES, VERTICES, batch_of, random_shapes
from hmgdm_plugin.model import attention, products
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import DiffusionSettings


def small() -> HMGDM:
    torch.manual_seed(0)
    model = HMGDM(DiffusionSettings(hidden=16, heads=2, layers=2), (5,), (5,))
    torch.nn.init.normal_(model.vertex_head.layers[-1].weight)
    return model


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_random_graphs_are_of_the_size_asked_for():
    batch = batch_of(random_shapes(3), 5)
    assert torch.bincount(batch.batch).tolist() == [VERTICES] * 3
    assert torch.bincount(batch.edge_batch).max() <= EDGES
    assert (batch.edge_index[0] < batch.edge_index[1]).all()
    assert (batch.batch[batch.edge_index] == batch.edge_batch).all()


def test_operations_are_those_that_torch_counts(monkeypatch):
    monkeypatch.setattr(attention, "attend_compiled", attention.attend_fused)  # torch sees no kernels of ours
    monkeypatch.setattr(products, "TILED", 0)
    model, batch = small(), batch_of(random_shapes(1), 5)
    with Products() as counted:
        model(batch, seeded())["total"].backward()
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(batch, seeded())["total"].backward()
    by_hand = attention_flops(batch, model.draw(batch, seeded()), hidden=16, layers=2)
    assert counted.flops() + by_hand == counter.get_total_flops()


def test_the_dense_variant_is_the_same_network():
    batch = batch_of(random_shapes(2), 5)
    wanted = small()(batch, seeded())["total"]
    torch.testing.assert_close(dense(small())(batch, seeded())["total"], wanted, atol=1e-5, rtol=1e-5)
