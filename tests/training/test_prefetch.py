"""Batches from the background: in order, with their errors, and the waiting counted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hmgdm_plugin.training.prefetch import Prefetch


def slow(count: int, pause_s: float) -> Iterator[int]:
    for number in range(count):
        time.sleep(pause_s)
        yield number


def test_in_order_and_waiting_is_counted() -> None:
    with Prefetch(slow(8, 0.02)) as items:
        assert list(items) == list(range(8))
        assert 0.1 < items.waited_s < 2.0
    with Prefetch(slow(8, 0.001)) as items:
        time.sleep(0.2)
        taken = [time.sleep(0.02) or item for item in items]
        assert taken == list(range(8))
        assert items.waited_s < 0.05, "all was made while nobody waited"


def test_an_error_in_the_background_is_raised_where_the_item_is_taken() -> None:
    def failing() -> Iterator[int]:
        yield 0
        raise ValueError("broken shard")

    with Prefetch(failing()) as items, pytest.raises(ValueError, match="broken shard"):
        list(items)


def test_leaving_early_leaves_nothing_running() -> None:
    made: list[int] = []

    def counted() -> Iterator[int]:
        for number in range(10_000):
            made.append(number)
            yield number

    with Prefetch(counted()) as items:
        next(iter(items))
    time.sleep(0.05)
    assert len(made) < 20
