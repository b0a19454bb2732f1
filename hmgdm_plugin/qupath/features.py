"""Embeddings of one slide as HDF5, in the layout of CLAM and TRIDENT, with the ids that join rows to QuPath's objects.

========================  ==================  ===================================================
coords                    (T, 2) int64        upper left corner of each tile, level-0 pixels
features                  (T, D) float32      embedding of each tile
object_id                 (T,) str            id of the tile in QuPath
novelty                   (T,) float32        above 1 the tile is unlike the training data; missing where the model
                                              cannot tell
entities/coords           (E, 2) float32      centroid of each entity, level-0 pixels
entities/features         (E, D) float16      embedding of each entity
entities/object_id        (E,) str            id of the entity in QuPath
entities/tile             (E,) int64          row of its tile
entities/entity_type      (E,) uint8          0 tissue superpixel, 1 nucleus
========================  ==================  ===================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from ..schema.space import Tile

if TYPE_CHECKING:
    import h5py

_CHUNK_BYTES = 1 << 16  # a chunk is written whole: a slide of one tile took 2.6 MB with chunks of 1,024 rows
_ID = "S36"


class FeatureFile:
    """Writes embeddings tile by tile; memory does not grow with the slide.

    Parameters
    ----------
    path : Path
        The file, replaced if it exists.
    attributes : mapping
        Attributes of ``coords``: TRIDENT's names, set by the caller.
    """

    def __init__(self, path: Path, attributes: Mapping[str, Any]) -> None:
        import h5py

        self._disk = _Disk(path)
        self._file = h5py.File(self._disk, "w")
        self._attributes = dict(attributes)
        self._tiles = 0

    def __enter__(self) -> FeatureFile:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._tiles and self._disk.error is None:
                self._file["coords"].attrs.update(self._attributes)
            self._file.close()
        finally:
            self._disk.close()
        if self._disk.error is not None:
            raise self._disk.error

    def add(
        self,
        tile: Tile,
        tile_id: UUID,
        embedding: NDArray[np.float32],
        entity_ids: Sequence[UUID],
        positions: NDArray[np.float32],
        kinds: NDArray[np.uint8],
        tokens: NDArray[np.float32],
        novelty: float = math.nan,
    ) -> None:
        """Append one tile with its entities, in the same order everywhere; NaN is no `novelty`."""
        corner = np.rint([[tile.x_px, tile.y_px]]).astype(np.int64)
        self._append("coords", corner)
        self._append("features", embedding[None].astype(np.float32))
        self._append("object_id", np.array([str(tile_id)], _ID))
        if not math.isnan(novelty):
            self._append("novelty", np.array([novelty], np.float32))
        self._append("entities/coords", positions.astype(np.float32))
        self._append("entities/features", tokens.astype(np.float16))
        self._append("entities/object_id", np.array([str(each) for each in entity_ids], _ID))
        self._append("entities/tile", np.full(len(entity_ids), self._tiles, np.int64))
        self._append("entities/entity_type", kinds.astype(np.uint8))
        self._tiles += 1
        self._file.flush()
        if self._disk.error is not None:
            raise self._disk.error

    def _append(self, name: str, rows: NDArray[Any]) -> None:
        if name not in self._file:
            each = rows.shape[1:]
            chunk = max(_CHUNK_BYTES // (rows.dtype.itemsize * math.prod(each)), 1)
            self._file.create_dataset(name, (0, *each), rows.dtype, maxshape=(None, *each), chunks=(chunk, *each))
        data: h5py.Dataset = self._file[name]
        data.resize(len(data) + len(rows), axis=0)
        data[-len(rows) :] = rows


class _Disk:
    """A file for HDF5 that remembers the first error and pretends from then on: HDF5 crashes where a disk is full."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def write(self, block: bytes) -> int:
        """All of `block`, or an error that is kept for later."""
        rest = memoryview(block).cast("B")
        while len(rest) and self.error is None:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        return memoryview(block).nbytes

    def truncate(self, size: int | None = None) -> int:
        """As `write`."""
        try:
            return self._file.truncate(size) if self.error is None else size or 0
        except OSError as error:
            self.error = error
            return size or 0

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; h5py takes for a file what can read."""
        return self._file.read(size) or b""

    def readinto(self, buffer: Any) -> int:
        """Read into all of `buffer`; what was never written reads as zeros."""
        whole = memoryview(buffer).cast("B")
        count = self._file.readinto(whole) or 0
        whole[count:] = bytes(len(whole) - count)
        return len(whole)

    def seek(self, place: int, whence: int = 0) -> int:
        """Move to `place`."""
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._file.tell()

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def attributes_of(tile: Tile, width_px: int, height_px: int, slide: str, encoder: str) -> dict[str, Any]:
    """TRIDENT's attributes of ``coords`` for tiles like `tile`."""
    return {
        "patch_size": tile.size_px,
        "patch_size_level0": round(tile.side_px),
        "patch_side_level0_exact": tile.side_px,
        "target_mpp": tile.mpp,
        "level0_width": width_px,
        "level0_height": height_px,
        "name": slide,
        "encoder": encoder,
    }
