"""Slides as bags of tile features: HDF5 files of CLAM, of TRIDENT and of `hmgdm embed`, read as they are.

All three hold ``features`` (T, D) and ``coords`` (T, 2), upper left corners in level-0 pixels. A ``.pt`` of CLAM is a
pickle, which runs what is inside when it is opened: never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..schema.errors import InputError

Floats = NDArray[np.float64]
DAMAGE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    MemoryError,
    ArithmeticError,
)  # h5py lets all through


@dataclass(frozen=True)
class SlideFeatures:
    """Tiles of one slide: corners (T, 2) and side in level-0 pixels, features (T, D), microns per level-0 pixel."""

    name: str
    corner_px: Floats
    side_px: float
    features: NDArray[np.float32]
    mpp: float | None = None  # where the file says


def feature_files(places: Sequence[Path]) -> list[Path]:
    """All .h5 files named or in the named folders, sorted, each once.

    Raises
    ------
    InputError
        A place is missing, is a pickle, or holds none.
    """
    files: set[Path] = set()
    for place in places:
        if place.is_dir():
            found = sorted(place.glob("*.h5"))
            if not found:
                raise (
                    _pickle(place)
                    if any(place.glob("*.pt"))
                    else InputError(f"{place}: no .h5 file in it", "give the folder with the feature files")
                )
            files.update(found)
        elif place.suffix == ".pt":
            raise _pickle(place)
        elif place.is_file():
            files.add(place)
        else:
            raise InputError(f"{place}: no such file or folder", "correct features")
    return sorted(files, key=lambda path: (path.stem, path))


def read_slide(path: Path) -> SlideFeatures:
    """Read one feature file.

    Raises
    ------
    InputError
        It is not HDF5, lacks features or coordinates, or they do not fit together.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if not {"features", "coords"} <= set(file):
                raise InputError(f"{path}: holds no features and coords", "give files of CLAM, TRIDENT or hmgdm embed")
            features = np.asarray(file["features"], np.float32)
            coords = np.asarray(file["coords"], np.float64)
            return _checked(path, features, coords, dict(file["coords"].attrs))
    except DAMAGE as error:
        raise InputError(f"{path}: cannot be read as HDF5 ({error})", "make the file again") from error


def _checked(path: Path, features: NDArray[np.float32], coords: Floats, attributes: dict[str, Any]) -> SlideFeatures:
    """What was read, if it fits together."""
    if features.size == 0 or coords.shape != (features.size // features.shape[-1], 2):
        raise InputError(f"{path}: features {features.shape}, coords {coords.shape}", "make the file again")
    features = features.reshape(-1, features.shape[-1])  # some encoders write (1, T, D)
    if not np.isfinite(features).all():
        raise InputError(f"{path}: features that are not finite", "make the file again")
    side_px = _side_px(attributes, coords)
    mpp = None
    if {"target_mpp", "patch_size"} <= attributes.keys():
        mpp = float(attributes["target_mpp"]) * float(attributes["patch_size"]) / side_px
    return SlideFeatures(path.stem, coords, side_px, features, mpp)


def neighbours(corner_px: Floats, count: int = 8) -> NDArray[np.int64]:
    """Links from the `count` nearest tiles (by position) to each tile: (2, links), sender and receiver."""
    count = min(count, len(corner_px) - 1)
    if count < 1:
        return np.zeros((2, 0), np.int64)
    near = cKDTree(corner_px).query(corner_px, count + 1)[1]  # (T, count + 1)
    own = np.arange(len(corner_px))[:, None]
    others = near != own
    others[others.all(1), -1] = False  # of tiles at one place, itself may not be among the nearest
    return np.stack([near[others], np.repeat(own[:, 0], count)])


def _side_px(attributes: dict[str, Any], coords: Floats) -> float:
    """Side of a tile: as the file says, else the distance between neighbours."""
    if "patch_side_level0_exact" in attributes:
        return float(attributes["patch_side_level0_exact"])
    if "patch_size_level0" in attributes:  # TRIDENT
        return float(attributes["patch_size_level0"])
    if {"patch_size", "downsample"} <= attributes.keys():  # CLAM
        return float(attributes["patch_size"]) * float(np.ravel(attributes["downsample"])[0])
    gaps = cKDTree(coords).query(coords, 2)[0][:, 1] if len(coords) > 1 else np.array([256.0])
    return float(np.median(gaps)) or 256.0


def _pickle(path: Path) -> InputError:
    return InputError(
        f"{path}: .pt is a pickle, which runs what is inside when it is opened; not read",
        "give the .h5 that CLAM writes beside it (h5_files), which also has the coordinates",
    )
