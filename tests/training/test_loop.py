"""The loop: learns, resumes exactly after a kill, refuses another recipe, stops when the loss is no number."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.settings import TrainingSettings
from hmgdm_plugin.training.loop import fit

SCRIPT = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    import torch
    from hmgdm_plugin.schema.events import Events
    from hmgdm_plugin.schema.settings import TrainingSettings
    from hmgdm_plugin.training.loop import fit

    folder, stop = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    seen = []

    def losses(batch, generator):
        noise = torch.randn(batch.shape, generator=generator)
        seen.append(1)
        if len(seen) == stop:
            os.kill(os.getpid(), 9)
        return {"total": (net(batch + 0.1 * noise) - batch.sum(1, keepdim=True)).square().mean()}

    settings = TrainingSettings(batch=8, epochs=10, lr=1e-2, ema=0.9, checkpoint_minutes=1e-9)
    history = fit("t", net, losses, lambda k, rng: x[k], 32, settings, folder / "c.safetensors", "r", 3, Events())
    print([row["total"] for row in history], float(net[0].weight.sum()))
    """
)


def _run(folder: Path, stop: int) -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(stop)], capture_output=True, text=True, check=False
    )


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path):
    whole = _run(tmp_path / "whole", 0)
    assert whole.returncode == 0, whole.stderr
    assert _run(tmp_path / "cut", 18).returncode == -9
    again = _run(tmp_path / "cut", 0)
    assert again.stdout == whole.stdout


def _fit(folder: Path, recipe: str, scale: float) -> list:
    net = torch.nn.Linear(2, 1)
    settings = TrainingSettings(batch=4, epochs=40, lr=5e-2)

    def losses(batch, generator):
        return {"total": scale * (net(batch) - 1).square().mean()}

    rows = torch.ones(8, 2)
    return fit("t", net, losses, lambda k, rng: rows[k], 8, settings, folder / "c", recipe, 0, Events())


def test_it_learns(tmp_path):
    history = _fit(tmp_path, "a", 1.0)
    assert history[-1]["total"] < 0.01 * history[0]["total"] + 1e-4


def test_another_recipe_is_refused(tmp_path):
    _fit(tmp_path, "a", 1.0)
    with pytest.raises(InputError, match="other settings"):
        _fit(tmp_path, "b", 1.0)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(HmgdmError, match="not finite"):
        _fit(tmp_path, "a", float(np.inf))
