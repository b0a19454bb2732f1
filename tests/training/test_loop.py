"""The loop: learns, resumes exactly after a kill, refuses another recipe, stops when the loss is no number."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from hmgdm_plugin.model.hmgdm import HMGDM
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import DiffusionSettings, TrainingSettings
from hmgdm_plugin.training.log import Log
from hmgdm_plugin.training.loop import fit
from hmgdm_plugin.training.objective import Objective, Run
from hmgdm_plugin.training.objectives import diffusion_objective
from hmgdm_plugin.training.shards import Shards
from hmgdm_plugin.training.step import use_bfloat16
from hmgdm_plugin.training.world import World

CPU = torch.device("cpu")
SIZES = [[4, 9, 1, 6, 5], [7, 3, 8, 2, 5, 6]]
SCRIPT = textwrap.dedent(
    """
    import json, os, sys
    from pathlib import Path
    import tests.training.test_loop as test

    folder, stop = Path(sys.argv[1]), int(sys.argv[2])
    seen = []

    def counted(terms):
        def own(batch, generator):
            seen.append(1)
            if len(seen) == stop:
                os.kill(os.getpid(), 9)
            return terms(batch, generator)
        return own

    log, model = test.trained(folder.parent / "latents", folder, around=counted, ema=0.9, checkpoint_minutes=1e-9)
    rows = [{key: row[key] for key in row if key not in ("seconds", "waiting")} for row in log.rows]
    print(json.dumps([rows, log.evaluations, [value.double().sum().item() for value in model.parameters()]]))
    """
)


def trained(
    latents: Path,
    folder: Path,
    around: Callable[[Any], Any] = lambda terms: terms,
    world: World | None = None,
    **more: Any,
) -> tuple[Log, HMGDM]:
    """A very small stage 2 on the graphs of `latents`."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    model = HMGDM(DiffusionSettings(hidden=16, heads=2, layers=1), (6,), (6,))
    shards = Shards(latents, "latents-*.safetensors")
    objective = diffusion_objective(model, shards)
    objective = Objective(objective.load, objective.move, objective.counts, around(objective.terms), objective.mixes)
    recipe = more.pop("recipe", "r")
    settings = TrainingSettings(**{"batch": 4, "epochs": 10, "lr": 1e-2, "evaluations": 3, **more})
    run = Run("diffusion", folder, recipe, 3, 64, world or World(CPU), Events(quiet=True))
    log = fit(run, model, objective, shards, settings, lambda: [{"graphs": "training", "noise": "all", "loss": 1.0}])
    return log, model


@pytest.fixture
def latents(corpus: Callable[..., Path]) -> Path:
    return corpus(*SIZES)


def _run(folder: Path, stop: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(stop)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def test_a_killed_run_resumes_to_the_same_numbers(latents: Path, tmp_path: Path) -> None:
    whole = _run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    assert _run(tmp_path / "cut", 18).returncode == -9
    again = _run(tmp_path / "cut", 0)
    assert again.stdout == whole.stdout, again.stderr
    rows, evaluations, _ = json.loads(whole.stdout)
    assert [row["step"] for row in rows][-1] == 30
    assert len(evaluations) == 4


def test_it_learns_and_says_what_it_saw(latents: Path, tmp_path: Path) -> None:
    log, _ = trained(latents, tmp_path / "run", epochs=60)
    first, last = log.rows[0], log.rows[-1]
    assert last["total"] / last["trivial"] < 0.9 * first["total"] / first["trivial"]
    assert last["graphs"] == 60 * 11
    assert {"vertex", "edge", "mean", "waiting", "lr", "seconds"} <= last.keys()


def test_another_recipe_or_number_of_processes_is_refused(latents: Path, tmp_path: Path) -> None:
    trained(latents, tmp_path / "run", epochs=1)
    with pytest.raises(InputError, match="other settings"):
        trained(latents, tmp_path / "run", epochs=1, recipe="s")
    with pytest.raises(InputError, match="was made by 1 processes, not 2; pass --processes 1"):
        trained(latents, tmp_path / "run", epochs=1, world=World(CPU, 0, 2))
    with pytest.raises(InputError, match="parts = 3 do not divide over 2 processes"):
        trained(latents, tmp_path / "other", epochs=1, parts=3, world=World(CPU, 0, 2))


def test_parts_of_a_batch_count_as_the_whole(latents: Path, tmp_path: Path) -> None:
    """With the same chance for both, a batch in parts has the loss and the gradient of the batch at once."""

    def fixed(terms: Callable[..., Any]) -> Callable[..., Any]:
        def own(batch: Any, generator: torch.Generator) -> Any:
            noise = batch.x[:, :1].double().sum() * 0
            return {
                "kl": noise.float(),
                "vertex": (batch.x.mean(1) * weight - 1).square().sum(),
                "edge": weight * batch.edge_attr.sum(),
                **{f"{s}_{k}": noise.float() for s in ("vertex", "edge") for k in ("trivial", "mean")},
            }

        return own

    weight = torch.nn.Parameter(torch.ones(()))
    curves = []
    for parts in (1, 2, 4):
        with torch.no_grad():
            weight.fill_(1.0)
        shards = Shards(latents, "latents-*.safetensors")
        objective = diffusion_objective(HMGDM(DiffusionSettings(hidden=16, heads=2, layers=1), (6,), (6,)), shards)
        objective = Objective(objective.load, objective.move, objective.counts, fixed(None), objective.mixes)
        module = torch.nn.Module()
        module.weight = weight
        run = Run(f"parts{parts}", tmp_path, "r", 3, 64, World(CPU), Events(quiet=True))
        settings = TrainingSettings(batch=4, epochs=4, lr=1e-2, parts=parts, evaluations=0)
        curves.append([row["vertex"] for row in fit(run, module, objective, shards, settings).rows])
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)
    np.testing.assert_allclose(curves[2], curves[0], rtol=1e-5)


