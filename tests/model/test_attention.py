"""Attention in blocks against dense attention with the right mask (method, section 7, test 12)."""

import pytest
import torch
from torch_geometric.utils import to_dense_batch

from hmgdm_plugin.model import attention
from hmgdm_plugin.model.attention import GraphAttention, attend, attend_compiled, attend_fused
from hmgdm_plugin.model.slots import WASTE, Pairing

QUERIES = torch.tensor([0, 0, 1, 3, 3, 3, 5, 5, 5, 5])
KEYS = torch.tensor([0, 1, 1, 1, 2, 3, 5, 5, 5])  # nobody asks graph 2, graph 4 has nothing, 5 is larger


def dense(q, k, v, query_batch, key_batch, heads):
    """All pairs of the batch, those of different graphs masked; zeros where a query has no keys."""
    same = query_batch[:, None] == key_batch[None]
    width, parts = q.shape[1] // heads, []
    for first in range(0, q.shape[1], width):
        head = slice(first, first + width)
        logit = q[:, head] @ k[:, head].t() / width**0.5
        parts.append(logit.masked_fill(~same, -torch.inf).softmax(1).nan_to_num() @ v[:, head])
    return torch.cat(parts, dim=1)


def rows(*sizes: int, dtype=torch.float64) -> list[torch.Tensor]:
    return [torch.randn(size, 8, dtype=dtype, requires_grad=True) for size in sizes]


@pytest.mark.parametrize(
    ("way", "dtype", "atol"), [(attend_fused, torch.float64, 1e-12), (attend_compiled, torch.float32, 2e-6)]
)
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_12_blocks_are_dense_attention_with_the_right_mask(way, dtype, atol, mixed, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    query_batch, key_batch = QUERIES, KEYS
    if mixed:
        query_batch, key_batch = query_batch[torch.randperm(10)], key_batch[torch.randperm(9)]
    q, k, v = rows(10, 9, 9, dtype=dtype)
    got = way(q, k, v, Pairing(query_batch, key_batch, 6), 2)
    wanted = dense(q, k, v, query_batch, key_batch, 2)
    torch.testing.assert_close(got, wanted, atol=atol, rtol=0)
    upstream = torch.randn_like(got)
    grads = [torch.autograd.grad(out, (q, k, v), upstream) for out in (got, wanted)]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, atol=atol, rtol=0)


@pytest.mark.parametrize("depth", [16, 40])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_12_many_queries_and_keys_of_any_size_weigh_as_in_float64(depth, scale):
    counts = torch.tensor([1, 70, 33]), torch.tensor([130, 17, 64])
    query_batch, key_batch = (torch.arange(3).repeat_interleave(count) for count in counts)
    q, k, v = (torch.randn(int(n), 2 * depth, requires_grad=True) for n in (104, 211, 211))
    got = attend_compiled(scale * q, k, v, Pairing(query_batch, key_batch, 3), 2)
    wanted = dense(scale * q.double(), k.double(), v.double(), query_batch, key_batch, 2)
    torch.testing.assert_close(got.double(), wanted, atol=2e-6 * scale, rtol=0)
    grads = [torch.autograd.grad(out.square().sum(), (q, k, v)) for out in (got, wanted)]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4 * scale, rtol=1e-4)


def test_12_graphs_without_keys_or_queries_do_not_spoil_the_rest():
    module = GraphAttention(8, 2)
    queries, keys = torch.randn(2, 8, requires_grad=True), torch.randn(3, 8, requires_grad=True)
    out = module(queries, keys, Pairing(torch.tensor([0, 2]), torch.tensor([0, 0, 1]), 4))
    out.square().sum().backward()
    assert out.isfinite().all()
    assert queries.grad.isfinite().all()
    assert keys.grad.isfinite().all()
    nobody = torch.zeros(0, dtype=torch.long)
    assert module(queries[:0], keys[:0], Pairing(nobody, nobody, 2)).shape == (0, 8)


@pytest.fixture(params=["products of bfloat16", "worked out in float32"])
def halves(request, monkeypatch):
    whole = request.param == "worked out in float32"
    if not whole and not attention.HALVES:
        pytest.skip("a processor without products of bfloat16")
    monkeypatch.setattr(attention, "HALVES", not whole)


