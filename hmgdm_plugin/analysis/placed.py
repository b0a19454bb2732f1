"""Outlines of any number of nuclei, found by where they lie; in memory only 48 bytes of each.

The outlines themselves wait in an unnamed temporary file, as float32 offsets from the nucleus's centroid.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable
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

    Parameters
    ----------
    blocks : iterable of (n,) arrays of shapely Polygon
        In level-0 pixels, valid, without holes; taken one after the other.

    Attributes
    ----------
    centres : (N, 2) float64
        Centroids in level-0 pixels, in the order of the blocks.

    Raises
    ------
    InputError
        The temporary folder is full.
    """

    def __init__(self, blocks: Iterable[NDArray[np.object_]]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as its owner
        self._reading = threading.Lock()
        centres, sizes = [np.empty((0, 2))], [np.empty(0, np.int64)]
        for shapes in blocks:
            points, owner = shapely.get_coordinates(shapes, return_index=True)
            centres.append(shapely.get_coordinates(shapely.centroid(shapes)))
            sizes.append(np.bincount(owner, minlength=len(shapes)))
            with writing(Path(tempfile.gettempdir())):
                self._file.write((points - centres[-1][owner]).astype(np.float32).tobytes())
        with writing(Path(tempfile.gettempdir())):
            self._file.flush()
        self.centres: NDArray[np.float64] = np.concatenate(centres)
        self._ends = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        column, row = np.floor(self.centres / _BUCKET_PX).astype(np.int64).T
        self._columns = int(column.max(initial=0)) + 1
        keys = row * self._columns + column
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def __len__(self) -> int:
        return len(self.centres)

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
        first, last = (
            min(max(int(x // _BUCKET_PX), 0), self._columns - 1) for x in (tile.x_px, tile.x_px + tile.side_px)
        )
        rows = np.arange(int(tile.y_px // _BUCKET_PX), int((tile.y_px + tile.side_px) // _BUCKET_PX) + 1)
        starts = np.searchsorted(self._keys, rows * self._columns + first)
        ends = np.searchsorted(self._keys, rows * self._columns + last, side="right")
        near = np.sort(np.concatenate([self._order[a:b] for a, b in zip(starts, ends, strict=True)]))
        offset = self.centres[near] - (tile.x_px, tile.y_px)
        return near[((offset >= 0) & (offset < tile.side_px)).all(axis=1)]

    def _read(self, first: int, count: int) -> bytes:
        self._file.seek(_POINT_BYTES * first)
        return self._file.read(_POINT_BYTES * count)