@pytest.mark.parametrize("where", ["batch", "loss"])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(latents: Path, tmp_path: Path, where: str) -> None:
    def broken(terms: Callable[..., Any]) -> Callable[..., Any]:
        seen: list[int] = []

        def own(batch: Any, generator: torch.Generator) -> Any:
            seen.append(1)
            if len(seen) == 3 and where == "batch":
                batch.x[1, 2] = torch.nan
            out = terms(batch, generator)
            return {**out, "vertex": out["vertex"] * torch.inf} if len(seen) == 3 and where == "loss" else out

        return own

    said = r"diffusion, step 2: 0\.x of the batch" if where == "batch" else "step 2: the loss or its gradient, though"
    with pytest.raises(HmgdmError, match=said) as error:
        trained(latents, tmp_path / "run", around=broken)
    assert error.value.exit_code == 1
    path = tmp_path / "run" / "diffusion-not-finite.safetensors"
    assert str(path) in error.value.fix
    with safe_open(path, "pt") as file:
        about = file.metadata()
        x = file.get_tensor("0.x")
    assert (about["step"], len(json.loads(about["graphs"])["0"])) == ("2", 3)
    assert bool(x[1, 2].isnan()) == (where == "batch")
    assert not (tmp_path / "run" / "diffusion.safetensors").exists()


def test_bfloat16_keeps_weights_and_losses_in_float32(latents: Path, tmp_path: Path) -> None:
    kinds: set[torch.dtype] = set()

    def looked(terms: Callable[..., Any]) -> Callable[..., Any]:
        def own(batch: Any, generator: torch.Generator) -> Any:
            assert torch.is_autocast_enabled("cpu")
            out = terms(batch, generator)
            kinds.update(value.dtype for value in out.values())
            return out

        return own

    log, model = trained(latents, tmp_path / "half", around=looked, epochs=2, precision="bfloat16")
    assert kinds == {torch.float32} == {value.dtype for value in model.parameters()}
    whole, _ = trained(latents, tmp_path / "whole", epochs=2)
    assert log.rows[-1]["total"] != whole.rows[-1]["total"]
    assert log.rows[-1]["total"] == pytest.approx(whole.rows[-1]["total"], rel=0.02)


def test_auto_precision_is_what_the_device_has() -> None:
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert use_bfloat16("auto", CPU) == has
    assert (use_bfloat16("bfloat16", CPU), use_bfloat16("float32", CPU)) == (True, False)


def test_minutes_stand_in_for_epochs_and_a_spent_budget_is_not_spent_again(latents: Path, tmp_path: Path) -> None:
    budget = 1.5 / 60  # long beside one step, even where other processes take most of the machine
    log, model = trained(latents, tmp_path / "run", minutes=budget, epochs=1, checkpoint_minutes=1e-9)
    assert 1.5 <= log.worked_s < 2.5
    assert log.rows[-1]["graphs"] > 2 * 11  # epochs of 11 graphs went by
    assert log.rows[-1]["lr"] < 0.1 * max(row["lr"] for row in log.rows)  # it falls with the time spent
    again, same = trained(latents, tmp_path / "run", minutes=budget, epochs=1, checkpoint_minutes=1e-9)
    assert (again.worked_s, again.rows) == (log.worked_s, log.rows)
    assert all(bool((a == b).all()) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    with pytest.raises(InputError, match="minutes = 1 for 2 processes; give epochs instead"):
        trained(latents, tmp_path / "two", world=World(CPU, 0, 2), minutes=1.0)
