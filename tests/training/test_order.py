"""The order of graphs: every one once an epoch, from any place on, within a budget, dealt evenly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmgdm_plugin.schema.settings import TrainingSettings
from hmgdm_plugin.training.order import Drawn, Order, Place, dealt, within_budget
from hmgdm_plugin.training.shards import Shards

SHARDS = [[2, 9, 4, 7], [5, 3, 8], [6, 2, 9, 4, 3], [7, 7]]
COUNT = sum(len(own) for own in SHARDS)


@pytest.fixture
def shards(corpus: Callable[..., Path]) -> Shards:
    return Shards(corpus(*SHARDS), "latents-*.safetensors")


def order(shards: Shards, mixed: int = 2, parts: int = 1, **settings: object) -> Order:
    return Order(shards, TrainingSettings(**{"batch": 3, "epochs": 2, **settings}), 5, mixed, parts)


def numbers(drawn: list[Drawn]) -> list[list[int]]:
    return [np.concatenate(each.parts).tolist() for each in drawn]


@pytest.mark.parametrize("settings", [{}, {"entities": 25}, {"sorted_batches": 2}, {"entities": 25, "parts": 2}])
def test_every_epoch_holds_every_graph_once(shards: Shards, settings: dict[str, int]) -> None:
    drawn = list(order(shards, **settings).batches(Place()))
    flat = [number for batch in numbers(drawn) for number in batch]
    assert sorted(flat[:COUNT]) == sorted(flat[COUNT:]) == list(range(COUNT))
    assert flat[:COUNT] != flat[COUNT:], "epochs differ"
    assert drawn[-1].after.seen == 2 * COUNT == order(shards).graphs


def test_from_any_place_on_it_is_the_same_order(shards: Shards) -> None:
    whole = list(order(shards, entities=25).batches(Place()))
    for number, each in enumerate(whole):
        rest = list(order(shards, entities=25).batches(each.after))
        assert numbers(rest) == numbers(whole[number + 1 :])
        assert [r.after for r in rest] == [w.after for w in whole[number + 1 :]]


def test_only_shards_of_one_group_are_mixed(shards: Shards) -> None:
    drawn = list(order(shards, mixed=2).batches(Place()))
    for each, batch in zip(drawn, numbers(drawn), strict=True):
        files = {int(np.searchsorted(shards.first, number, side="right")) for number in batch}
        assert len(files) <= 2, each.after
    assert {each.after.group for each in drawn} == {0, 1}


def test_a_budget_of_entities_is_kept_and_the_last_batch_is_no_crumb(shards: Shards) -> None:
    sizes = np.array([2 * n - 1 for own in SHARDS for n in own])
    drawn = list(order(shards, mixed=9, entities=25).batches(Place()))
    held = [sizes[batch].sum() for batch in numbers(drawn)]
    assert max(held) <= 25
    assert min(held) >= 25 // 4
    assert len(within_budget(np.arange(3), np.array([30, 4, 40]), 25)) == 3, "a graph above the budget stands alone"


def test_sorting_by_size_evens_out_batches(shards: Shards) -> None:
    sizes = np.array([2 * n - 1 for own in SHARDS for n in own])

    def spread(**settings: int) -> float:
        drawn = list(order(shards, mixed=9, **settings).batches(Place()))
        return float(np.mean([np.ptp(sizes[batch]) for batch in numbers(drawn)]))

    assert spread(sorted_batches=9) < 0.6 * spread()


def test_parts_are_even_and_nothing_is_lost() -> None:
    rng = np.random.default_rng(0)
    batch, sizes = np.arange(40), rng.integers(5, 300, 40)
    parts = dealt(batch, sizes, 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(40))
    held = [sizes[part].sum() for part in parts]
    assert max(held) < 1.1 * min(held)
    assert [part.tolist() for part in dealt(batch[:1], sizes[:1], 2)] == [[0], []]
