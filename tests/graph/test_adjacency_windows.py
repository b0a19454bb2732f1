"""Contacts, bands and windows against brute force, and what they may not depend on."""

import numpy as np
import pytest
from scipy import ndimage

from hmgdm_plugin.graph.adjacency import bands, edge_list, regions
from hmgdm_plugin.graph.windows import area_taps, cut_windows

FILL = (207, 195, 207)


def _labels(seed=0, size=60, seeds=9):
    rng = np.random.default_rng(seed)
    points = rng.random((seeds, 2)) * size
    y, x = np.mgrid[:size, :size]
    nearest = np.hypot(y[..., None] - points[:, 0], x[..., None] - points[:, 1]).argmin(-1)
    return np.unique(nearest, return_inverse=True)[1].reshape(size, size).astype(np.int32)


def test_02_bands_are_the_intersection_of_both_dilations():
    labels = _labels()
    count = labels.max() + 1
    edges = edge_list(labels, count)
    found = bands(labels, edges, count, 5)
    box = np.ones((5, 5), bool)
    grown = [ndimage.binary_dilation(labels == k, box) for k in range(count)]
    for e, (u, v) in enumerate(edges.T):
        own = found.pixels[found.offsets[e] : found.offsets[e + 1]]
        assert np.array_equal(own, np.flatnonzero(grown[u] & grown[v]))


def test_01_edges_are_undirected_sorted_and_without_loops():
    labels = _labels(1)
    edges = edge_list(labels, labels.max() + 1)
    assert (edges[0] < edges[1]).all()
    assert [tuple(e) for e in edges.T] == sorted({tuple(e) for e in edges.T})


def test_regions_list_every_pixel_once():
    labels = _labels(2)
    found = regions(labels, labels.max() + 1)
    assert sorted(found.pixels) == list(range(labels.size))
    for k in range(len(found)):
        assert (labels.ravel()[found.pixels[found.offsets[k] : found.offsets[k + 1]]] == k).all()


def test_02_a_window_is_the_image_inside_and_the_fill_outside():
    labels = _labels(3)
    rgb = np.random.default_rng(3).integers(0, 256, (60, 60, 3), np.uint8)
    windows, centres = cut_windows(rgb, regions(labels, labels.max() + 1), 48, 48, FILL)
    padded = np.full((60 + 96, 60 + 96, 3), 0, np.uint8)
    padded[48:-48, 48:-48] = rgb
    inside = np.full((60 + 96, 60 + 96), -1)
    inside[48:-48, 48:-48] = labels
    for k, (window, (cx, cy)) in enumerate(zip(windows, centres, strict=True)):
        y, x = int(np.floor(cy - 24 + 0.5)) + 48, int(np.floor(cx - 24 + 0.5)) + 48
        mask = inside[y : y + 48, x : x + 48] == k
        assert np.array_equal(window[3], np.where(mask, 255, 0))
        crop = padded[y : y + 48, x : x + 48]
        assert np.array_equal(np.moveaxis(window[:3], 0, 2), np.where(mask[..., None], crop, FILL))


def test_02_pixels_outside_the_instance_do_not_matter():
    labels = _labels(4)
    rgb = np.random.default_rng(4).integers(0, 256, (60, 60, 3), np.uint8)
    other = np.where((labels == 2)[..., None], rgb, 255 - rgb)
    own = regions(labels, labels.max() + 1)
    assert np.array_equal(cut_windows(rgb, own, 48, 32, FILL)[0][2], cut_windows(other, own, 48, 32, FILL)[0][2])


def test_reduced_windows_keep_fill_and_mean():
    """Mask 0 is the fill exactly; the mean of a window that the instance fills is kept."""
    rgb = np.random.default_rng(5).integers(0, 256, (48, 48, 3), np.uint8)
    whole = regions(np.zeros((48, 48), np.int32), 1)
    window = cut_windows(rgb, whole, 48, 32, FILL)[0][0]
    assert (window[3] == 255).all()
    assert window[:3].mean() == pytest.approx(rgb.mean(), abs=0.05)
    labels = _labels(6)
    windows = cut_windows(np.zeros((60, 60, 3), np.uint8), regions(labels, labels.max() + 1), 48, 32, FILL)[0]
    for window in windows:
        assert (np.moveaxis(window[:3], 0, 2)[window[3] == 0] == FILL).all()


@pytest.mark.parametrize(("source", "target"), [(48, 32), (48, 48), (48, 16), (40, 32), (33, 16)])
def test_area_taps_share_out_every_source_pixel(source, target):
    index, share = area_taps(source, target)
    assert share.sum(1) == pytest.approx(np.ones(target))
    total = np.zeros(source)
    np.add.at(total, index, share)
    assert total == pytest.approx(np.full(source, target / source), abs=1e-6)
