"""That what is learnt means something (method, section 7, tests 16, 17, 19, 20), on textures laid out on small graphs.

Half of the tiles lay their two textures out in two fields, half mix them; shares of the textures do not depend on it.
So no mean over entities tells the layouts apart, and to fill in a hidden entity one must know the layout.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.settings import DiffusionSettings
from hmgdm_plugin.training.folds import patient_folds
from hmgdm_plugin.training.probe import logistic_by_patient

DIM, ENTITIES, TILES, SEEDS = 6, 20, 300, range(5)
ABLATIONS = ({"edges": False}, {"skips": False}, {"noise": "fixed"}, {"schedule": "mask-only"}, {"encoder": "plain"})


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def tiles(count: int, seed: int) -> tuple[LatentBatch, np.ndarray, np.ndarray]:
    """Graphs, their layout (1: two fields) and which texture prevails."""
    rng = np.random.default_rng(seed)
    textures = np.random.default_rng(99).normal(size=(2, DIM))
    points, kinds, edges = rng.random((count, ENTITIES, 2)), np.zeros((count, ENTITIES), int), []
    layout, prevails = np.arange(count) % 2, rng.integers(0, 2, count)
    for i in range(count):
        order = points[i] @ rng.normal(size=2) if layout[i] else rng.random(ENTITIES)
        kinds[i, np.argsort(order)[: ENTITIES * (1 + prevails[i]) // 3]] = 1
        corners = Delaunay(points[i]).simplices
        pairs = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])
        edges.append(np.unique(np.sort(pairs, axis=1), axis=0) + i * ENTITIES)
    x = textures[kinds] + 0.5 * rng.normal(size=(count, ENTITIES, DIM))
    index = torch.from_numpy(np.concatenate(edges)).t()
    pos, batch = torch.from_numpy(points).float().flatten(0, 1), torch.arange(count).repeat_interleave(ENTITIES)
    graphs = LatentBatch(
        x=torch.from_numpy(x).float().flatten(0, 1),
        edge_attr=torch.randn(index.shape[1], DIM, generator=seeded(seed)),  # contacts say nothing by themselves
        edge_index=index,
        pos=pos,
        edge_pos=pos[index].mean(0),
        batch=batch,
        edge_batch=batch[index[0]],
        num_graphs=count,
        kind=torch.zeros_like(batch),
    )
    return graphs, layout, prevails


def model_of(seed: int, **settings: object) -> HMGDM:
    torch.manual_seed(seed)
    chosen = {"hidden": 32, "heads": 2, "layers": 2, "schedule": "zero-terminal-snr", **settings}
    return HMGDM(DiffusionSettings(**chosen), (DIM,), (DIM,))


def trained(model: HMGDM, steps: int) -> HMGDM:
    optimiser = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 8e-3, total_steps=steps)
    for step in range(steps):
        loss = model(tiles(24, step % 20)[0], seeded(step))["total"]
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model


def accuracy(features: Tensor, labels: np.ndarray) -> float:
    """Of a linear probe, by patient: 25 patients of twelve tiles."""
    patients = [f"patient {i // 12}" for i in range(TILES)]
    folds = patient_folds(patients, 5, 0)
    said = logistic_by_patient(features.detach().double().numpy(), labels.astype(np.int64), patients, folds)
    return float((said.argmax(1) == labels).mean())


@cache
def accuracies() -> dict[str, list[float]]:
    """Per seed: layout from the mean of the entities, random weights and trained ones; texture from the trained."""
    graphs, layout, prevails = tiles(TILES, 1234)
    mean = graphs.x.view(TILES, ENTITIES, DIM).mean(1)
    out: dict[str, list[float]] = {"mean": [], "random": [], "trained": [], "mean, share": [], "trained, share": []}
    for seed in SEEDS:
        random = model_of(seed, schedule="mask-only")
        before = random.embed(graphs).pooled()
        after = trained(random, 100).embed(graphs).pooled()
        for name, x in (("mean", mean), ("random", before), ("trained", after)):
            out[name].append(accuracy(x, layout))
        out["mean, share"].append(accuracy(mean, prevails))
        out["trained, share"].append(accuracy(after, prevails))
    return out


def test_19_the_embedding_knows_arrangement_where_the_mean_of_entities_cannot() -> None:
    found = accuracies()
    assert max(found["mean"]) < 0.56
    assert np.mean(found["trained"]) > np.mean(found["mean"]) + 0.08
    assert np.mean(found["trained, share"]) > 0.97 < np.mean(found["mean, share"])  # composition: both


def test_20_pre_training_beats_the_random_twin_on_every_seed_together() -> None:
    found = accuracies()
    gain = np.subtract(found["trained"], found["random"])
    assert gain.mean() > 2 * gain.std(ddof=1) / len(gain) ** 0.5
    assert gain.mean() > 0.05


@pytest.mark.parametrize("settings", ABLATIONS, ids=str)
def test_20_ablations_run_through_the_same_entry_point(settings: dict[str, object]) -> None:
    model, graphs = model_of(0, **settings), tiles(24, 5)[0]
    whole = model_of(0)
    trained(model, 12)
    assert model(graphs, seeded(0))["total"] < model_of(0, **settings)(graphs, seeded(0))["total"]
    sizes = {name: sum(p.numel() for p in each.parameters()) for name, each in (("own", model), ("whole", whole))}
    if "edges" in settings or "skips" in settings:
        assert sizes["own"] < sizes["whole"]


def held_out(model: HMGDM, t: int) -> tuple[float, float]:
    """Vertex loss at step t on graphs never trained on, and that of the linear minimum-mean-square denoiser."""
    graphs = tiles(96, 777)[0]
    draw = model.draw(graphs, seeded(t))
    with torch.no_grad():
        vertex, _, _ = model.restore(graphs, replace(draw, steps=torch.full_like(draw.steps, t)))
    return vertex.mean_loss.item(), vertex.mean_trivial.item()


@pytest.mark.parametrize("t", [250, 500, 750, 999])
def test_16_beats_the_linear_denoiser_at_every_noise_it_is_trained_for(t: int) -> None:
    model = trained(model_of(0, noise="fixed", fixed_step=t, schedule="sigmoid", edges=False), 40)
    loss, trivial = held_out(model, t)
    assert loss < trivial


def test_17_skips_lower_the_loss() -> None:
    losses = {skips: held_out(trained(model_of(0, skips=skips, edges=False), 120), 999)[0] for skips in (True, False)}
    assert losses[True] < losses[False]
