"""Likelihood, concordance, curves and horizon against naive formulas, lifelines and scikit-survival's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from lifelines import CoxPHFitter, datasets
from lifelines.statistics import logrank_test
from lifelines.utils import concordance_index

from hmgdm_plugin.survival import cox, curves, horizon
from hmgdm_plugin.survival.concordance import concordance

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def _cohort(n: int, seed: int, ties: bool = True) -> Arrays:
    rng = np.random.default_rng(seed)
    time = rng.integers(1, 8, n).astype(float) if ties else rng.random(n)
    return time, rng.random(n) < 0.6, rng.normal(size=n)


def _naive(time: np.ndarray, event: np.ndarray, risk: np.ndarray, efron: bool) -> float:
    """The partial likelihood as a textbook writes it: one factor per event."""
    total = 0.0
    for moment in set(time[event]):
        dead = [i for i in range(len(time)) if event[i] and time[i] == moment]
        exposed = sum(math.exp(risk[i]) for i in range(len(time)) if time[i] >= moment)
        tied = sum(math.exp(risk[i]) for i in dead)
        for k, i in enumerate(dead):
            total += risk[i] - math.log(exposed - (k / len(dead) * tied if efron else 0.0))
    return total


def _tensors(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.from_numpy(risk), torch.from_numpy(time), torch.from_numpy(event)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("seed", range(5))
def test_21_loss_is_the_naive_formula_ties_included(seed: int, ties: cox.Ties) -> None:
    time, event, risk = _cohort(23, seed)
    assert max(np.unique(time[event], return_counts=True)[1]) > 1
    found = cox.log_likelihood(*_tensors(time, event, risk), ties)
    assert float(found) == pytest.approx(_naive(time, event, risk, ties == "efron"), abs=1e-9)


@pytest.mark.parametrize(
    ("load", "duration", "event"),
    [
        (datasets.load_rossi, "week", "arrest"),
        (datasets.load_gbsg2, "time", "cens"),
        (datasets.load_larynx, "time", "death"),
    ],
)
def test_21_loss_is_the_likelihood_of_lifelines_on_its_data(load: object, duration: str, event: str) -> None:
    table = load().select_dtypes("number").astype(float)  # type: ignore[operator]
    fitted = CoxPHFitter().fit(table, duration, event)
    risk = table[fitted.params_.index].to_numpy() @ fitted.params_.to_numpy()
    ours = cox.log_likelihood(*_tensors(table[duration].to_numpy(), table[event].to_numpy() == 1, risk))
    assert float(ours) == pytest.approx(fitted.log_likelihood_, abs=1e-6)


def test_21_a_constant_added_to_all_risks_changes_nothing() -> None:
    risk, time, event = _tensors(*_cohort(40, 1))
    assert float(cox.cox_loss(risk + 1234.5, time, event)) == pytest.approx(float(cox.cox_loss(risk, time, event)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_21_gradients_are_finite_at_50(dtype: torch.dtype) -> None:
    """Half of the patients at +50, half at -50, in the right and in the wrong order, with ties."""
    time, event = torch.tensor([1, 1, 2, 2, 3, 3, 4, 4]), torch.ones(8, dtype=torch.bool)
    for sign in (1.0, -1.0):
        risk = (50 * sign * torch.tensor([1, 1, 1, 1, -1, -1, -1, -1], dtype=dtype)).requires_grad_()
        loss = cox.cox_loss(risk, time, event)
        loss.backward()
        assert torch.isfinite(loss)
        assert risk.grad is not None
        assert torch.isfinite(risk.grad).all()
        assert float(risk.grad.sum()) == pytest.approx(0, abs=1e-5)
    assert float(risk.grad.abs().max()) > 0.1  # the wrong order is felt


def test_21_gradient_agrees_with_finite_differences() -> None:
    risk, time, event = _tensors(*_cohort(15, 3))
    assert torch.autograd.gradcheck(lambda r: cox.cox_loss(r, time, event), risk.requires_grad_())


def test_21_nobody_with_an_event_costs_nothing() -> None:
    risk = torch.randn(5, requires_grad=True)
    cox.cox_loss(risk, torch.arange(5), torch.zeros(5, dtype=torch.bool)).backward()
    assert risk.grad is not None
    assert not risk.grad.any()


@pytest.mark.parametrize("seed", range(5))
def test_21_concordance_is_that_of_lifelines_and_of_counting(seed: int) -> None:
    time, event, risk = _cohort(60, seed)
    risk = risk.round(1)
    won = pairs = 0.0
    for i in range(60):
        for j in range(60):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                pairs += 1
                won += 1.0 if risk[i] > risk[j] else 0.5 * (risk[i] == risk[j])
    ours = concordance(time, event, risk)[0]
    assert ours == pytest.approx(won / pairs)
    assert ours == pytest.approx(concordance_index(time, -risk, event))


def test_concordance_of_weights_is_that_of_repeated_patients() -> None:
    time, event, risk = _cohort(20, 7, ties=False)
    counts = np.random.default_rng(0).integers(0, 3, 20)
    rows = np.repeat(np.arange(20), counts)
    several = concordance(time, event, risk, counts[None].astype(float))[0]
    assert several == pytest.approx(concordance(time[rows], event[rows], risk[rows])[0])


def test_concordance_compares_within_strata_only() -> None:
    time, event, fold = np.arange(6.0), np.ones(6, bool), np.array([0, 1, 0, 1, 0, 1])
    risk = np.where(fold == 0, 100.0, 0.0) - time
    assert concordance(time, event, risk, strata=fold)[0] == 1.0
    assert concordance(time, event, risk)[0] < 1.0
    assert np.isnan(concordance(time, np.zeros(6, bool), risk)[0])


def test_21_curves_and_logrank_are_those_of_lifelines_and_of_the_product() -> None:
    time, event, risk = _cohort(50, 2)
    group = (risk > 0).astype(int)
    curve = curves.kaplan_meier("all", time, event)
    product = 1.0
    for moment in np.unique(time):
        product *= 1 - (event & (time == moment)).sum() / (time >= moment).sum()
        assert curves.at_times(curve, np.array([moment]))[0] == pytest.approx(product)
    assert (curve.patients, curve.events) == (50, event.sum())
    known = curve.survival[1:]
    assert (curve.low[1:] <= known + 1e-12).all()
    assert (curve.high[1:] >= known - 1e-12).all()
    one, two = group == 0, group == 1
    theirs = logrank_test(time[one], time[two], event[one], event[two])
    assert curves.logrank_p(time, event, group) == pytest.approx(theirs.p_value)
    assert np.isnan(curves.logrank_p(time, event, np.zeros(50, int)))
    assert curves.numbers_at_risk(np.array([1.0, 2.0, 2.0, 5.0]), np.array([0.0, 2.0, 3.0])).tolist() == [4, 3, 1]


# Written by scikit-survival 0.28.0:
#   a, b = Surv.from_arrays(event[:40], time[:40]), Surv.from_arrays(event[40:], time[40:])
#   G = CensoringDistributionEstimator().fit(a).predict_proba(times)
#   auc, mean = cumulative_dynamic_auc(a, b, risk[40:], times)
#   f = BreslowEstimator().fit(risk[:40], event[:40], time[:40]).get_survival_function(risk[40:])
#   S = np.stack([each(times) for each in f])
#   _, brier = brier_score(a, b, S, times)
#   ibs = integrated_brier_score(a, b, S, times)
ORACLE = {
    "G": [0.9722222222, 0.9722222222, 0.8691641833, 0.7048285068],
    "auc": [0.1805555556, 0.5266666667, 0.6208791209, 0.5751263523],
    "mean": 0.4511122293,
    "S0": [0.9316447432, 0.9072388248, 0.8789007507, 0.7022341011],
    "brier": [0.1143834357, 0.2165692493, 0.2210124639, 0.2218670398],
    "ibs": 0.2038560605,
}


def test_21_horizon_gives_the_numbers_of_scikit_survival() -> None:
    rng = np.random.default_rng(11)
    time, event = rng.integers(1, 30, 60).astype(float), rng.random(60) < 0.6
    risk = np.round(rng.normal(size=60) - 0.05 * time, 1)
    train, test = (time[:40], event[:40]), (time[40:], event[40:])
    times = np.array([5.0, 9.5, 14.0, 20.0])
    np.testing.assert_allclose(horizon.free_of_censoring(*train, times), ORACLE["G"], atol=1e-9)
    weights = horizon.case_weights(*train, *test)
    auc = horizon.dynamic_auc(*test, risk[40:], weights, times)
    np.testing.assert_allclose(auc[0], ORACLE["auc"], atol=1e-9)
    left = curves.at_times(curves.kaplan_meier("test", *test), times)
    assert horizon.mean_auc(auc, left)[0] == pytest.approx(ORACLE["mean"], abs=1e-9)
    hazard = cox.baseline_hazard(risk[:40], *train, times)
    survival = cox.predicted_survival(risk[40:], hazard)
    np.testing.assert_allclose(survival[0], ORACLE["S0"], atol=1e-9)
    brier = horizon.brier_terms(*train, *test, survival, times).mean(0, keepdims=True)
    np.testing.assert_allclose(brier[0], ORACLE["brier"], atol=1e-9)
    assert horizon.integrated(brier, times)[0] == pytest.approx(ORACLE["ibs"], abs=1e-9)


def test_baseline_hazard_does_not_overflow() -> None:
    time, event, risk = _cohort(30, 5)
    at = np.array([2.0, 5.0])
    shifted = cox.baseline_hazard(risk + 300, time, event, at)
    np.testing.assert_allclose(shifted * math.exp(300), cox.baseline_hazard(risk, time, event, at))
