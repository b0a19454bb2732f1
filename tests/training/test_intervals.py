import numpy as np
import pytest

from hmgdm_plugin.training import metrics
from hmgdm_plugin.training.intervals import interval, paired, resamples


def test_draws_are_of_whole_patients_and_start_with_the_data():
    weights = resamples(["a", "b", "a", "c"], n=50, seed=1)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all()
    assert weights[1:].std() > 0
    np.testing.assert_array_equal(weights, resamples(["a", "b", "a", "c"], n=50, seed=1))


def test_interval_of_a_mean_is_the_normal_one():
    rng = np.random.default_rng(2)
    errors = rng.exponential(size=400)
    found = interval(metrics.mae(np.zeros(400), errors, resamples([str(i) for i in range(400)])))
    half = 1.96 * errors.std() / 20
    assert found.value == pytest.approx(errors.mean())
    assert (found.low, found.high) == pytest.approx((errors.mean() - half, errors.mean() + half), abs=0.02)


def test_alike_tiles_of_a_patient_do_not_make_it_surer():
    errors = np.random.default_rng(3).exponential(size=30)
    once = interval(metrics.mae(np.zeros(30), errors, resamples([f"{i:02}" for i in range(30)])))
    often = np.repeat(errors, 10)
    many = interval(metrics.mae(np.zeros(300), often, resamples([f"{i // 10:02}" for i in range(300)])))
    assert (many.low, many.high) == pytest.approx((once.low, once.high))


def test_a_steady_gain_is_sure_when_paired():
    rng = np.random.default_rng(4)
    truth, noise = rng.normal(size=60), rng.normal(size=60)
    weights = resamples([str(i // 3) for i in range(60)])
    worse, better = (metrics.mae(truth, truth + k * noise, weights) for k in (1.0, 0.9))
    gain, alone = paired(better, worse), interval(better)
    assert gain.high < 0
    assert gain.value == pytest.approx(-0.1 * np.abs(noise).mean())
    assert gain.high - gain.low < (alone.high - alone.low) / 2


def test_undefined_draws_are_left_out():
    assert interval(np.array([0.5, 0.4, np.nan, 0.6])).low == pytest.approx(0.405)
    assert np.isnan(interval(np.array([0.5, np.nan])).low)