@pytest.mark.usefixtures("halves")
def test_12_bfloat16_weights_are_those_of_float32_but_for_rounding():
    q, k, v = (each.detach().float().bfloat16().requires_grad_() for each in rows(10, 9, 9))
    pairing = Pairing(QUERIES, KEYS, 6)
    half = attend(q, k, v, pairing, 2)
    whole = attend(q.float(), k.float(), v.float(), pairing, 2)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), whole, atol=0.03, rtol=0.03)
    grads = [torch.autograd.grad(out.float().square().sum(), (q, k, v)) for out in (half, whole)]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, atol=0.1, rtol=0.1)


@pytest.mark.usefixtures("halves")
@pytest.mark.parametrize(("depth", "scale"), [(16, 1.0), (16, 30.0), (38, 1.0), (7, 1.0)])
@pytest.mark.parametrize("threads", [1, 3])
def test_12_bfloat16_is_float64_but_for_rounding_at_any_size(depth, scale, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    counts = torch.tensor([1, 70, 33, 0, 5]), torch.tensor([130, 17, 601, 4, 0])
    query_batch, key_batch = (torch.arange(5).repeat_interleave(count) for count in counts)
    key_batch = key_batch[torch.randperm(len(key_batch))]
    sizes = ((len(query_batch), scale), (len(key_batch), 1.0), (len(key_batch), 1.0))
    q, k, v = ((size * torch.randn(n, 2 * depth)).bfloat16().requires_grad_() for n, size in sizes)
    got = attend_compiled(q, k, v, Pairing(query_batch, key_batch, 5), 2)
    wanted = dense(q.double(), k.double(), v.double(), query_batch, key_batch, 2)
    grads = [torch.autograd.grad(out, (q, k, v), torch.ones_like(out)) for out in (got, wanted)]
    for one, two in [(got, wanted), *zip(*grads, strict=True)]:
        assert one.dtype == torch.bfloat16
        assert (one.double() - two.double()).norm() < 0.01 * max(two.double().norm(), 1e-3)
    assert not got[query_batch == 4].any()  # has no keys


@pytest.mark.usefixtures("halves")
def test_12_what_is_no_number_stays_so_in_its_graph_alone():
    q, k, v = (torch.randn(40, 32).bfloat16() for _ in range(3))
    k[3, 5] = torch.nan
    batch = torch.arange(2).repeat_interleave(20)
    got = attend_compiled(q, k, v, Pairing(batch, batch, 2), 2)
    assert got[:20, :16].isnan().all()
    assert got[20:].isfinite().all()


def test_blocks_hold_every_row_once_and_waste_little():
    sizes = torch.tensor([40, 3, 38, 0, 41, 5, 3, 200])
    batch = torch.arange(8).repeat_interleave(sizes)[torch.randperm(int(sizes.sum()))]
    side = Pairing(batch, batch, 8).queries
    values = torch.arange(1.0, batch.numel() + 1)[:, None]
    assert torch.equal(side.unsort(side.sort(values)), values)
    packed = [block.pack(block.pad(side.sort(values), 1)) for block in side.blocks]
    assert torch.equal(torch.cat(packed), side.sort(values))
    area = sum(block.shape[0] * block.shape[1] ** 2 for block in side.blocks)
    assert len(side.blocks) == 5  # 200; 41, 40, 38; 5; 3, 3; the empty one
    assert area <= WASTE * sizes.clamp(min=1).square().sum()


def test_a_block_of_all_graphs_is_to_dense_batch():
    batch = torch.tensor([0, 0, 0, 2, 3, 3])
    values = torch.randn(6, 8)
    pairing = Pairing(batch, batch, 4, one_block=True)
    (block, _, mask), *others = pairing.blocks()
    wanted, there = to_dense_batch(values, batch, batch_size=4)
    assert not others
    assert torch.equal(block.pad(values, 1).squeeze(1), wanted)
    assert torch.equal(mask[[0, 2, 3], 0, 0], there[[0, 2, 3]])
    assert mask.any(dim=-1).all()  # something to look at everywhere
