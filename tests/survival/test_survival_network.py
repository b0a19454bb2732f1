"""The slide graph: who neighbours whom, what the risk is made of, and that the whole risk set trains it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.studies import RiskSettings
from hmgdm_plugin.survival import fit as fitting
from hmgdm_plugin.survival.cox import cox_loss
from hmgdm_plugin.survival.fit import Patient, fit, patient_of, predict, risks_of
from hmgdm_plugin.survival.linear import fit_linear, means
from hmgdm_plugin.survival.network import RiskNetwork
from hmgdm_plugin.survival.saved import SavedRisk, load_risk, save_risk
from hmgdm_plugin.survival.slides import SlideFeatures, neighbours

SMALL = RiskSettings(hidden=8, epochs=40, lr=0.02, dropout=0.0, patience=40)


def _slide(name: str, rng: np.random.Generator, shift: float = 0.0, side: int = 3) -> SlideFeatures:
    corners = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 256.0
    x = rng.normal(size=(side * side, 5)) + shift * np.eye(5)[0]
    return SlideFeatures(name, corners, 256.0, x.astype(np.float32))


def _patients(count: int, seed: int = 0) -> list[Patient]:
    """Patients whose first feature shortens their time."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        shift = rng.normal()
        outcome = (float(rng.exponential(np.exp(-1.5 * shift))) + 0.01, bool(rng.random() < 0.8))
        found.append(patient_of(f"p{number:02d}", [_slide(f"s{number}", rng, shift)], outcome, 4))
    return found


def test_neighbours_are_the_nearest() -> None:
    corners = np.array([[0, 0], [10, 0], [25, 0], [45, 0]], float)
    links = {(int(a), int(b)) for a, b in neighbours(corners, 2).T}
    assert links == {(1, 0), (2, 0), (0, 1), (2, 1), (1, 2), (3, 2), (2, 3), (1, 3)}
    assert neighbours(corners[:1], 8).shape == (2, 0)
    assert neighbours(np.zeros((5, 2)), 2).shape == (2, 10)  # five tiles at one place
    a, b = neighbours(np.zeros((5, 2)), 2)
    assert (a != b).all()


def test_slides_of_a_patient_are_joined_without_links_between_them() -> None:
    rng = np.random.default_rng(0)
    patient = patient_of("p", [_slide("a", rng), _slide("b", rng, side=2)], (3.0, True), 8)
    assert patient.tiles == {"a": 9, "b": 4}
    assert patient.x.shape == (13, 5)
    assert ((patient.links[0] < 9) == (patient.links[1] < 9)).all()


def test_the_risk_is_the_sum_of_its_contributions_and_the_gate_a_share() -> None:
    patients = _patients(12)
    network = fit(patients, patients, SMALL).network
    for found in predict(network, patients):
        assert float(found.contribution.sum()) == pytest.approx(float(found.risk[0]), abs=1e-5)
        assert float(found.gate.sum()) == pytest.approx(1.0, abs=1e-5)


def test_order_of_tiles_and_company_change_nothing() -> None:
    patients = _patients(6)
    network = fit(patients, patients, SMALL).network
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)
    one = patients[2]
    shuffled = Patient(one.name, one.x[order], place[one.links], one.tiles, one.time, one.event)
    together = network(fitting._bags([shuffled, patients[0]])).risk
    expected = risks_of(network, [one, patients[0]])
    np.testing.assert_allclose(together.detach().numpy(), expected, atol=1e-5)


def test_gradient_in_parts_is_the_gradient_of_the_whole_risk_set(monkeypatch: pytest.MonkeyPatch) -> None:
    patients = _patients(10)
    slopes = []
    for tiles in (10**6, 20):
        monkeypatch.setattr(fitting, "TILES_AT_ONCE", tiles)
        torch.manual_seed(0)
        network = RiskNetwork(5, SMALL)
        torch.nn.init.normal_(network.score.weight)
        parts = fitting._parts(patients)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
        fitting._step(network, optimiser, parts, patients, 0)
        slopes.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert len(fitting._parts(patients)) == 5
    torch.testing.assert_close(slopes[0], slopes[1], atol=1e-5, rtol=1e-4)


def test_it_learns_and_forgets_nothing_it_was_told() -> None:
    patients = _patients(60)
    first, again = (fit(patients[:40], patients[40:], SMALL, seed=3) for _ in range(2))
    assert first.epoch > 0
    assert first.history[first.epoch, 2] == first.history[:, 2].max() > 0.65
    assert first.history[0, 2] == 0.5  # untrained: nobody before anybody
    time, event = (torch.from_numpy(each) for each in fitting.outcomes_of(patients[40:]))
    told = torch.from_numpy(risks_of(first.network, patients[40:]))
    assert float(cox_loss(told, time, event)) < first.history[0, 1]  # shrunk: not surer than it is good
    np.testing.assert_array_equal(risks_of(first.network, patients), risks_of(again.network, patients))
    assert len(fit(patients[:20], [], SMALL).history) == 41  # nobody to choose by: the last epoch


def test_the_linear_rival_is_at_its_minimum() -> None:
    patients = _patients(40)
    found = fit_linear(patients[:30], patients[30:])
    z = torch.from_numpy((means(patients[:30]) - found.mean) * found.scale)
    time, event = (torch.from_numpy(each) for each in fitting.outcomes_of(patients[:30]))
    weight = torch.from_numpy(found.weight).requires_grad_()
    (slope,) = torch.autograd.grad(cox_loss(z @ weight, time, event), weight)
    penalty = -float(slope @ weight.detach()) / float(weight.detach().square().sum())
    torch.testing.assert_close(slope, -penalty * weight.detach(), atol=1e-4, rtol=1e-3)
    assert penalty > 0
    assert found.weight[0] > np.abs(found.weight[1:]).max()


def test_a_saved_network_answers_as_before(tmp_path: object) -> None:
    patients = _patients(12)
    network = fit(patients, patients, SMALL).network
    weights, facts = tmp_path / "w.safetensors", tmp_path / "r.json"  # type: ignore[operator]
    save_risk(weights, facts, SavedRisk(network, SMALL, 0.25, np.array([1.0, 2.0]), np.array([0.1, 0.3])))
    back = load_risk(weights, facts)
    np.testing.assert_array_equal(risks_of(back.network, patients), risks_of(network, patients))
    assert (back.cut, back.settings) == (0.25, SMALL)
    weights.unlink()
    with pytest.raises(InputError, match="not a risk model"):
        load_risk(weights, facts)
