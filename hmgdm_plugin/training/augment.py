"""Views of a tile: turned, mirrored and re-stained, each from its own seed.

The stains are changed as in Tellez et al. (2019): haematoxylin, eosin and residual densities are scaled and
shifted at random. Densities below the background stay background.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.uint8, np.int32)
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_STAINS = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
_UNMIX = np.linalg.inv(_STAINS)


def restain(rgb: NDArray[np.uint8], rng: np.random.Generator, strength: float = 0.2) -> NDArray[np.uint8]:
    """Scale each stain by 1 +- `strength` and shift it by +- `strength` / 10: (H, W, 3) uint8 to the same."""
    density = -np.log(np.maximum(rgb, 1) / 255.0)
    stains = density @ _UNMIX
    scale = rng.uniform(1 - strength, 1 + strength, 3)
    shift = rng.uniform(-strength / 10, strength / 10, 3) * (density.sum(axis=2, keepdims=True) > 0.15)
    changed = np.exp(-np.maximum((stains * scale + shift) @ _STAINS, 0.0))
    return np.clip(np.rint(changed * 255.0), 0, 255).astype(np.uint8)


def turn(square: NDArray[Number], rng: np.random.Generator) -> NDArray[Number]:
    """One of the eight symmetries of the square at random."""
    turned = np.rot90(square, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.integers(2) else turned)


def view(rgb: NDArray[np.uint8], number: int, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    """View `number` of a square tile (S, S, 3): 0 is the tile itself; the same seed gives the same view."""
    if number == 0:
        return rgb
    rng = np.random.default_rng((*seed, number))
    return restain(turn(rgb, rng), rng)


def labels_of_view(labels: NDArray[np.int32], number: int, seed: tuple[int, ...]) -> NDArray[np.int32]:
    """Labels (S, S) of a tile, turned as its view `number` is."""
    return labels if number == 0 else turn(labels, np.random.default_rng((*seed, number)))
