"""Nucleus detectors in the zoo: written, listed, verified and refused like every other model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hmgdm_plugin.models import list_models, show_model, verify_model
from hmgdm_plugin.nuclei.network import StarDistNetwork
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.nuclei import DetectorSettings, StarDistSettings
from hmgdm_plugin.zoo.card import CARD, NucleiCard, as_toml, read_card, read_nuclei_card
from hmgdm_plugin.zoo.detector import load_stardist, save_stardist
from hmgdm_plugin.zoo.digest import SUMS, sums_of
from hmgdm_plugin.zoo.load import PLACES, WEIGHTS
from hmgdm_plugin.zoo.measured import NucleiScore
from hmgdm_plugin.zoo.vector import synthetic_tile

NETWORK = StarDistSettings(n_rays=8, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=4, net_conv_after_unet=6)
SCORE = {"group": "all", "metric": "F1 at IoU 0.5", "value": 0.5, "low": 0.4, "high": 0.6}


@pytest.fixture(name="card")
def _card() -> NucleiCard:
    return NucleiCard(
        name="stars",
        version="1.0",
        title="Stars",
        description="Random weights.",
        created="2026-01-01",
        licence="CC0-1.0",
        intended_use="Tests.",
        limits=("Knows nothing.",),
        detector=DetectorSettings(mpp=0.5, prob_threshold=0.4, network=NETWORK),
        evaluation=(NucleiScore(**SCORE, patients=3, images=4, nuclei=5),),
    )


@pytest.fixture(name="saved")
def _saved(card: NucleiCard, tmp_path: Path) -> Path:
    torch.manual_seed(2)
    return save_stardist(tmp_path / "zoo" / "stars", card, StarDistNetwork(NETWORK))


def test_what_is_saved_is_what_is_loaded(saved: Path, card: NucleiCard) -> None:
    image = torch.rand(1, 3, 32, 32)
    torch.manual_seed(2)
    expected = StarDistNetwork(NETWORK)(image)
    detector = load_stardist(saved)
    found = detector.network(image)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    assert detector.settings == card.detector
    assert read_nuclei_card(saved) == card


def test_the_zoo_lists_shows_and_verifies_it(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PLACES, str(saved.parent))
    list_models(as_json=False)
    show_model("stars")
    said = capsys.readouterr().out
    assert "nuclei, at 0.5 microns per pixel" in said
    assert "| all | F1 at IoU 0.5 | 0.500 | 0.400 to 0.600 | 3 | 4 | 5 |" in said
    assert verify_model("stars")["test vector"].startswith("agrees")


def test_a_changed_file_is_refused(saved: Path) -> None:
    weights = bytearray((saved / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (saved / WEIGHTS).write_bytes(weights)
    with pytest.raises(InputError, match="has been changed"):
        load_stardist(saved)


def test_other_weights_are_refused(saved: Path, card: NucleiCard) -> None:
    wider = card.model_copy(update={"detector": DetectorSettings(mpp=0.5)})
    (saved / CARD).write_text(as_toml(wider), "utf-8")
    (saved / SUMS).write_text(sums_of(saved), "utf-8")
    with pytest.raises(InputError, match=r"is not part of the model|is missing|the card needs"):
        load_stardist(saved)


def test_an_encoder_is_not_a_detector_nor_the_other_way(saved: Path, saved_model: Path) -> None:
    with pytest.raises(InputError, match="is not a nucleus detector"):
        load_stardist(saved_model)
    with pytest.raises(InputError, match="is a nucleus detector, not an encoder"):
        read_card(saved)


def test_the_answer_is_the_same_on_the_test_tile(saved: Path) -> None:
    first, second = (load_stardist(saved).dense(synthetic_tile(64))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
