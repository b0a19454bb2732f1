"""Heads: find what is there, in their own unit, and never peek at the patients they are judged on."""

import numpy as np
import pytest
import torch

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.training.clusters import fit_clusters
from hmgdm_plugin.training.heads import Task, Tokens, fit_head, out_of_fold, predict_head
from hmgdm_plugin.training.judge import judged


def _graph(area: torch.Tensor, kind: torch.Tensor | None = None) -> LatentBatch:
    """A tile whose entities cover `area`; nothing else of it is read."""
    n, none = len(area), torch.zeros(0, 2)
    of, ends = torch.zeros(n, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64)
    kinds = of if kind is None else kind
    return LatentBatch(area[:, None], none, ends, torch.zeros(n, 2), none, of, ends[0], 1, kinds, area)


def _tokens(tiles=60, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(tiles, dim))
    parts = []
    for centre in centres:
        n = int(rng.integers(3, 9))
        rows = centre + 0.3 * rng.normal(size=(n, dim))
        parts.append((torch.from_numpy(rows).float(), _graph(torch.from_numpy(rng.dirichlet(np.ones(n))).float())))
    return Tokens.of(parts), centres


PATIENTS = [f"p{k % 12}" for k in range(60)]
FOLDS = np.array([k % 12 % 4 for k in range(60)], np.int64)


@pytest.mark.parametrize("transform", ["none", "log"])
def test_a_linear_quantity_is_found_in_its_own_unit(transform):
    tokens, centres = _tokens()
    target = np.exp(4 + 0.4 * centres[:, 0]) if transform == "log" else 300 + 50 * centres[:, 0]
    guess = out_of_fold(Task("regression", 1, transform), tokens, target, PATIENTS, FOLDS)[:, 0]
    assert np.corrcoef(guess, target)[0, 1] > 0.9
    assert np.abs(guess - target).mean() < 0.5 * np.abs(target - target.mean()).mean()


def test_classes_are_found_and_are_probabilities():
    tokens, centres = _tokens()
    target = (centres[:, 1] > 0).astype(np.int64)
    guess = out_of_fold(Task("classification", 2), tokens, target, PATIENTS, FOLDS)
    assert guess.sum(1) == pytest.approx(np.ones(60), abs=1e-5)
    assert (guess.argmax(1) == target).mean() > 0.85


def test_the_gate_learns_where_to_look():
    """The answer stands in the one marked token of each tile; a mean over all tokens dilutes it."""
    rng = np.random.default_rng(1)
    parts, target = [], []
    for _ in range(80):
        rows = rng.normal(size=(8, 4))
        rows[:, 3] = 0
        marked = rng.integers(8)
        rows[marked, 3] = 3
        target.append(rows[marked, 0])
        parts.append((torch.from_numpy(rows).float(), _graph(torch.full((8,), 1 / 8))))
    tokens, patients = Tokens.of(parts), [f"p{k % 16}" for k in range(80)]
    head = fit_head(Task("regression", 1), tokens, np.array(target), patients)
    with torch.no_grad():
        gate = tokens.ask(head).gate
    marked = tokens.rows[:, 3] > 1
    assert float(gate[marked].mean()) > 1.2 * float(gate[~marked].mean())


def test_out_of_fold_never_sees_the_judged_patients():
    tokens, centres = _tokens()
    target = centres[:, 0].copy()
    task = Task("regression", 1)
    before = out_of_fold(task, tokens, target, PATIENTS, FOLDS)
    target[FOLDS == 2] = np.random.default_rng(2).normal(size=(FOLDS == 2).sum()) * 100
    after = out_of_fold(task, tokens, target, PATIENTS, FOLDS)
    assert np.array_equal(before[FOLDS == 2], after[FOLDS == 2])
    assert not np.array_equal(before[FOLDS != 2], after[FOLDS != 2])


def test_picking_tiles_keeps_their_tokens():
    tokens, _ = _tokens()
    some = np.array([3, 17, 40])
    picked = tokens.pick(some)
    assert picked.vertices.num_graphs == 3
    for new, old in enumerate(some):
        assert torch.equal(picked.rows[picked.vertices.batch == new], tokens.rows[tokens.vertices.batch == int(old)])


