"""Asked or only denoising: what another tile's context costs, and where it is taken from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.model.layout import Layout
from hmgdm_plugin.schema.settings import DiffusionSettings
from hmgdm_plugin.training.context import Asked, exchanged, noise_levels, pairs
from hmgdm_plugin.training.shards import Shards

from .conftest import DIM, random_graphs

CPU = torch.device("cpu")


def small(**settings: object) -> HMGDM:
    torch.manual_seed(0)
    return HMGDM(DiffusionSettings(**{"hidden": 32, "heads": 2, "layers": 1, **settings}), (DIM,), (DIM,))


@pytest.mark.parametrize("settings", [{}, {"edges": False}, {"schedule": "mask-only"}, {"kl_weight": 0.1}])
def test_before_training_context_is_worth_nothing(settings: dict[str, object]) -> None:
    model = small(**settings)
    rows = Asked(model, {"held-out": [random_graphs([7, 5, 1, 8], 0)]}, 0, CPU)()
    assert [row["noise"] for row in rows][-1] == "all"
    assert len(rows) == (2 if settings.get("schedule") else 5)
    for row in rows:
        assert row["loss"] == row["other"] == pytest.approx(row["trivial"], rel=1e-5)
        assert row["context"] == 0
    assert rows == Asked(model, {"held-out": [random_graphs([7, 5, 1, 8], 0)]}, 0, CPU)(), "chance is fixed"


def test_the_noisier_the_further_is_the_rescaled_input_from_the_truth() -> None:
    rows = Asked(small(), {"held-out": [random_graphs([9] * 16, 0)]}, 0, CPU)()
    by_level = [row["trivial"] for row in rows[:-1]]
    assert by_level == sorted(by_level)
    means = [row["mean"] for row in rows]
    assert means == pytest.approx([means[0]] * 5), "guessing the mean does not see the noise"
    assert rows[-1]["trivial"] == pytest.approx(sum(by_level) / 4)


def test_a_model_that_learnt_from_context_pays_for_anothers() -> None:
    model = small(schedule="zero-terminal-snr")
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batches = [random_graphs([9] * 16, seed) for seed in range(20)]
    for step in range(120):
        optimiser.zero_grad()
        model(batches[step % 20], torch.Generator().manual_seed(step))["total"].backward()
        optimiser.step()
    rows = Asked(model.eval(), {"held-out": [random_graphs([9] * 32, 99)]}, 0, CPU)()
    shares = [row["context"] for row in rows[:-1]]
    assert shares[-1] > 0.3
    assert shares[-1] > shares[0]
    assert rows[-1]["loss"] < rows[-1]["trivial"]


def test_context_comes_from_the_graph_half_a_batch_away_at_the_nearest_place() -> None:
    batch, model = random_graphs([6, 4, 5, 7], 3), small()
    hide = torch.arange(22) % 3 == 0
    layout = Layout.of(batch, hide, torch.arange(18) % 2 == 0, with_edges=True)
    encoded = model.encode(batch, layout)
    foreign = exchanged(batch, encoded, layout)
    visible, graph = layout.vertices.visible, layout.vertices.visible_batch
    for row in range(len(visible)):
        theirs = [k for k in range(len(visible)) if graph[k] == (graph[row] + 2) % 4]
        nearest = min(theirs, key=lambda k: float((batch.pos[visible[k]] - batch.pos[visible[row]]).norm()))
        assert torch.equal(foreign.x[-1][row], encoded.x[-1][nearest])


def test_levels_cover_the_schedule() -> None:
    assert noise_levels(small()) == [(0, 250), (250, 500), (500, 750), (750, 1000)]
    assert noise_levels(small(noise="fixed", fixed_step=300)) == [(300, 301)]
    assert noise_levels(small(steps=2)) == [(0, 1), (1, 2)]


def test_pairs_are_of_different_patients(corpus: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shards = Shards(corpus([5] * 30, [4] * 30), "latents-*.safetensors")
    monkeypatch.setattr(Shards, "patient", lambda self, number: f"P{number % 3}")
    batches = pairs(shards, 40, 0)
    assert sum(batch.num_graphs for batch in batches) == 40
    asked: list[int] = []
    monkeypatch.setattr(Shards, "latents", lambda self, numbers: asked.append([n % 3 for n in numbers]))
    pairs(shards, 40, 0)
    for own in asked:
        half = len(own) // 2
        assert all(a != b for a, b in zip(own[:half], own[half:], strict=True))
    assert pairs(shards, 1, 0) == []
