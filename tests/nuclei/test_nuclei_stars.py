"""The detector: normalisation as numpy has it, padding that changes nothing, nuclei where a network sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hmgdm_plugin.nuclei.limits import histogram, limits_of
from hmgdm_plugin.nuclei.network import StarDistNetwork, layers
from hmgdm_plugin.nuclei.stars import Nuclei, StarDist
from hmgdm_plugin.schema.nuclei import DetectorSettings, StarDistSettings

SMALL = StarDistSettings(n_rays=8, grid=(2, 2), unet_n_depth=2, unet_n_filter_base=4, net_conv_after_unet=6)


def _detector(network: StarDistSettings = SMALL, prob_threshold: float = 0.5) -> StarDist:
    """Random weights; the same at each call."""
    torch.manual_seed(4)
    settings = DetectorSettings(mpp=0.5, network=network, prob_threshold=prob_threshold)
    return StarDist(settings, StarDistNetwork(network))


class _Drawn(StarDistNetwork):
    """Answers with discs of radius 10 px around given cells, whatever it sees."""

    def __init__(self, cells: list[tuple[int, int, float]]) -> None:
        super().__init__(SMALL)
        self.cells = cells

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = image.shape[2] // 2, image.shape[3] // 2
        logit = torch.full((1, height, width), -9.0)
        for row, column, value in self.cells:
            logit[0, row, column] = value
        return logit, torch.full((1, 8, height, width), 10.0)


def _noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def test_limits_are_numpys_percentiles() -> None:
    rgb = _noise(37, 23) // np.array([1, 2, 9], np.uint8)
    expected = np.percentile(rgb, (1, 99.8), axis=(0, 1))
    np.testing.assert_allclose(limits_of(histogram(rgb), (1, 99.8)), expected, rtol=1e-6)
    halves = histogram(rgb[:20]) + histogram(rgb[20:])
    np.testing.assert_array_equal(halves, histogram(rgb))


@pytest.mark.parametrize(("grid", "depth"), [((1, 1), 1), ((2, 2), 3), ((2, 4), 2)])
def test_the_network_answers_on_its_grid(grid: tuple[int, int], depth: int) -> None:
    settings = StarDistSettings(n_rays=5, grid=grid, unet_n_depth=depth, unet_n_filter_base=3, net_conv_after_unet=0)
    network = StarDistNetwork(settings)
    rows, columns = settings.multiple
    logit, distance = network(torch.zeros(2, 3, 2 * rows, 3 * columns))
    assert logit.shape == (2, 2 * rows // grid[0], 3 * columns // grid[1])
    assert distance.shape == (2, 5, *logit.shape[1:])
    assert list(network.conv) == [name for name, _, _ in layers(settings)]


def test_what_lies_beyond_the_reach_changes_nothing() -> None:
    detector = _detector()
    reach = SMALL.reach_px
    rgb = _noise(64, 2 * reach + 64)
    other = rgb.copy()
    other[:, reach + 32 :] = 255 - other[:, reach + 32 :]
    limits = detector.limits(rgb)
    before, after = (detector.dense(image, limits)[0] for image in (rgb, other))
    assert np.abs(before - after)[:, :16].max() == 0
    assert np.abs(before - after).max() > 0


def test_any_size_is_padded_and_cropped_again() -> None:
    probability, distance = _detector().dense(_noise(45, 31))
    assert probability.shape == (23, 16)
    assert distance.shape == (23, 16, 8)
    assert distance.min() >= 1e-3
    assert 0 < probability.min() < probability.max() < 1


def test_nuclei_lie_where_the_network_saw_them() -> None:
    settings = DetectorSettings(mpp=0.5, network=SMALL, prob_threshold=0.6)
    cells = [(20, 30, 2.0), (21, 30, 1.0), (40, 8, 0.9), (1, 40, 3.0), (45, 45, 0.1)]
    nuclei = StarDist(settings, _Drawn(cells)).predict(_noise(112, 112))
    np.testing.assert_array_equal(nuclei.centres, [[60.5, 40.5], [16.5, 80.5]])  # not the doublet, edge, or weak one
    np.testing.assert_allclose(nuclei.probability, 1 / (1 + np.exp([-2.0, -0.9])), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(nuclei.polygons - nuclei.centres[:, None], axis=2), 10, rtol=1e-5)
    np.testing.assert_allclose(nuclei.polygons[0, :3:2], [[70.5, 40.5], [60.5, 50.5]], atol=1e-4)


def test_labels_draw_the_likelier_nucleus_above() -> None:
    square = np.array([[2, 2], [8, 2], [8, 8], [2, 8]], np.float32)
    nuclei = Nuclei(np.stack([square, square + 3]), np.zeros((2, 2), np.float32), np.array([0.9, 0.5], np.float32))
    labels = nuclei.labels((12, 12))
    assert labels.dtype == np.int32
    assert (labels == 1).sum() == 36
    assert labels[6, 6] == 1
    assert labels[10, 9] == 2


def test_nothing_is_found_where_nothing_is_likely() -> None:
    nuclei = _detector(prob_threshold=0.99).predict(np.full((40, 40, 3), 240, np.uint8))
    assert nuclei.polygons.shape == (0, 8, 2)
    assert len(nuclei) == 0
    assert nuclei.labels((40, 40)).max() == 0


def test_bfloat16_is_close() -> None:
    rgb = _noise(64, 64)
    torch.manual_seed(4)
    coarse = StarDist(DetectorSettings(mpp=0.5, network=SMALL), StarDistNetwork(SMALL), precision="bfloat16")
    assert np.abs(coarse.dense(rgb)[0] - _detector().dense(rgb)[0]).max() < 0.02
