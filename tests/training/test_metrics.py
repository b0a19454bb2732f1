import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as oracle

from hmgdm_plugin.training import metrics


@pytest.fixture(name="draw")
def _draw():
    """Numbers with ties, classes and chances, and a resample as weights and as repeated rows."""
    rng = np.random.default_rng(5)
    truth, guess = rng.integers(0, 9, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    classes, chances = rng.integers(0, 3, 60), rng.integers(1, 9, (60, 3)).astype(float)
    weights = rng.integers(0, 4, 60)
    return truth, guess, classes, chances / chances.sum(1, keepdims=True), weights, np.repeat(np.arange(60), weights)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.r2, oracle.r2_score),
        (metrics.mae, oracle.mean_absolute_error),
        (metrics.spearman, lambda a, b: spearmanr(a, b).statistic),
    ],
)
def test_numbers_equal_another_implementation_on_the_repeated_rows(draw, ours, theirs):
    truth, guess, _, _, weights, rows = draw
    both = ours(truth, guess, np.stack([np.ones(60), weights]))
    np.testing.assert_allclose(both, [theirs(truth, guess), theirs(truth[rows], guess[rows])], rtol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (metrics.accuracy, lambda y, p: oracle.accuracy_score(y, p.argmax(1))),
        (metrics.macro_f1, lambda y, p: oracle.f1_score(y, p.argmax(1), average="macro")),
        (metrics.auroc, lambda y, p: oracle.roc_auc_score(y, p, multi_class="ovr")),
    ],
)
def test_classes_equal_another_implementation_on_the_repeated_rows(draw, ours, theirs):
    _, _, classes, chances, weights, rows = draw
    both = ours(classes, chances, np.stack([np.ones(60), weights.astype(float)]))
    np.testing.assert_allclose(both, [theirs(classes, chances), theirs(classes[rows], chances[rows])], rtol=1e-12)


def test_two_classes_are_judged_by_the_second():
    chances = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    value = metrics.auroc(np.array([0, 1, 1, 0]), chances, np.ones((1, 4)))
    assert value == pytest.approx([1.0])


def test_a_draw_without_a_class_is_undefined():
    draws = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
    value = metrics.auroc(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]]), draws)
    assert value[0] == 1.0
    assert np.isnan(value[1])


def test_a_patient_is_the_mean_of_its_tiles():
    chances = np.array([[0.6, 0.4], [0.0, 1.0], [0.9, 0.1]])
    truth, mean, names = metrics.per_patient(np.array([1, 1, 0]), chances, np.array(["b", "b", "a"]))
    assert list(names) == ["a", "b"]
    assert list(truth) == [0, 1]
    np.testing.assert_allclose(mean, [[0.9, 0.1], [0.3, 0.7]])
