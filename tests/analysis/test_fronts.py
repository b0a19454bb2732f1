"""Rows share latent graphs only where all that makes them is the same."""

from __future__ import annotations

import torch

from hmgdm_plugin.analysis.fronts import Front
from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.schema.settings import AutoencoderSettings, GraphSettings

SMALL = AutoencoderSettings(channels=8, latent_channels=2)


def test_a_front_is_named_by_graphs_weights_and_attributes() -> None:
    torch.manual_seed(0)
    stage_1 = EntityAutoencoder(SMALL, 16)
    graph = GraphSettings()
    both = Front(graph, EntityFeatures(stage_1, 5, "both"))
    assert both.digest == Front(graph, EntityFeatures(stage_1, 5, "both")).digest
    others = [
        Front(graph, EntityFeatures(stage_1, 5, "latent")),  # the same weights
        Front(graph, EntityFeatures(EntityAutoencoder(SMALL, 16), 5, "both")),
        Front(GraphSettings(segments=32), both.features),
    ]
    assert len({front.digest for front in (both, *others)}) == 4
