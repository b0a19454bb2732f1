"""The network in torch answers as the stardist package does: against TensorFlow where it is, else kept numbers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.nuclei.keras import read_config, read_thresholds, read_weights
from hmgdm_plugin.nuclei.network import StarDistNetwork
from hmgdm_plugin.nuclei.stars import StarDist
from hmgdm_plugin.schema.nuclei import DetectorSettings

TINY = Path(__file__).parent / "stardist-tiny"
needs_tensorflow = pytest.mark.skipif(
    find_spec("tensorflow") is None, reason="TensorFlow is not installed; it comes with the extra nuclei-training"
)


def _ours(folder: Path) -> StarDist:
    network_settings = read_config(folder)
    network = StarDistNetwork(network_settings)
    network.load_state_dict(read_weights(folder, network_settings))
    probability, overlap = read_thresholds(folder)
    settings = DetectorSettings(mpp=0.5, prob_threshold=probability, nms_threshold=overlap, network=network_settings)
    return StarDist(settings, network)


def _theirs(folder: Path) -> Any:
    from stardist.models import StarDist2D

    return StarDist2D(None, name=folder.name, basedir=str(folder.parent))


def _normalised(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    from csbdeep.utils import normalize

    return normalize(rgb, 1, 99.8, axis=(0, 1))


def _tiles(shared_data: Path) -> list[NDArray[np.uint8]]:
    """Real tiles whose sides are, and are not, what the network takes without padding."""
    image = np.array(Image.open(next(iter(sorted((shared_data / "nuc_tnbc" / "images").glob("*.png"))))).convert("RGB"))
    return [image[:256, :256], image[100:303, 50:201]]


def test_numbers_kept_from_the_package() -> None:
    kept = np.load(TINY / "answer.npz")
    probability, distance = _ours(TINY).dense(kept["rgb"])
    np.testing.assert_allclose(probability, kept["probability"], atol=1e-5)
    np.testing.assert_allclose(distance, kept["distance"], atol=1e-4)
    nuclei = _ours(TINY).predict(kept["rgb"])
    assert len(nuclei) == len(kept["points"]) > 0
    np.testing.assert_array_equal(nuclei.centres[:, ::-1] - 0.5, kept["points"])
    np.testing.assert_allclose(nuclei.polygons[..., ::-1].transpose(0, 2, 1) - 0.5, kept["coord"], atol=1e-3)


@needs_tensorflow
@pytest.mark.parametrize("number", [0, 1])
def test_the_package_itself_says_the_same_on_real_tiles(shared_data: Path, number: int) -> None:
    rgb = _tiles(shared_data)[number]
    model = _theirs(TINY)
    expected_probability, expected_distance = model.predict(_normalised(rgb))
    probability, distance = _ours(TINY).dense(rgb)
    assert np.abs(probability - expected_probability).max() < 1e-4
    assert np.abs(distance - expected_distance).max() < 1e-4
    _, expected = model.predict_instances(_normalised(rgb))
    nuclei = _ours(TINY).predict(rgb)
    np.testing.assert_array_equal(nuclei.centres[:, ::-1] - 0.5, expected["points"])
    np.testing.assert_allclose(nuclei.polygons[..., ::-1].transpose(0, 2, 1) - 0.5, expected["coord"], atol=1e-3)


@needs_tensorflow
@pytest.mark.parametrize(
    "shape",
    [
        {"grid": (1, 1), "unet_n_depth": 2},
        {"grid": (2, 4), "unet_n_depth": 2, "unet_n_conv_per_depth": 3, "net_conv_after_unet": 0},
        {"grid": (4, 4), "n_rays": 64, "unet_n_depth": 1, "unet_kernel_size": (5, 3), "unet_n_conv_per_depth": 1},
    ],
)
@pytest.mark.parametrize("layout", ["weights_best.h5", "keras3"])
def test_other_networks_of_the_package_are_the_same(shape: dict[str, Any], layout: str, tmp_path: Path) -> None:
    from stardist.models import Config2D, StarDist2D

    config = Config2D(n_channel_in=3, unet_n_filter_base=5, **{"n_rays": 7, "net_conv_after_unet": 6, **shape})
    model = StarDist2D(config, name="other", basedir=str(tmp_path))
    if layout == "keras3":
        model.keras_model.save_weights(str(tmp_path / "other" / "native.weights.h5"))
        (tmp_path / "other" / "native.weights.h5").rename(tmp_path / "other" / "weights_best.h5")
    else:
        model.keras_model.save_weights(str(tmp_path / "other" / "weights_best.h5"))
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    expected_probability, expected_distance = model.predict(_normalised(rgb))
    probability, distance = _ours(tmp_path / "other").dense(rgb)
    assert np.abs(probability - expected_probability).max() < 1e-4
    assert np.abs(distance - expected_distance).max() < 1e-4
