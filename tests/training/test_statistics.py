import numpy as np
import pytest
from scipy import ndimage

from hmgdm_plugin.training.statistics import names, statistics_of, tile_statistics


@pytest.fixture(name="tile")
def _tile():
    rng = np.random.default_rng(0)
    return ndimage.gaussian_filter(rng.integers(0, 256, (64, 64, 3)).astype(float), (2, 2, 0)).astype(np.uint8)


def named(rgb):
    return dict(zip(names(), tile_statistics(rgb).tolist(), strict=True))


def test_each_number_has_its_own_name(tile):
    assert len(set(names())) == 130
    assert tile_statistics(tile).shape == (130,)
    np.testing.assert_array_equal(statistics_of([tile, tile])[1], tile_statistics(tile))


def test_flat_colour_by_hand():
    found = named(np.full((32, 32, 3), (255, 51, 0), np.uint8))
    assert found["rgb0_mean"] == 1.0
    assert found["rgb1_mean"] == pytest.approx(0.2)
    assert found["rgb1_std"] == pytest.approx(0, abs=1e-7)
    assert found["histogram_red_7"] == found["histogram_green_1"] == found["histogram_blue_0"] == 1.0
    assert found["glcm_contrast_1px_mean"] == 0.0
    assert found["gradient_mean"] < 1e-12
    assert found["glcm_energy_4px_mean"] == pytest.approx(1.0)


def test_shares_add_up_to_one(tile):
    found = named(tile)
    groups = ["histogram_red", "histogram_haematoxylin", "lbp_8_1px", "lbp_16_2px", "orientation"]
    for group in groups:
        assert sum(v for k, v in found.items() if k.startswith(group)) == pytest.approx(1, abs=1e-5)


def test_stripes_have_contrast_where_they_differ():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    found = named(stripes)
    # right, both diagonals: 31 grey steps apart at 1 px; down: none
    assert found["glcm_contrast_1px_mean"] == pytest.approx(31**2 * 3 / 4)
    assert found["glcm_contrast_2px_mean"] == pytest.approx(31**2 * 2 / 4)  # diagonal steps of 1.4 px round to 1
    broad = np.zeros((64, 64, 3), np.uint8)
    broad[:, 32:] = 255
    assert named(broad)["orientation_0"] == pytest.approx(1.0)  # the gradient points right


def test_texture_ignores_a_quarter_turn(tile):
    a, b = named(tile), named(np.rot90(tile).copy())
    for name in a:
        if not name.startswith(("orientation", "lbp_16")):  # 16 neighbours are interpolated, with rounding
            assert a[name] == pytest.approx(b[name], rel=1e-4, abs=1e-5), name
