"""The file of embeddings: rows that join, memory that stays, a disk that is full."""

import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import h5py
import numpy as np

from hmgdm_plugin.qupath.features import FeatureFile, attributes_of
from hmgdm_plugin.schema.space import Tile


def _add(file: FeatureFile, number: int, entities: int) -> list[uuid.UUID]:
    tile = Tile(512.4 * number, 7.0, 512.4, 256, 0.5)
    ids = [uuid.UUID(int=1000 * number + k) for k in range(entities)]
    kinds = (np.arange(entities) % 2).astype(np.uint8)
    tokens = np.full((entities, 4), number, np.float32)
    file.add(
        tile,
        uuid.UUID(int=number),
        np.full(4, number, np.float32),
        ids,
        np.zeros((entities, 2), np.float32),
        kinds,
        tokens,
    )
    return ids


def test_a_slide_of_one_tile_takes_little_more_than_its_numbers(tmp_path: Path) -> None:
    tile, entities = Tile(0, 7.0, 512.4, 256, 0.5), 100
    with FeatureFile(tmp_path / "f.h5", attributes_of(tile, 2000, 1000, "case", "model 1")) as file:
        ids = [uuid.UUID(int=k) for k in range(entities)]
        kinds, places = np.zeros(entities, np.uint8), np.zeros((entities, 2), np.float32)
        file.add(
            tile, uuid.UUID(int=0), np.ones(500, np.float32), ids, places, kinds, np.ones((entities, 95), np.float32)
        )
    assert (tmp_path / "f.h5").stat().st_size < 700_000  # of which 9 datasets a chunk each


def test_rows_come_back_with_their_ids(tmp_path: Path) -> None:
    tile = Tile(0, 7.0, 512.4, 256, 0.5)
    with FeatureFile(tmp_path / "f.h5", attributes_of(tile, 2000, 1000, "case", "model 1")) as file:
        ids = [_add(file, number, 3 + number) for number in range(3)]
    with h5py.File(tmp_path / "f.h5") as read:
        assert read["coords"][:].tolist() == [[0, 7], [512, 7], [1025, 7]]
        assert read["features"][:, 0].tolist() == [0, 1, 2]
        assert [id.decode() for id in read["entities/object_id"]] == [str(id) for own in ids for id in own]
        assert read["entities/tile"][:].tolist() == [0] * 3 + [1] * 4 + [2] * 5
        assert read["entities/features"].dtype == np.float16
        assert dict(read["coords"].attrs)["level0_width"] == 2000


FULL = textwrap.dedent(
    """
    import resource, signal, sys, uuid
    from pathlib import Path
    import numpy as np
    from hmgdm_plugin.qupath.features import FeatureFile
    from hmgdm_plugin.schema.space import Tile

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    rng = np.random.default_rng(0)
    try:
        with FeatureFile(Path(sys.argv[1]), {}) as file:
            for number in range(100):
                ids = [uuid.UUID(int=k) for k in range(50)]
                file.add(Tile(0, 0, 1, 1, 0.5), uuid.UUID(int=1), rng.random(256, np.float32), ids,
                         rng.random((50, 2), np.float32), np.zeros(50, np.uint8), rng.random((50, 256), np.float32))
    except OSError as error:
        print("one error", error.errno, number)
    """
)


def test_a_full_disk_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """HDF5 itself ends the process when a flush fails; the limit on file size stands for the full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "f.h5")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("one error")
    assert int(done.stdout.split()[-1]) < 20
