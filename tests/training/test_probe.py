import time

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from hmgdm_plugin.training import metrics, probe
from hmgdm_plugin.training.folds import patient_folds


def make_problem(n=120, d=15, patients=12, seed=0):
    """Embeddings with a shift per patient, a number and three classes of patients that they tell of."""
    rng = np.random.default_rng(seed)
    who = np.arange(n) % patients
    x = rng.normal(size=(n, d)) + rng.normal(size=(patients, d))[who]
    x[:, 1] += 1.5 * (who % 3)
    y = 2 * x[:, 0] + rng.normal(size=n) + 7
    return x, y, who % 3, np.array([f"p{w:02}" for w in who])


def _ridge_by_refitting(x, y, who, folds, alphas):
    out = np.empty(len(y))
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        mean, std = x[train].mean(0), x[train].std(0)
        z, new = (x[train] - mean) / std, (x[test] - mean) / std
        errors = dict.fromkeys(alphas, 0.0)
        for alpha in alphas:
            for patient in np.unique(who[train]):
                held = who[train] == patient
                model = Ridge(alpha=alpha).fit(z[~held], y[train][~held])
                errors[alpha] += float(((model.predict(z[held]) - y[train][held]) ** 2).sum())
        guess = Ridge(alpha=min(errors, key=errors.get)).fit(z, y[train]).predict(new)
        out[test] = guess.clip(y[train].min(), y[train].max())
    return out


@pytest.mark.parametrize("d", [15, 200])
def test_ridge_equals_refitting_without_each_patient(d):
    x, y, _, who = make_problem(d=d)
    folds = patient_folds(list(who), 4, 0)
    expected = _ridge_by_refitting(x, y, who, folds, probe.ALPHAS)
    np.testing.assert_allclose(probe.ridge_by_patient(x, y, list(who), folds), expected, rtol=1e-6)


def test_a_tile_unlike_all_others_gets_no_answer_unlike_all_others():
    x, y, _, who = make_problem()
    x[7] *= 1e4
    guess = probe.ridge_by_patient(x, y, list(who), patient_folds(list(who), 4, 0))
    assert y.min() <= guess[7] <= y.max()


def test_targets_do_not_disturb_each_other():
    x, y, _, who = make_problem()
    folds = patient_folds(list(who), 4, 0)
    both = probe.ridge_by_patient(x, np.stack([y, -(y**2)], axis=1), list(who), folds)
    np.testing.assert_allclose(both[:, 0], probe.ridge_by_patient(x, y, list(who), folds), rtol=1e-9)


@pytest.mark.parametrize("d", [15, 200])
@pytest.mark.parametrize("strength", [1e-3, 1.0])
def test_logistic_equals_another_implementation(d, strength):
    x, _, y, who = make_problem(d=d)
    folds = patient_folds(list(who), 3, 0, list(y))
    ours = probe.logistic_by_patient(x, y, list(who), folds, strengths=(strength,))
    for fold in range(3):
        train, test = folds != fold, folds == fold
        mean, std = x[train].mean(0), x[train].std(0)
        model = LogisticRegression(C=strength, tol=1e-8, max_iter=5000).fit((x[train] - mean) / std, y[train])
        np.testing.assert_allclose(ours[test], model.predict_proba((x[test] - mean) / std), atol=2e-3)


def test_logistic_chooses_the_strength_by_held_out_patients():
    x, _, y, who = make_problem(d=200)
    folds = patient_folds(list(who), 3, 0, list(y))
    loss = {}
    for strengths in (probe.STRENGTHS, *((s,) for s in probe.STRENGTHS)):
        chances = probe.logistic_by_patient(x, y, list(who), folds, strengths)
        loss[strengths] = -np.log(chances[np.arange(len(y)), y]).mean()
    assert loss[probe.STRENGTHS] <= sorted(loss.values())[2] + 1e-3


@pytest.mark.parametrize("kind", ["ridge", "logistic"])
def test_what_is_judged_is_never_looked_at(kind):
    x, y, classes, who = make_problem()
    folds = patient_folds(list(who), 3, 0, list(classes))
    target = y if kind == "ridge" else classes
    fit = probe.ridge_by_patient if kind == "ridge" else probe.logistic_by_patient
    before, test = fit(x, target, list(who), folds), folds == 0
    spoilt = target.copy()
    spoilt[test] = np.roll(spoilt[test], 1)  # other labels on the judged patients
    assert (spoilt != target).any()
    np.testing.assert_array_equal(fit(x, spoilt, list(who), folds)[test], before[test])


def test_noise_is_not_taken_for_knowledge():
    rng = np.random.default_rng(1)
    _, y, _, who = make_problem()
    guess = probe.repeated(
        lambda f: probe.ridge_by_patient(rng.normal(size=(120, 60)), y, list(who), f), list(who), 4, repeats=3
    )
    assert metrics.r2(y, guess, np.ones((1, len(y))))[0] < 0.15


def test_a_constant_feature_changes_nothing():
    x, y, _, who = make_problem()
    folds = patient_folds(list(who), 4, 0)
    more = np.hstack([x, np.full((len(x), 1), 1e6)])
    np.testing.assert_allclose(
        probe.ridge_by_patient(more, y, list(who), folds), probe.ridge_by_patient(x, y, list(who), folds), rtol=1e-8
    )


def test_repeats_are_averaged_over_different_folds():
    who = [f"p{i}" for i in range(10)]
    seen = []
    mean = probe.repeated(lambda folds: seen.append(folds) or folds.astype(float), who, 5, repeats=3, seed=4)
    np.testing.assert_allclose(mean, np.mean(seen, axis=0))
    assert (seen[0] != seen[1]).any()


def test_it_is_fast():
    x, y, _, who = make_problem(n=500, d=1000, patients=40)
    folds = patient_folds(list(who), 6, 0)
    start = time.process_time()
    probe.ridge_by_patient(x, y, list(who), folds)
    assert time.process_time() - start < 5
