"""How superpixels and nuclei are judged, on cases whose answer is plain."""

from __future__ import annotations

import numpy as np

from benchmarks.nuclei_tilings import alike
from benchmarks.superpixels import boundary_recall, theirs, undersegmentation_error
from hmgdm_plugin.schema.settings import GraphSettings

STEP = np.arange(64)[None, :] >= np.full((64, 1), 32)  # (64, 64): the right half


def test_a_cut_along_the_edge_is_perfect_and_one_across_it_is_not() -> None:
    along, across = STEP.astype(int), STEP.T.astype(int)
    assert boundary_recall(along, STEP) == 1.0
    assert undersegmentation_error(along, STEP) == 0.0
    assert undersegmentation_error(across, STEP) == 0.5
    assert boundary_recall(across, STEP) < 0.15


def test_scikit_image_gets_as_many_superpixels_whatever_its_colours() -> None:
    rgb = np.random.default_rng(0).integers(90, 160, (64, 64, 3), np.uint8)
    for labels in theirs(rgb, 16, GraphSettings()):
        assert labels.shape == (64, 64)
        assert 14 <= len(np.unique(labels)) <= 18


def test_nuclei_are_the_same_where_their_centres_are() -> None:
    places = np.array([[10, 10], [20, 20], [30, 30]])
    one = places, places * 1.0
    other = np.array([[30, 30], [10, 12], [90, 90]]), np.array([[30.0, 30.0], [10.0, 11.5], [90.0, 90.0]])
    assert alike(one, other) == (1, 2)
