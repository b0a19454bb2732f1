"""Coherence of edges: by hand on stripes, against Gaussian filters of SciPy, under turns."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hmgdm_plugin.graph.adjacency import regions
from hmgdm_plugin.graph.coherence import WINDOWS_PX, coherence
from hmgdm_plugin.graph.colour import planes_of
from hmgdm_plugin.graph.descriptors import NAMES, describe, planes_for
from hmgdm_plugin.schema.graph import OWN_DESCRIPTORS


def _coherence(plane):
    out = np.full((2, *plane.shape), np.nan, np.float32)
    coherence(np.ascontiguousarray(plane, np.float32), out)
    return out


def test_stripes_run_in_one_direction_and_noise_in_none():
    y, x = np.mgrid[:128, :128]
    assert _coherence(np.sin(x / 3)).min() > 0.98
    assert _coherence(np.sin((x + 0.7 * y) / 3))[:, 20:-20, 20:-20].min() > 0.9
    near, wide = _coherence(np.random.default_rng(0).normal(size=(128, 128)))
    assert wide.mean() < near.mean() < 0.2
    assert _coherence(np.full((40, 44), 0.3)).max() == 0.0


def test_it_is_the_structure_tensor_in_gaussian_windows():
    plane = gaussian_filter(np.random.default_rng(1).normal(size=(128, 128)), (1.5, 4)) * 3
    gy, gx = (np.gradient(plane, axis=axis) for axis in (0, 1))
    for layer, sigma in zip(_coherence(plane), WINDOWS_PX, strict=True):
        a, b, energy = (gaussian_filter(part, sigma) for part in (gx * gx - gy * gy, 2 * gx * gy, gx * gx + gy * gy))
        theirs = (np.hypot(a, b) / (energy + 1e-5)).reshape(32, 4, 32, 4).mean((1, 3))
        assert layer[::4, ::4][8:24, 8:24] == pytest.approx(theirs[8:24, 8:24], abs=0.02)


@pytest.mark.parametrize("shape", [(64, 64), (61, 50), (3, 5)])
def test_a_turned_tile_has_the_turned_coherence(shape):
    plane = gaussian_filter(np.random.default_rng(2).normal(size=shape), 1.0)
    here = _coherence(plane)
    assert np.isfinite(here).all()
    assert here.min() >= 0
    assert here.max() <= 1
    if shape[0] % 4 == shape[1] % 4 == 0:
        assert _coherence(np.rot90(plane)) == pytest.approx(np.rot90(here, axes=(1, 2)), abs=1e-5)


def test_descriptors_hold_it_where_edges_and_nuclei_are():
    """Left half striped, right half noise: plain mean, mean by gradient and mean of dark pixels of each."""
    rng = np.random.default_rng(3)
    stain = np.where(np.arange(128) < 64, np.sin(np.arange(128) / 2) > 0, rng.random((128, 128)) > 0.5)
    rgb = np.where(np.broadcast_to(stain, (128, 128))[..., None], (80, 50, 130), (225, 170, 205)).astype(np.uint8)
    smooth, coded = planes_for(rgb, planes_of(rgb))
    labels = np.repeat((np.arange(128) >= 64).astype(np.int32)[None], 128, 0)
    rows = describe(smooth, coded, regions(labels, 2)).astype(np.float64)
    for k, row in enumerate(rows):
        own, dark = labels == k, (coded[1] >> 6 & 1).astype(bool)
        for name, layer in (("near", smooth[10]), ("wide", smooth[11])):
            values = dict(zip(NAMES, row, strict=True))
            assert values[f"{name} coherence mean"] == pytest.approx(layer[own].mean(), abs=1e-3)
            steep = np.average(layer[own], weights=smooth[5][own])
            assert values[f"{name} coherence at edges"] == pytest.approx(steep, abs=1e-3)
            assert values[f"{name} coherence of dark"] == pytest.approx(layer[own & dark].mean(), abs=1e-3)
    assert (rows[0, 63:] > rows[1, 63:] + 0.25).all()


def test_what_looks_past_an_entity_stands_behind_its_own_descriptors():
    assert [name for name in NAMES if "coherence" in name] == list(NAMES[OWN_DESCRIPTORS:])
