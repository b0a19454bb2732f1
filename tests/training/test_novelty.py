"""Novelty, intervals and temperatures: what a person would expect of numbers small enough to check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hmgdm_plugin.training.calibration import ece, tempered, tempered_by_others
from hmgdm_plugin.training.conformal import covered, margin
from hmgdm_plugin.training.metrics import mean_by_patient
from hmgdm_plugin.training.novelty import Spoilt, distances, fit_novelty, judge_novelty, quantile_of
from hmgdm_plugin.training.spoilt import SPOILT

PATIENTS = [f"p{k // 30:02d}" for k in range(600)]


def _looks(seed: int = 0) -> np.ndarray:
    """Twenty patients with thirty tiles each, in six directions of different width."""
    rng = np.random.default_rng(seed)
    own = np.repeat(rng.normal(size=(20, 6)), 30, axis=0) * 0.3
    return (own + rng.normal(size=(600, 6))) * np.array([1, 2, 4, 8, 0.5, 0.1])


def test_distance_is_mahalanobis_and_ignores_units() -> None:
    x = _looks()
    found = distances(fit_novelty(x, PATIENTS), x)
    other = x * np.array([1e-3, 1, 1, 1, 1e3, 1]) + 7
    np.testing.assert_allclose(distances(fit_novelty(other, PATIENTS), other), found, rtol=1e-3)
    centred = x - x.mean(0)
    plain = np.sqrt(np.einsum("ni,ij,nj->n", centred, np.linalg.inv(np.cov(x.T)), centred))
    assert np.corrcoef(found, plain)[0, 1] > 0.999


def test_a_constant_feature_is_no_reason_for_novelty_until_it_moves() -> None:
    x = np.c_[_looks(), np.full(600, 3.0)]
    novelty = fit_novelty(x, PATIENTS)
    moved = x.copy()
    moved[:, -1] += 30
    assert np.isfinite(distances(novelty, x)).all()
    assert (distances(novelty, moved) > distances(novelty, x)).all()


def test_false_alarms_are_as_promised_and_what_is_spoilt_is_found() -> None:
    x = _looks()
    own = np.arange(0, 600, 10)
    found = judge_novelty(x, PATIENTS, {"far": Spoilt(x[own] + 100, own), "same": Spoilt(x[own], own)})
    assert found.false_alarms.value == pytest.approx(0.05, abs=0.03)
    assert found.false_alarms.low < found.false_alarms.value < found.false_alarms.high
    assert found.detected["far"] == 1
    assert found.detected["same"] == pytest.approx(0.05, abs=0.07)
    assert found.usual_share >= found.false_alarms.value


def test_a_patient_with_many_tiles_counts_as_one() -> None:
    values, patients = np.r_[np.zeros(98), 1.0, 2.0], ["many"] * 98 + ["b", "c"]
    assert quantile_of(values, patients, 0.5) == 1
    assert quantile_of(values, patients, 0.3) == 0
    weights = np.ones((1, 100))
    assert mean_by_patient(values, patients, weights)[0] == pytest.approx(1.0)


def test_the_margin_by_hand() -> None:
    errors, patients = np.array([1.0, -2.0, 3.0, 4.0]), ["a", "b", "c", "d"]
    assert margin(errors, patients, 0.6) == 3  # 3 of 4 + 1 patients
    assert margin(errors, patients, 0.9) == np.inf
    assert margin(np.r_[errors, errors], patients * 2, 0.6) == 3
    np.testing.assert_array_equal(covered(errors, patients, 0.5), [1, 1, 0, 0])


def test_the_margin_holds_for_new_patients() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        size = np.repeat(rng.uniform(0.3, 3, 21), 8)
        errors = np.repeat(rng.normal(size=21), 8) * 0.5 + size * rng.normal(size=168)
        known = margin(errors[:160], [f"p{k // 8}" for k in range(160)], 0.9)
        inside.append((np.abs(errors[160:]) <= known).mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.06)


def test_the_temperature_of_a_fold_is_that_of_the_others() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1.0, 1.0], 3000)
    truth = (rng.uniform(size=3000) < honest[:, 1]).astype(np.int64)
    patients, folds = [str(k) for k in range(3000)], np.arange(3000) % 3
    loud = tempered(honest, 0.3)
    mended = tempered_by_others(truth, loud, patients, folds)
    weights = np.ones((1, 3000))
    assert ece(truth, mended, weights)[0] < 0.04 < ece(truth, loud, weights)[0]
    changed = truth.copy()
    changed[folds == 0] = 0
    again = tempered_by_others(changed, loud, patients, folds)
    np.testing.assert_array_equal(again[folds == 0], mended[folds == 0])


@pytest.mark.parametrize("how", SPOILT)
def test_spoilt_tiles_are_images_of_the_same_size_and_repeat(how: str) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    one, two = (SPOILT[how](rgb, np.random.default_rng(3)) for _ in range(2))
    assert one.shape == rgb.shape
    assert one.dtype == np.uint8
    assert (one != rgb).any()
    np.testing.assert_array_equal(one, two)


def test_the_distance_of_a_batch_is_in_units_of_the_limit() -> None:
    novelty = fit_novelty(_looks(), PATIENTS)
    looks = torch.from_numpy(_looks()[:3]).float()
    before = novelty.distance(looks)
    novelty.limit.fill_(2.0)
    assert torch.equal(novelty.distance(looks), before)
