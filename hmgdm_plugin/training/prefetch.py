"""Batches are made in the background, a few ahead; how long training waits for them is measured."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
AHEAD = 4


class Prefetch(Generic[T]):
    """Iterate over `items` in their order, made by one thread of their own; use as a context manager.

    Whatever fails in the thread is raised where the item is taken.

    Attributes
    ----------
    waited_s : float
        Seconds that the taker has waited.
    """

    def __init__(self, items: Iterator[T], ahead: int = AHEAD) -> None:
        self.waited_s = 0.0
        self._items = items
        # one thread of torch inside it: a second team of threads would fight the first
        self._pool = ThreadPoolExecutor(1, "batches", torch.set_num_threads, (1,))
        self._coming: deque[Future[T | None]] = deque(self._asked() for _ in range(ahead))

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[T]:
        while True:
            start_s = time.perf_counter()
            item = self._coming.popleft().result()
            self.waited_s += time.perf_counter() - start_s
            if item is None:
                return
            self._coming.append(self._asked())
            yield item

    def _asked(self) -> Future[T | None]:
        return self._pool.submit(next, self._items, None)
