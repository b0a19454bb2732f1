"""Views: repeatable, square symmetries, stains that change and glass that does not."""

import numpy as np

from hmgdm_plugin.training.augment import restain, turn, view

RGB = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def test_the_first_view_is_the_tile_and_each_has_its_seed():
    assert view(RGB, 0, (1, 2)) is RGB
    assert np.array_equal(view(RGB, 3, (1, 2)), view(RGB, 3, (1, 2)))
    assert not np.array_equal(view(RGB, 3, (1, 2)), view(RGB, 4, (1, 2)))


def test_turning_keeps_the_pixels_and_meets_all_eight_symmetries():
    rng = np.random.default_rng(1)
    seen = {turn(RGB, rng).tobytes() for _ in range(200)}
    assert len(seen) == 8
    assert all(sorted(image) == sorted(RGB.tobytes()) for image in seen)


def test_glass_stays_glass_and_no_change_is_no_change():
    white = np.full((8, 8, 3), 250, np.uint8)
    assert np.abs(restain(white, np.random.default_rng(2)).astype(int) - 250).max() <= 2
    assert np.abs(restain(RGB, np.random.default_rng(2), 0.0).astype(int) - RGB).max() <= 64
    tissue = np.full((8, 8, 3), (180, 90, 150), np.uint8)
    assert np.array_equal(restain(tissue, np.random.default_rng(2), 0.0), tissue)
    assert not np.array_equal(restain(tissue, np.random.default_rng(2)), tissue)
