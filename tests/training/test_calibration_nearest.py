"""Calibration and neighbours on numbers small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hmgdm_plugin.training.calibration import ece, reliability, temperature, tempered
from hmgdm_plugin.training.nearest import fit_nearest
from hmgdm_plugin.training.probe import class_weights, logistic_fit


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    honest = rng.dirichlet([1.0, 1.0, 1.0], 4000)
    truth = np.array([rng.choice(3, p=row) for row in honest])
    loud = tempered(honest, 0.4)
    assert temperature(truth, loud, [str(k) for k in range(4000)]) == pytest.approx(2.5, rel=0.1)
    weights = np.ones((1, 4000))
    assert ece(truth, tempered(loud, 2.5), weights)[0] < 0.03 < ece(truth, loud, weights)[0]
    np.testing.assert_allclose(tempered(honest, 1.0), honest, atol=1e-9)


def test_temperature_believes_patients_not_rows() -> None:
    sure_and_wrong = np.tile([0.9, 0.1], (50, 1))
    truth = np.repeat([1, 0], [40, 10])
    one, many = (
        temperature(truth, sure_and_wrong, ["p"] * 50),
        temperature(truth, sure_and_wrong, list(map(str, range(50)))),
    )
    assert 1.2 < one < 3 < many
    assert temperature(truth[:0], sure_and_wrong[:0], []) == pytest.approx(1.0, abs=1e-3)


def test_ece_and_reliability_by_hand() -> None:
    guess = np.array([[0.9, 0.1], [0.95, 0.05], [0.35, 0.65], [0.35, 0.65]])
    truth = np.array([0, 1, 1, 1])
    sure, right, count = reliability(truth, guess)
    np.testing.assert_allclose(sure, [0.65, 0.925])
    np.testing.assert_allclose(right, [1.0, 0.5])
    assert count.tolist() == [2, 2]
    weights = np.array([[1.0, 1, 1, 1], [0, 2, 1, 1]])
    expected = [(2 * 0.35 + 2 * 0.425) / 4, (2 * 0.35 + 2 * 0.95) / 4]
    np.testing.assert_allclose(ece(truth, guess, weights), expected)


def test_neighbours_vote_as_if_classes_were_equally_frequent() -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal([3, 0], 0.5, (40, 2)), rng.normal([-3, 0], 0.5, (4, 2))])
    y = np.repeat([0, 1], [40, 4])
    found = fit_nearest(x, y, x[[0, 1, 40, 41]], y[[0, 1, 40, 41]], 2)
    chances = found.predict(np.array([[3.0, 0], [-3.0, 0]]))
    assert chances.argmax(1).tolist() == [0, 1]
    np.testing.assert_allclose(chances.sum(1), 1)
    assert fit_nearest(x[:2], y[:2], x[:0], y[:0], 2).count == 1  # nobody to choose by


def test_balanced_logistic_is_that_of_scikit_learn_with_the_same_weights() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], [90, 12])
    x = rng.normal(size=(102, 4)) + y[:, None] * [1.0, 0, 0, 0]
    patients = [f"p{k % 17}" for k in range(102)]
    np.testing.assert_allclose(class_weights(y, 3), [12 / 90, 1.0, 0.0])
    weight, bias = logistic_fit(x, y, patients, 2, strengths=(1.0,), balanced=True)
    z = (x - x.mean(0)) / x.std(0)
    ours = (x @ weight.T + bias) @ [-1, 1]
    # two columns of weights share the penalty that scikit-learn puts on one: half of it, as C = 2 would
    theirs = LogisticRegression(C=2.0, tol=1e-8).fit(z, y, sample_weight=class_weights(y, 2)[y])
    np.testing.assert_allclose(ours, z @ theirs.coef_[0] + theirs.intercept_[0], atol=5e-3)
    assert (ours[y == 1] > 0).mean() > 0.6  # the rare class is not swallowed
