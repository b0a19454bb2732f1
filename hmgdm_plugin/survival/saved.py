"""A fitted risk network as files: weights, and what is needed to use them on other patients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..schema.errors import InputError
from ..schema.studies import RiskSettings
from ..schema.weights import write_tensors
from .concordance import Floats
from .network import RiskNetwork


@dataclass(frozen=True)
class SavedRisk:
    """A network in evaluation mode, the log-risk that parts high from low, and the hazard (k,) at `times` (k,)."""

    network: RiskNetwork
    settings: RiskSettings
    cut: float
    times: Floats
    hazard: Floats


def save_risk(weights: Path, facts: Path, saved: SavedRisk) -> None:
    """Write the weights as safetensors and all else as JSON."""
    write_tensors(weights, saved.network.state_dict())
    about = {
        "features": len(saved.network.mean),
        "settings": saved.settings.model_dump(),
        "cut": saved.cut,
        "times": saved.times.tolist(),
        "hazard": saved.hazard.tolist(),
    }
    facts.write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def load_risk(weights: Path, facts: Path) -> SavedRisk:
    """Read what `save_risk` wrote.

    Raises
    ------
    InputError
        A file is missing, or the two do not belong together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        about = json.loads(facts.read_text("utf-8"))
        settings = RiskSettings(**about["settings"])
        network = RiskNetwork(about["features"], settings)
        network.load_state_dict(load_file(weights))
        times, hazard = np.array(about["times"]), np.array(about["hazard"])
        return SavedRisk(network.eval(), settings, float(about["cut"]), times, hazard)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{facts}: is not a risk model with its weights ({error})", "train it again") from error
