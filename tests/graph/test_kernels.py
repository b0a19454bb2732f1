"""Kernels against slow, obvious implementations of the same definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hmgdm_plugin.graph.adjacency import Members, bands, edge_list, regions
from hmgdm_plugin.graph.colour import planes_of
from hmgdm_plugin.graph.descriptors import NAMES, describe, planes_for
from hmgdm_plugin.graph.merging import contacts, merge
from hmgdm_plugin.graph.superpixels import connected, slic
from hmgdm_plugin.graph.texture import RING_1, RING_2, TABLE_1, TABLE_2, patterns, peaks, rough_areas
from hmgdm_plugin.graph.windows import area_taps, cut_windows
from hmgdm_plugin.zoo.vector import synthetic_tile

FILL = (207, 195, 207)


def _speckled(seed: int, size: tuple[int, int], count: int) -> np.ndarray:
    """Labels 0..count-1 in blobs, speckles among them, so that many meet in one place."""
    rng = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(rng.random((count, *size)), (0, 2, 2)).argmax(0)
    speckle = rng.random(size) < 0.08
    labels = np.where(speckle, rng.integers(0, count, size), fields)
    return np.unique(labels, return_inverse=True)[1].reshape(size).astype(np.int32)


def _slic(lab: np.ndarray, rows: int, cols: int, spatial: float, iterations: int) -> np.ndarray:
    height, width = lab.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    i = np.searchsorted([k * height // rows for k in range(1, rows)], y[:, 0], "right")[:, None] + np.zeros(width, int)
    j = np.searchsorted([k * width // cols for k in range(1, cols)], x[0], "right")[None] + np.zeros((height, 1), int)
    labels = i * cols + j
    centres = np.zeros((rows * cols, 5))
    for _ in range(iterations):
        for c in range(rows * cols):
            if (labels == c).any():
                centres[c] = [plane[labels == c].mean(dtype=np.float64) for plane in (*lab, y, x)]
        best = np.full((height, width), np.inf)
        for c in range(rows * cols):
            colour = sum((plane - centre) ** 2 for plane, centre in zip(lab, centres[c, :3], strict=True))
            d = colour + spatial * ((y - centres[c, 3]) ** 2 + (x - centres[c, 4]) ** 2)
            nearer = (abs(i - c // cols) <= 1) & (abs(j - c % cols) <= 1) & (d < best)
            labels, best = np.where(nearer, c, labels), np.where(nearer, d, best)
    return labels


@pytest.mark.parametrize(("size", "segments"), [((70, 90), 12), ((64, 64), 16), ((33, 47), 9)])
def test_slic_equals_slic_in_float64(size, segments):
    lab = planes_of(np.ascontiguousarray(synthetic_tile(128)[: size[0], : size[1]]))[:3]
    step = (size[0] * size[1] / segments) ** 0.5
    slow = _slic(lab, round(size[0] / step), round(size[1] / step), (20.0 / step) ** 2, 6)
    expected = connected(slow.astype(np.int32))[0]
    labels = slic(lab, segments, 20.0, 6)[0]
    same = ndimage.minimum_filter(expected, 3) == ndimage.maximum_filter(expected, 3)  # away from ties on borders
    assert (connected(slow.astype(np.int32))[0][same] == labels[same]).mean() > 0.97


def _merged(rgb: np.ndarray, labels: np.ndarray, threshold: float, least: int) -> np.ndarray:
    """One merger at a time, everything computed anew: the smallest weight first, then the smallest numbers."""
    labels = labels.copy()
    while True:
        facts = {}
        for a in np.unique(labels):
            own = rgb[labels == a].astype(np.float64)
            counts = [np.bincount((own[:, c] // 64).astype(int), minlength=4) for c in range(3)]
            facts[a] = len(own), own.mean(0) / np.linalg.norm(own.mean(0)), [h / np.linalg.norm(h) for h in counts]
        weights = {}
        for a, b in contacts(labels, int(labels.max()) + 1).T:
            (n, mean, bins), (m, other, others) = facts[a], facts[b]
            far = np.mean([np.linalg.norm(u - v) for u, v in zip(bins, others, strict=True)])
            small = min(n, m) < least
            weights[round(0.25 * far + 0.25 * np.linalg.norm(mean - other) - small, 12), a, b] = a, b
        if not weights or min(weights)[0] >= threshold:
            return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        a, b = weights[min(weights)]
        labels[labels == b] = a


@pytest.mark.parametrize(("threshold", "least"), [(0.04, 1), (0.1, 12), (0.0, 20), (2.0, 1)])
@pytest.mark.parametrize("seed", [0, 1])
def test_merging_equals_merging_step_by_step(seed, threshold, least):
    rng = np.random.default_rng(seed)
    labels, count = connected(_speckled(seed, (26, 31), 5))
    rgb = np.clip(rng.integers(40, 220, (count, 3))[labels] + rng.integers(-20, 20, (26, 31, 3)), 0, 255)
    ours, left = merge(rgb.astype(np.uint8), labels, count, threshold, least)
    assert np.array_equal(ours, _merged(rgb.astype(np.uint8), labels, threshold, least))
    assert left == ours.max() + 1


@pytest.mark.parametrize(
    ("size", "count", "band_px"), [((40, 33), 7, 5), ((25, 30), 40, 7), ((9, 9), 60, 7), ((5, 40), 9, 3)]
)
def test_bands_equal_dilation_where_many_regions_meet(size, count, band_px):
    labels = _speckled(2, size, count)
    total = int(labels.max()) + 1
    edges = edge_list(labels, total)
    grown = [ndimage.binary_dilation(labels == k, np.ones((band_px, band_px), bool)) for k in range(total)]
    found = bands(labels, edges, total, band_px)
    for e, (u, v) in enumerate(edges.T):
        own = found.pixels[found.offsets[e] : found.offsets[e + 1]]
        assert np.array_equal(own, np.flatnonzero(grown[u] & grown[v]))


@pytest.mark.parametrize(("window", "stored"), [(48, 32), (48, 48), (33, 16), (16, 64), (48, 16)])
def test_windows_equal_area_averages(window, stored):
    labels = _speckled(3, (70, 60), 6)
    rgb = np.random.default_rng(3).integers(0, 256, (70, 60, 3), np.uint8)
    members = regions(labels, int(labels.max()) + 1)
    windows, centres = cut_windows(rgb, members, window, stored, FILL)
    index, share = area_taps(window, stored)
    average = np.zeros((stored, window))
    np.add.at(average, (np.arange(stored)[:, None], index), share)
    for k, (x, y) in enumerate(centres):
        x0, y0 = int(np.floor(x - window / 2 + 0.5)), int(np.floor(y - window / 2 + 0.5))
        padded = np.pad(labels == k, window)[y0 + window : y0 + 2 * window, x0 + window : x0 + 2 * window]
        colour = np.pad(rgb, ((window,) * 2,) * 2 + ((0, 0),))[y0 + window :][:window, x0 + window :][:, :window]
        cover = average @ padded @ average.T
        for c in range(3):
            expected = average @ (padded * colour[..., c]) @ average.T + (1 - cover) * FILL[c]
            assert np.abs(windows[k, c] - expected).max() < 0.51
        assert np.abs(windows[k, 3] - 255 * cover).max() < 0.51


@pytest.mark.parametrize(("ring", "table"), [(RING_1, TABLE_1), (RING_2, TABLE_2)])
def test_patterns_equal_comparisons_one_by_one(ring, table):
    grey = np.random.default_rng(4).integers(0, 20, (13, 17)).astype(np.int32)
    expected = np.zeros(grey.shape, int)
    for k, (dy, dx) in enumerate(ring):
        y, x = np.clip(np.arange(13) + dy, 0, 12), np.clip(np.arange(17) + dx, 0, 16)
        expected |= (grey[np.ix_(y, x)] >= grey).astype(int) << k
    assert np.array_equal(patterns(grey, ((ring, table),))[0], table[expected])


@pytest.mark.parametrize("levels", [3, 1000])
def test_peaks_equal_a_search_of_the_neighbourhood(levels):
    response = np.random.default_rng(5).integers(0, levels, (20, 23)).astype(np.float32)
    found = peaks(response, levels / 3, 2)
    for y, x in np.ndindex(response.shape):
        near = response[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
        before = response[max(y - 2, 0) : y, max(x - 2, 0) : x + 3].max(initial=-1)
        before = max(before, response[y, max(x - 2, 0) : x].max(initial=-1))
        value = response[y, x]
        assert found[y, x] == (value > levels / 3 and value == near.max() and value > before)


def test_rough_areas_share_a_region_among_its_blobs():
    labels = np.repeat([[0, 1, 2]], 4, axis=0).astype(np.int32).repeat(3, axis=1)
    dark, blobs = (labels > 0).astype(np.uint8), np.zeros(labels.shape, np.uint8)
    blobs[0, 3] = blobs[2, 4] = 1
    assert rough_areas(dark, blobs, labels, 3) == pytest.approx([0, np.log(6), np.log(12)])


def test_descriptors_equal_statistics_of_the_pixels():
    rgb = np.ascontiguousarray(synthetic_tile(96)[:60, :80])
    planes = planes_of(rgb)
    smooth, coded = planes_for(rgb, planes)
    labels = _speckled(6, (60, 80), 5)
    members = regions(labels, int(labels.max()) + 1)
    rows = describe(smooth, coded, members).astype(np.float64)
    for k, row in enumerate(rows):
        values = dict(zip(NAMES, row, strict=True))
        own = labels == k
        pixels, stain = smooth[:, own].astype(np.float64), planes[3][own]
        assert row[:9] == pytest.approx(pixels[:9].mean(1), rel=2e-3, abs=1e-3)
        assert row[9:18] == pytest.approx(pixels[:9].std(1), rel=2e-3, abs=2e-3)
        shares = np.histogram(stain, [-9, 0.05, 0.15, 0.3, 9])[0] / own.sum()
        assert row[18:22] == pytest.approx(shares, abs=1e-3)
        rings = [np.bincount(coded[0][own] // 18, minlength=10), np.bincount(coded[0][own] % 18, minlength=18)]
        assert row[26:54] == pytest.approx(np.concatenate(rings) / own.sum(), abs=1e-3)
        dark = coded[1][own] >> 6 & 1
        assert values["dark share"] == pytest.approx(dark.mean(), abs=1e-3)
        assert values["log area"] == pytest.approx(np.log(own.sum()), rel=1e-3)
        y, x = np.nonzero(own)
        low, high = np.linalg.eigvalsh(np.cov(np.stack([y, x]), bias=True) + np.eye(2) / 12)
        assert values["elongation"] == pytest.approx(1 - np.sqrt(low / high), abs=2e-3)


def test_a_member_list_may_be_a_part_of_another():
    """Entities may overlap and leave pixels out: every list is read by itself."""
    rgb = np.ascontiguousarray(synthetic_tile(64))
    smooth, coded = planes_for(rgb, planes_of(rgb))
    whole, half = np.arange(64 * 64, dtype=np.int32), np.arange(0, 64 * 64, 2, dtype=np.int32)
    both = Members(np.concatenate([whole, half]), np.array([0, len(whole), len(whole) + len(half)]))
    alone = Members(half, np.array([0, len(half)]))
    assert np.array_equal(describe(smooth, coded, both)[1], describe(smooth, coded, alone)[0])
    assert np.array_equal(cut_windows(rgb, both, 48, 32, FILL)[0][1], cut_windows(rgb, alone, 48, 32, FILL)[0][0])
