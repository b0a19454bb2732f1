"""Colours must stay apart for colour-blind eyes and from the stain."""

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from hmgdm_plugin.qupath.overlay import PALETTE, palette, stable_rgb

# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB
EYES = {
    "normal": np.eye(3),
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
}
STAIN = [(233, 190, 215), (214, 150, 190), (190, 120, 170), (140, 90, 160), (100, 60, 130), (245, 235, 242)]


def lab(rgb, eyes="normal"):
    c = np.array(rgb, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(EYES[eyes]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("eyes", EYES)
def test_palette_stays_apart(eyes):
    seen = lab(PALETTE, eyes)
    apart = deltaE_ciede2000(seen[:, None], seen[None])[np.triu_indices(len(PALETTE), 1)]
    assert apart.min() > 11


def test_palette_stays_away_from_the_stain():
    assert deltaE_ciede2000(lab(PALETTE)[:, None], lab(STAIN)[None]).min() > 20


def test_palette_grows_without_changing():
    assert palette(14)[:4] == palette(4)
    assert len(set(palette(14))) == 14


def test_colour_of_a_name_is_stable_and_not_pink():
    assert stable_rgb("Tumor") == stable_rgb("Tumor")
    names = [stable_rgb(f"class {i}") for i in range(200)]
    assert len(set(names)) > 190
    for red, green, blue in names:
        assert 0 <= min(red, green, blue) <= max(red, green, blue) <= 255
        assert green >= min(red, blue)
