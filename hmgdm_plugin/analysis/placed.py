"""Outlines of any number of nuclei, found by where they lie; in memory only 48 bytes of each.

The outlines themselves wait in an unnamed temporary file, as float32 offsets from the nucleus's centroid.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from ..schema.run import writing
from ..schema.space import Tile

_BUCKET_PX = 512.0
_POINT_BYTES = 8


class Placed:
    """Nuclei of one slide by place; safe to ask from several threads.

    Attributes
    ----------
    centres : (N, 2) float64
        Centroids in level-0 pixels, in the order in which they were added.
    """

    def __init__(self, blocks: Iterable[NDArray[np.object_]] = ()) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as its owner
        self._reading = threading.Lock()
        self._parts: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        self._digest = hashlib.sha256()
        self._count = 0
        for shapes in blocks:
            self.add(shapes)

    def add(self, shapes: NDArray[np.object_]) -> None:
        """Append nuclei, (n,) shapely Polygons in level-0 pixels, valid, without holes; before any question.

        Raises
        ------
        InputError
            The temporary folder is full.
        """
        points, owner = shapely.get_coordinates(shapes, return_index=True)
        self._digest.update(points.tobytes() + owner.tobytes())
        centres = shapely.get_coordinates(shapely.centroid(shapes))
        self._parts.append((centres, np.bincount(owner, minlength=len(shapes))))
        self._count += len(shapes)
        with writing(Path(tempfile.gettempdir())):
            self._file.write((points - centres[owner]).astype(np.float32).tobytes())
            self._file.flush()

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """See the class."""
        return np.concatenate([np.empty((0, 2)), *(centres for centres, _ in self._parts)])

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """Where in the file, in points, the outline of each nucleus starts, and the last ends."""
        sizes = np.concatenate([np.zeros(1, np.int64), *(sizes for _, sizes in self._parts)])
        return np.cumsum(sizes)

    @cached_property
    def _buckets(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
        """Buckets across, the order of the nuclei by bucket, and the bucket of each in that order."""
        column, row = np.floor(self.centres / _BUCKET_PX).astype(np.int64).T
        across = int(column.max(initial=0)) + 1
        keys = row * across + column
        order = np.argsort(keys, kind="stable")
        return across, order, keys[order]

    def __len__(self) -> int:
        return self._count

    def digest(self) -> str:
        """SHA-256 of all outlines."""
        return self._digest.hexdigest()

    def within(self, tile: Tile) -> NDArray[np.object_]:
        """Outlines (n,) of the nuclei whose centroid lies in `tile`, half-open, in the order they came."""
        found = self._found(tile)
        firsts, counts = self._ends[found], self._ends[found + 1] - self._ends[found]
        with self._reading:
            raw = [self._read(first, count) for first, count in zip(firsts.tolist(), counts.tolist(), strict=True)]
        owner = np.repeat(np.arange(len(found)), counts)
        points = np.frombuffer(b"".join(raw), np.float32).reshape(-1, 2) + self.centres[found][owner]
        if not len(found):
            return np.empty(0, object)
        return np.atleast_1d(shapely.polygons(shapely.linearrings(points, indices=owner)))

    def beyond(self, tiles: Iterable[Tile]) -> int:
        """How many nuclei have their centroid in none of `tiles`."""
        seen = np.zeros(len(self), bool)
        for tile in tiles:
            seen[self._found(tile)] = True
        return int((~seen).sum())

    def _found(self, tile: Tile) -> NDArray[np.int64]:
        across, order, keys = self._buckets
        first, last = (min(max(int(x // _BUCKET_PX), 0), across - 1) for x in (tile.x_px, tile.x_px + tile.side_px))
        rows = np.arange(int(tile.y_px // _BUCKET_PX), int((tile.y_px + tile.side_px) // _BUCKET_PX) + 1)
        starts = np.searchsorted(keys, rows * across + first)
        ends = np.searchsorted(keys, rows * across + last, side="right")
        near = np.sort(np.concatenate([order[a:b] for a, b in zip(starts, ends, strict=True)]))
        offset = self.centres[near] - (tile.x_px, tile.y_px)
        return near[((offset >= 0) & (offset < tile.side_px)).all(axis=1)]

    def _read(self, first: int, count: int) -> bytes:
        self._file.seek(_POINT_BYTES * first)
        return self._file.read(_POINT_BYTES * count)
