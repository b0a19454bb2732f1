"""Noise and loss piece by piece against the plain expressions."""

import pytest
import torch

from hmgdm_plugin.model import rows
from hmgdm_plugin.model.noise import Noise
from hmgdm_plugin.schema.settings import DiffusionSettings


@pytest.mark.parametrize("numbers", [1, 20, 1 << 18])
def test_pieces_add_up_to_the_plain_expressions(numbers, monkeypatch):
    monkeypatch.setattr(rows, "NUMBERS", numbers)
    x, chosen, eps = torch.randn(9, 4).double(), torch.tensor([0, 2, 3, 7, 8]), torch.randn(5, 4).double()
    u, weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True), torch.rand(4).double()
    noise, t = Noise(DiffusionSettings()).double(), torch.tensor([0, 10, 500, 900, 999])
    noisy = noise.sample_rows(x, chosen, eps, t)
    torch.testing.assert_close(noisy, noise.sample(x[chosen], eps, t), atol=1e-12, rtol=0)
    exact = noise.correction(x[chosen], eps, t)
    distance, trivial = noise.distances(u, x, chosen, eps, t, weight)
    torch.testing.assert_close(distance, ((u - exact).square() * weight).sum(1), atol=1e-12, rtol=0)
    torch.testing.assert_close(trivial, (exact.square() * weight).sum(1), atol=1e-12, rtol=0)
    assert not trivial.requires_grad
    assert torch.autograd.gradcheck(lambda u: noise.distances(u, x, chosen, eps, t, weight)[0], (u,))


def test_the_loss_of_bfloat16_corrections_is_float32():
    x, chosen, eps = torch.randn(3, 4), torch.tensor([1, 2]), torch.randn(2, 4)
    a, b, u = torch.rand(2, 1), torch.rand(2, 1), torch.randn(2, 4, dtype=torch.bfloat16, requires_grad=True)
    distance, _ = rows.squared_distance(u, x, chosen, eps, a, b, torch.ones(4))
    assert distance.dtype == torch.float32
    wanted = (u.float() - (a * x[chosen] + b * eps)).square().sum(1)
    torch.testing.assert_close(distance, wanted, atol=1e-6, rtol=1e-5)
    distance.sum().backward()
    assert u.grad.dtype == torch.bfloat16
