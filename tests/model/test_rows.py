"""Noise and loss piece by piece against the plain expressions."""

import pytest
import torch

from hmgdm_plugin.model import products, rows
from hmgdm_plugin.model.noise import Noise
from hmgdm_plugin.schema.settings import DiffusionSettings


@pytest.mark.parametrize("numbers", [1, 20, 1 << 18])
def test_pieces_add_up_to_the_plain_expressions(numbers, monkeypatch):
    monkeypatch.setattr(rows, "NUMBERS", numbers)
    monkeypatch.setattr(products, "NUMBERS", 2 * numbers)
    x, chosen, eps = torch.randn(9, 4).double(), torch.tensor([0, 2, 3, 7, 8]), torch.randn(5, 4).double()
    h, weight = torch.randn(5, 3, dtype=torch.float64, requires_grad=True), torch.rand(4).double()
    last = torch.nn.Linear(3, 4).double()
    u = last(h)
    noise, t = Noise(DiffusionSettings()).double(), torch.tensor([0, 10, 500, 900, 999])
    noisy = noise.sample_rows(x, chosen, eps, t).all()
    torch.testing.assert_close(noisy, noise.sample(x[chosen], eps, t), atol=1e-12, rtol=0)
    exact = noise.correction(x[chosen], eps, t)
    distance, trivial = noise.distances(h, last, x, chosen, eps, t, weight)
    torch.testing.assert_close(distance, ((u - exact).square() * weight).sum(1), atol=1e-12, rtol=0)
    torch.testing.assert_close(trivial, (exact.square() * weight).sum(1), atol=1e-12, rtol=0)
    assert not trivial.requires_grad
    upstream, leaves = torch.rand(5).double(), (h, *last.parameters())
    plain = ((last(h) - exact).square() * weight).sum(1)
    grads = [torch.autograd.grad(out, leaves, upstream) for out in (distance, plain)]
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, atol=1e-12, rtol=0)


def test_the_loss_of_bfloat16_corrections_is_float32():
    x, chosen, eps = torch.randn(3, 4), torch.tensor([1, 2]), torch.randn(2, 4)
    a, b, h, last = torch.rand(2, 1), torch.rand(2, 1), torch.randn(2, 3, requires_grad=True), torch.nn.Linear(3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        distance, _ = rows.squared_distance(h, last, x, chosen, eps, a, b, torch.ones(4))
    assert distance.dtype == torch.float32
    wanted = (last(h) - (a * x[chosen] + b * eps)).square().sum(1)
    assert not torch.equal(distance, wanted)
    torch.testing.assert_close(distance, wanted, atol=0.05, rtol=0.05)
    leaves = (h, *last.parameters())
    for one, two in zip(*(torch.autograd.grad(each.sum(), leaves) for each in (distance, wanted)), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two, atol=0.1, rtol=0.05)
