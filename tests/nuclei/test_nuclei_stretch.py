"""One factor of all distances: chosen where outlines fit the labels best, and what the network then answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hmgdm_plugin.nuclei.network import StarDistNetwork
from hmgdm_plugin.nuclei.stars import Candidates, StarDist
from hmgdm_plugin.nuclei.stretch import best_factor, stretch
from hmgdm_plugin.schema.nuclei import DetectorSettings, StarDistSettings

SHAPE = StarDistSettings(n_rays=16, grid=(2, 2), unet_n_depth=1, unet_n_filter_base=2, net_conv_after_unet=4)


@pytest.mark.parametrize(("radius_px", "factor"), [(20.0, 1.0), (18.5, 1.08), (9.0, 1.0)])
def test_outlines_that_lie_too_far_inside_are_widened(
    radius_px: float, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    y, x = np.mgrid[:96, :96]
    labels = (np.hypot(y - 48, x - 48) <= 20).astype(np.int32)
    found = Candidates(np.array([[48, 48]]), np.ones(1, np.float32), np.full((1, 16), radius_px, np.float32))
    detector = StarDist(DetectorSettings(mpp=0.5, network=SHAPE), StarDistNetwork(SHAPE))
    monkeypatch.setattr(StarDist, "candidates", lambda *_: found)
    assert best_factor(detector, [(np.zeros((96, 96, 3), np.uint8), labels)]) == factor


def test_the_network_answers_longer_distances_and_the_same_probability() -> None:
    torch.manual_seed(0)
    network, image = StarDistNetwork(SHAPE).eval(), torch.rand(1, 3, 16, 16)
    with torch.inference_mode():
        logit, distance = network(image)
        stretch(network, 1.04)
        again, longer = network(image)
    torch.testing.assert_close(again, logit)
    torch.testing.assert_close(longer, 1.04 * distance)
