"""Superpixels and merging: a partition, connected, repeatable, and blind to what must not matter."""

import numpy as np
import pytest
from scipy import ndimage
from skimage.color import rgb2lab
from skimage.metrics import variation_of_information

from hmgdm_plugin.graph.build import partition
from hmgdm_plugin.graph.colour import blur, planes_of
from hmgdm_plugin.graph.merging import contacts, merge
from hmgdm_plugin.graph.superpixels import connected, slic
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.zoo.vector import synthetic_tile

SETTINGS = GraphSettings()


def test_lab_equals_scikit_image():
    rgb = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    assert np.abs(planes_of(rgb)[:3] - np.moveaxis(rgb2lab(rgb), 2, 0)).max() < 0.02


def test_blur_equals_scipy():
    plane = np.random.default_rng(1).random((1, 30, 41)).astype(np.float32)
    expected = ndimage.gaussian_filter(plane[0], 2.0, mode="nearest", truncate=3.0)
    assert np.abs(blur(plane, 2.0)[0] - expected).max() < 1e-5


@pytest.mark.parametrize(("size", "segments"), [((256, 256), 64), ((64, 200), 20), ((7, 5), 64), ((1, 1), 4)])
def test_01_labels_are_a_partition_of_connected_regions(size, segments):
    rgb = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    labels, count = slic(planes_of(rgb)[:3], segments, 20.0, 5)
    assert sorted(np.unique(labels)) == list(range(count))
    for label in range(count):
        assert ndimage.label(labels == label)[1] == 1


def test_connected_regions_equal_scipy():
    image = np.random.default_rng(3).integers(0, 3, (40, 30)).astype(np.int32)
    ours, count = connected(image)
    theirs = np.zeros_like(image)
    for value in range(3):
        found = ndimage.label(image == value)[0]
        theirs += np.where(found > 0, found + theirs.max(), 0)
    assert count == theirs.max()
    assert sum(variation_of_information(ours, theirs)) == pytest.approx(0, abs=1e-12)


def test_borders_of_a_tiling_are_found():
    """Four flat quadrants: every superpixel lies in one of them."""
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:32, :32], rgb[:32, 32:], rgb[32:, :32], rgb[32:, 32:] = (
        (200, 80, 120),
        (90, 60, 150),
        (240, 240, 240),
        (150, 20, 60),
    )
    truth = np.zeros((64, 64), int)
    truth[:32, 32:], truth[32:, :32], truth[32:, 32:] = 1, 2, 3
    labels, count = slic(planes_of(rgb)[:3], 16, 20.0, 10)
    assert all(len(np.unique(truth[labels == k])) == 1 for k in range(count))
    merged, left = merge(rgb, labels, count, 0.02, 1)
    assert left == 4
    assert sum(variation_of_information(merged, truth)) == pytest.approx(0, abs=1e-12)


def test_the_same_tile_gives_the_same_partition():
    rgb = synthetic_tile(256)
    first, second = (partition(rgb, planes_of(rgb), SETTINGS)[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_01_a_flip_moves_the_borders_with_it():
    rgb = synthetic_tile(256)
    flipped = np.ascontiguousarray(rgb[:, ::-1])
    labels = partition(rgb, planes_of(rgb), SETTINGS)[0]
    mirrored = partition(flipped, planes_of(flipped), SETTINGS)[0][:, ::-1]
    assert sum(variation_of_information(labels, mirrored)) < 0.4  # ties between equally near centres may fall otherwise


@pytest.mark.parametrize("size", [(12, 9), (1, 30), (30, 1), (1, 1)])
def test_01_contacts_equal_brute_force(size):
    labels = np.random.default_rng(4).integers(0, 6, size).astype(np.int32)
    expected = set()
    for y, x in np.ndindex(size):
        near = labels[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        expected |= {(labels[y, x], other) for other in np.unique(near) if labels[y, x] < other}
    found = [tuple(pair) for pair in contacts(labels, 6).T]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_merging_uses_every_channel():
    """Two halves that differ in blue only stay apart: the published reference read red three times."""
    rgb = np.full((20, 20, 3), 130, np.uint8)
    rgb[:, 10:, 2] = 250
    labels = np.zeros((20, 20), np.int32)
    labels[:, 10:] = 1
    assert merge(rgb, labels, 2, 0.04, 1)[1] == 2
    assert merge(np.full_like(rgb, 130), labels, 2, 0.04, 1)[1] == 1


def test_small_regions_join_their_likest_neighbour():
    rgb = np.full((20, 30, 3), 60, np.uint8)
    rgb[:, 20:] = 230
    labels = np.zeros((20, 30), np.int32)
    labels[:, 20:] = 2
    labels[5:8, 18:20] = 1  # six dark pixels beside the bright half
    merged, count = merge(rgb, labels, 3, 0.0, 10)
    assert count == 2
    assert merged[6, 19] == merged[0, 0]


def test_too_few_entities_are_left_unmerged():
    flat = np.full((256, 256, 3), 200, np.uint8)
    assert partition(flat, planes_of(flat), SETTINGS)[1] > 30