def test_scores_compare_with_the_own_embedding():
    tokens, centres = _tokens()
    target = np.exp(2 + centres[:, 0])
    task = Task("regression", 1, "log")
    good = out_of_fold(task, tokens, target, PATIENTS, FOLDS)
    rows = judged("x", task, target, {"own": good, "mean": np.full_like(good, target.mean())}, PATIENTS, "own")
    by = {(row["embedding"], row["metric"]): row for row in rows}
    assert by["own", "R2 (log)"]["value"] > 0.7
    assert by["own", "R2 (log)"]["low"] < by["own", "R2 (log)"]["value"] < by["own", "R2 (log)"]["high"]
    assert by["own", "MAE"]["patients"] == 12
    assert "minus" in by["mean", "MAE"]["note"]
    assert predict_head(fit_head(task, tokens, target, PATIENTS), tokens).shape == (60, 1)


def test_clusters_find_heaps_and_repeat():
    rng = np.random.default_rng(3)
    heaps = rng.normal(size=(4, 10)) * 8
    x = np.repeat(heaps, 30, 0) + rng.normal(size=(120, 10)) * 0.1
    head = fit_clusters(x, 4)
    found = head(torch.from_numpy(x).float()).numpy().reshape(4, 30)
    assert (found == found[:, :1]).all()
    assert sorted(found[:, 0]) == [0, 1, 2, 3]
    assert torch.equal(fit_clusters(x, 4).centroids, head.centroids)


def test_what_only_nuclei_say_is_found_where_kinds_are_told_apart():
    """The first feature of the nuclei, a fiftieth of the area, and their number make the target."""
    rng = np.random.default_rng(1)
    parts, target = [], []
    for _ in range(60):
        nuclei, says = int(rng.integers(3, 30)), float(rng.normal())
        rows = rng.normal(size=(8 + nuclei, 4))
        rows[8:, 0] = says + 0.1 * rng.normal(size=nuclei)
        area, of = np.r_[np.full(8, 0.98 / 8), np.full(nuclei, 0.02 / nuclei)], np.r_[np.zeros(8), np.ones(nuclei)]
        parts.append(
            (torch.from_numpy(rows).float(), _graph(torch.from_numpy(area).float(), torch.from_numpy(of).long()))
        )
        target.append(says + np.log1p(nuclei))
    together, apart = (
        np.corrcoef(
            out_of_fold(Task("regression", 1), Tokens.of(parts, kinds), np.array(target), PATIENTS, FOLDS)[:, 0], target
        )
        for kinds in (1, 2)
    )
    assert apart[0, 1] > 0.95
    assert together[0, 1] < 0.8


def test_a_gate_that_is_not_to_learn_stays_the_area():
    tokens, centres = _tokens()
    head = fit_head(Task("regression", 1, gate=False), tokens, 300 + 50 * centres[:, 0], PATIENTS)
    torch.testing.assert_close(tokens.ask(head).gate, tokens.vertices.area, atol=1e-5, rtol=1e-5)


def test_a_head_of_amounts_is_deaf_to_every_token():
    """Tokens say the answer, on the patients learnt from, far better than the number of nuclei does."""
    rng, parts, target = np.random.default_rng(4), [], []
    for _ in range(60):
        nuclei = int(rng.integers(1, 30))
        of = torch.tensor([0, 0] + [1] * nuclei)
        rows = torch.from_numpy(rng.normal(size=(len(of), 5)) + nuclei).float()
        parts.append((rows, _graph(torch.full((len(of),), 0.3 / len(of)), of)))
        target.append(100.0 * nuclei * rng.uniform(0.8, 1.25))
    tokens = Tokens.of(parts, 2)
    head = fit_head(Task("regression", 1, "log", amounts_only=True), tokens, np.array(target), PATIENTS)
    said = predict_head(head, tokens)
    assert np.corrcoef(said[:, 0], target)[0, 1] > 0.9
    changed = Tokens(torch.randn_like(tokens.rows) * 1e3, tokens.vertices, 2)
    assert np.array_equal(predict_head(head, changed), said)
    every = fit_head(Task("regression", 1, "log"), tokens, np.array(target), PATIENTS)
    assert not np.array_equal(predict_head(every, changed), predict_head(every, tokens))
