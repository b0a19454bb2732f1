"""Arrays that wait for their turn on disk, not in memory: in an unnamed temporary file whose places are used again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..schema.run import writing


class Ticket(NamedTuple):
    """What brings an array back: where it lies, and its shape."""

    place: int
    shape: tuple[int, ...]


class Shelf:
    """Arrays of one type, each taken back once.

    Parameters
    ----------
    dtype : dtype
    most : int
        Values of the largest array that will come.
    """

    def __init__(self, dtype: DTypeLike, most: int) -> None:
        self._dtype = np.dtype(dtype)
        self._bytes = most * self._dtype.itemsize
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as its owner
        self._free: list[int] = []
        self._places = 0

    def put(self, array: NDArray[Any]) -> Ticket:
        """Lay an array down.

        Raises
        ------
        InputError
            The temporary folder is full.
        """
        if not self._free:
            self._free.append(self._places)
            self._places += 1
        place = self._free.pop()
        with writing(Path(tempfile.gettempdir())):
            self._file.seek(place * self._bytes)
            self._file.write(np.ascontiguousarray(array, self._dtype).data)
            self._file.flush()
        return Ticket(place, array.shape)

    def take(self, ticket: Ticket) -> NDArray[Any]:
        """The array of a ticket; its place is free from then on."""
        array = np.empty(ticket.shape, self._dtype)
        self._file.seek(ticket.place * self._bytes)
        self._file.readinto(array.data.cast("B") if array.size else bytearray())
        self._free.append(ticket.place)
        return array
