"""Rows share latent graphs only where all that makes them is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hmgdm_plugin.analysis.finders import Finders
from hmgdm_plugin.analysis.fronts import Front
from hmgdm_plugin.model.autoencoder import EntityAutoencoder
from hmgdm_plugin.model.features import EntityFeatures
from hmgdm_plugin.schema.errors import InputError
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


def test_who_finds_the_nuclei_counts_only_where_there_are_nuclei(tmp_path: Path) -> None:
    features = EntityFeatures(None, 5, "descriptors")
    (tmp_path / "who.json").write_text('{"p1": "nuclei-stardist-he"}', "utf-8")
    finders = Finders.read(tmp_path / "who.json")
    assert (finders.of("source:p1"), finders.of("p2")) == ("nuclei-stardist-he", "stardist")
    digests = [
        Front(GraphSettings(entities=entities), features, who).digest
        for entities in ("tissue", "tissue+nuclei")
        for who in (Finders(), finders)
    ]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"p1": 1}', '{"p1": "no-such-model"}', '{"p1": "hmgdm-small"}'])
def test_a_list_of_detectors_that_does_not_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "who.json").write_text(text, "utf-8")
    with pytest.raises(InputError):
        Finders.read(tmp_path / "who.json")
