"""Arrays come back from the disk as they were, and the file does not grow without end."""

from __future__ import annotations

import numpy as np

from hmgdm_plugin.analysis.shelf import Shelf


def test_arrays_come_back_and_places_are_used_again() -> None:
    shelf, rng = Shelf(np.float16, 40 * 30), np.random.default_rng(0)
    waiting = []
    for number in range(200):
        array = rng.normal(size=(rng.integers(0, 41), rng.integers(0, 31))).astype(np.float16)
        waiting.append((shelf.put(array), array))
        if len(waiting) > 5:
            ticket, before = waiting.pop(int(rng.integers(len(waiting))))
            assert np.array_equal(shelf.take(ticket), before), number
    assert max(ticket.place for ticket, _ in waiting) <= 6
    for ticket, before in waiting:
        assert np.array_equal(shelf.take(ticket), before)
