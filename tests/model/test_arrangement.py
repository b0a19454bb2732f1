"""Layout of values over a tile, against hand-made lattices."""

from __future__ import annotations

import pytest
import torch

from hmgdm_plugin.model.arrangement import LAGS, NUMBERS, RINGS, arrangement
from hmgdm_plugin.model.batch import LatentBatch

SIDE = 12


def lattice(values: torch.Tensor) -> tuple[torch.Tensor, LatentBatch]:
    """Values (SIDE, SIDE) on a lattice whose neighbours touch."""
    number = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    right = torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()])
    down = torch.stack([number[:-1].flatten(), number[1:].flatten()])
    index = torch.cat([right, down], dim=1)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    pos = (torch.stack([x.flatten(), y.flatten()], dim=1) + 0.5) / SIDE
    zeros = torch.zeros(SIDE * SIDE, dtype=torch.int64)
    edges = torch.zeros(index.shape[1], 1)
    batch = LatentBatch(
        x=torch.zeros(SIDE * SIDE, 1),
        edge_attr=edges,
        edge_index=index,
        pos=pos.float(),
        edge_pos=pos[index].mean(0).float(),
        batch=zeros,
        edge_batch=torch.zeros(index.shape[1], dtype=torch.int64),
        num_graphs=1,
        kind=zeros,
    )
    return values.flatten()[:, None].float(), batch


Y, X = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
CHECKS = ((X + Y) % 2).float()
HALVES = (X >= SIDE // 2).float()
STRIPES = ((X // 3) % 2).float()
DISC = ((X - 5.5) ** 2 + (Y - 5.5) ** 2 < 12).float()


def numbers(values: torch.Tensor) -> torch.Tensor:
    return arrangement(*lattice(values))[0]


def test_moran_of_a_chessboard_is_minus_one_and_back_at_every_second_lag():
    torch.testing.assert_close(numbers(CHECKS)[:LAGS], torch.tensor([-1.0, 1.0, -1.0, 1.0]))


def test_moran_falls_with_the_lag_where_there_are_two_fields():
    lags = numbers(HALVES)[:LAGS]
    assert lags[0] > 0.8
    assert (lags.diff() < 0).all()


def test_power_is_where_the_pattern_repeats():
    place = (X + 0.5) / SIDE
    for ring, wave in ((0, (torch.pi * place).cos()), (2, (2 * torch.pi * place).cos())):
        found = numbers(wave)
        assert found[LAGS : LAGS + len(RINGS)].argmax() == ring
        assert found[LAGS + len(RINGS) + ring] > 0.3  # along one axis, not along the other
    assert numbers(DISC)[LAGS + len(RINGS)] < 1e-4


def test_a_disc_has_an_inside():
    inside = numbers(DISC)[-6:]
    assert (inside[:3] < 0).all()
    torch.testing.assert_close(inside[3:], -inside[:3])
    assert (numbers(1 - DISC)[-6:-3] > 0).all()


@pytest.mark.parametrize("values", [HALVES, STRIPES, DISC], ids=["halves", "stripes", "disc"])
def test_turning_mirroring_and_contrast_change_nothing(values):
    one = numbers(values)
    for other in (values.rot90(), values.flip(0), values.T, 7 * values + 3):
        torch.testing.assert_close(numbers(other), one, atol=2e-5, rtol=0)


def test_each_graph_has_its_own_and_a_flat_or_single_one_has_none(graphs):
    batch = graphs([9, 1, -4])
    values = torch.randn(14, 3)
    values[10:] = 5.0
    found = arrangement(values, batch)
    assert found.shape == (3, 3 * NUMBERS)
    assert found[0].abs().max() > 0.1
    assert found[1:].abs().max() < 1e-4
    from hmgdm_plugin.model.batch import subgraph

    alone = arrangement(values[:9], subgraph(batch, torch.arange(14) < 9))
    torch.testing.assert_close(alone[0], found[0], atol=1e-5, rtol=0)
