"""A model with random weights, as small as the settings allow, saved once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.model.heads import ClusterHead, GatedHead
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import AutoencoderSettings, DiffusionSettings, GraphSettings
from hmgdm_plugin.zoo.card import Card, Data, Head, HeadClass, Score
from hmgdm_plugin.zoo.save import save_model

CLASSES = (HeadClass(name="benign", rgb=(0, 120, 0)), HeadClass(name="malignant", rgb=(200, 0, 0)))


@pytest.fixture(scope="session")
def tiny_card() -> Card:
    """A card with one head of each kind."""
    return Card(
        name="tiny",
        version="1.0",
        title="Tiny",
        description="Random weights.",
        created="2026-01-01",
        licence="CC0-1.0",
        intended_use="Tests.",
        limits=("Knows nothing.",),
        descriptors=63,
        graph=GraphSettings(tile_px=96, segments=16, stored_px=16, window_px=24, min_area_px=20),
        autoencoder=AutoencoderSettings(channels=8, latent_channels=4),
        diffusion=DiffusionSettings(hidden=16, layers=2, heads=2),
        data=(Data(name="none | at all", licence="CC0", images=0, patients=0, tiles=0, use="tests"),),
        head=(
            Head(name="density", title="Nuclei", kind="regression", unit="per mm2", transform="log", default=True),
            Head(name="grade", title="Grade", kind="classification", classes=CLASSES, caution="Random."),
            Head(name="kinds", title="Kinds", kind="clusters"),
        ),
        evaluation=(Score(task="t", metric="R2", embedding="e", value=0.5, low=0.4, high=0.6, patients=9, tiles=99),),
    )


def _parts(card: Card) -> tuple[EntityFeatures, HMGDM, dict[str, GatedHead | ClusterHead]]:
    """Random modules that fit `card`; the same at each call."""
    torch.manual_seed(1)
    autoencoder = EntityAutoencoder(card.autoencoder, card.graph.stored_px)
    features = EntityFeatures(autoencoder, card.descriptors, card.diffusion.features)
    encoder = HMGDM(card.diffusion, features.parts, features.parts)
    heads: dict[str, GatedHead | ClusterHead] = {
        "density": GatedHead(32, 1, "regression", "log", gate_hidden=5),
        "grade": GatedHead(32, 2, "classification"),
        "kinds": ClusterHead(32, 4, 3),
    }
    for head in heads.values():
        for tensor in head.state_dict().values():
            tensor.uniform_(0.1, 0.9)
    return features, encoder, heads


@pytest.fixture
def tiny_parts(tiny_card: Card) -> tuple[EntityFeatures, HMGDM, dict[str, GatedHead | ClusterHead]]:
    """Features, encoder and heads of the tiny model, before they are saved."""
    return _parts(tiny_card)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Path:
    """The tiny model's folder; not to be changed."""
    return save_model(tmp_path_factory.mktemp("zoo") / "tiny", tiny_card, *_parts(tiny_card))


@pytest.fixture
def model_copy(saved_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(saved_model, tmp_path / "tiny"))
