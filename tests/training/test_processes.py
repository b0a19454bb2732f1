"""Two processes learn what one does, talk over the loopback interface alone, and fail with one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hmgdm_plugin.schema.errors import HmgdmError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.training import launch

REPO = Path(__file__).resolve().parents[2]
SIZES = [[4, 9, 1, 6, 5], [7, 3, 8, 2, 5, 6]]  # the graph of one vertex hides nothing: ranks hold unequal counts
SCRIPT = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    import psutil, torch
    import tests.training.test_loop as test
    from hmgdm_plugin.training.world import joined

    latents, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with joined(torch.device("cpu")) as world:
        log, model = test.trained(latents, folder, world=world, epochs=4, parts=2, ema=0.9)
        heard = {each.laddr.ip for each in psutil.Process().net_connections("inet") if each.laddr}
        weights = [value.double().sum().item() for value in model.parameters()]
        said = {"rows": log.rows, "heard": sorted(heard), "weights": weights, "size": world.size}
        (folder / f"{world.rank}.json").write_text(json.dumps(said))
    """
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, "utf-8")
    return path


def _said(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"{rank}.json").read_text("utf-8"))


def test_two_processes_agree_with_one(corpus: Callable[..., Path], script: Path, tmp_path: Path) -> None:
    """Same global batches, same chance; only the order of float32 sums differs.

    One sum of n numbers in another order is off by about n^.5 * 6e-8 of its size; over 12 steps of AdamW, which divides
    by the gradient's own size, a relative 1e-4 on losses and weights leaves three digits of room above that, and is a
    thousandth of what one wrong weighting of unequal counts would change.
    """
    latents = corpus(*SIZES)
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    starts = {"one": [sys.executable], "two": [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]}
    for name, start in starts.items():
        command = [*start, str(script), str(latents), str(tmp_path / name)]
        done = subprocess.run(command, env=env, cwd=REPO, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
    one, two, other = _said(tmp_path / "one", 0), _said(tmp_path / "two", 0), _said(tmp_path / "two", 1)
    assert (one["size"], two["size"]) == (1, 2)
    for key in ("total", "vertex", "edge", "trivial", "mean", "lr"):
        got, wanted = ([row[key] for row in said["rows"]] for said in (two, one))
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-4, atol=1e-4)
    assert two["weights"] == other["weights"], "all end with the averaged weights of the first"
    assert one["heard"] == [], "one process listens to nobody"
    assert set(two["heard"]) == set(other["heard"]) == {"127.0.0.1"}
    assert not (tmp_path / "two" / "diffusion.safetensors.1").exists()


def test_what_a_process_says_is_said_once(tmp_path: Path) -> None:
    missing = json.dumps({"settings": str(tmp_path / "no.toml"), "results_dir": str(tmp_path / "r")})
    with pytest.raises(HmgdmError, match=r"no\.toml: cannot be read") as error:
        launch.launch("pretrain", missing, 2, Events(quiet=True))
    assert error.value.exit_code == 2
