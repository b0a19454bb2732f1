"""Nucleus detectors of the zoo: find one, check it, bring it up; write one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..schema.run import writing
from ..schema.weights import write_tensors
from .card import CARD, NucleiCard, as_toml, read_nuclei_card
from .digest import SUMS, sums_of, verify
from .load import WEIGHTS, Weights, choose_device, find
from .page import PAGE, page
from .save import replacing
from .vector import LENGTH, deviation, synthetic_tile, write_test_vector

if TYPE_CHECKING:
    from ..nuclei.network import StarDistNetwork
    from ..nuclei.stars import Precision, StarDist

TILE_PX = 256


def load_stardist(name_or_folder: str | Path, device: str = "cpu", precision: Precision = "float32") -> StarDist:
    """Verify a nucleus detector and load it; nothing of it is read before its digests agree.

    Parameters
    ----------
    name_or_folder : str or Path
        A model that `hmgdm models list` shows, or its folder.
    device : str
        As `choose_device`.
    precision : "float32" or "bfloat16"
        float32 answers as the stardist package does; bfloat16 is faster.

    Raises
    ------
    InputError
        No such device or model, not a nucleus detector, a file that is missing or changed, or weights that do not fit
        the card.
    """
    from ..nuclei.network import StarDistNetwork
    from ..nuclei.stars import StarDist

    where = choose_device(device)
    folder = find(name_or_folder)
    verify(folder)
    settings = read_nuclei_card(folder).detector
    weights = Weights(folder / WEIGHTS)
    network = StarDistNetwork(settings.network)
    weights.fill("", network)
    return StarDist(settings, network, where, precision)


def save_stardist(folder: Path, card: NucleiCard, network: StarDistNetwork) -> Path:
    """Write the detector as `folder`, with its test vector; an earlier model there is replaced whole.

    Raises
    ------
    InputError
        `folder` holds something that is not a model, or it cannot be written.
    """
    from ..nuclei.stars import StarDist

    with writing(folder), replacing(folder) as stage:
        write_tensors(stage / WEIGHTS, network.state_dict())
        (stage / CARD).write_text(as_toml(card), "utf-8")
        (stage / PAGE).write_text(page(card), "utf-8")
        write_test_vector(stage, _answer(StarDist(card.detector, network)))
        (stage / SUMS).write_text(sums_of(stage), "utf-8")
    return folder


def check_stardist(folder: Path) -> float:
    """Largest deviation of the detector in `folder` on this machine from its test vector; as `check_test_vector`."""
    return deviation(folder, _answer(load_stardist(folder)))


def _answer(detector: StarDist) -> dict[str, list[float]]:
    """What a detector says about a made-up tile: cells across it, of the probability and of every ray in turn."""
    probability, distance = detector.dense(synthetic_tile(TILE_PX))
    cells = np.linspace(0, probability.size - 1, LENGTH).astype(int)
    rays = distance.reshape(probability.size, -1)[cells, np.arange(LENGTH) % distance.shape[2]]
    return {
        "probability": [float(value) for value in probability.reshape(-1)[cells]],
        "distance": [float(value) for value in rays],
    }
