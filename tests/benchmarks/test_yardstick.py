from pathlib import Path

import numpy as np
import pytest

from benchmarks import yardstick
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.training.labelled import LabelledTile


@pytest.fixture(name="world")
def _world():
    """24 patients of four organs and 6 of a rare one, 3 tiles each; `good` knows the labels, `noise` nothing."""
    rng = np.random.default_rng(0)
    tiles, good = [], []
    for i in range(90):
        patient = i // 3
        organ = "abcd"[patient % 4] if patient < 24 else "e" + str(patient)
        count = float(rng.integers(20, 200))
        labels = {"organ": organ, "count": count, "fraction": count / 400, "pixels": f"#{patient}"}
        tiles.append(LabelledTile(Path(f"{patient}.png"), 0.5, 0, 0, 256, "s", f"p{patient}", f"s{patient}", labels))
        good.append([np.log1p(count), *(3.0 * (organ == o) for o in "abcd")])
    good = np.array(good) + 0.3 * rng.normal(size=(90, 5))
    return tiles, {"good": good, "noise": rng.normal(size=(90, 8))}


def test_the_table_tells_knowledge_from_noise(world, capsys):
    tiles, embeddings = world
    rows = yardstick.evaluate(embeddings, tiles, "noise", repeats=2)
    found = {(row.task, row.metric, row.embedding): row for row in rows}
    good, noise = (found["log count", "R2", name] for name in ("good", "noise"))
    assert good.score.low > 0.5 > noise.score.high
    assert good.difference.low > 0
    assert good.difference.value == pytest.approx(good.score.value - noise.score.value)
    assert noise.difference is None
    organ = found["organ", "patient accuracy", "good"]
    assert (organ.score.value, organ.tiles, organ.patients) == (1.0, 72, 24)  # the rare organs are left out
    assert not any(task == "benign" for task, _, _ in found)
    assert capsys.readouterr().out.count("\n") == len(rows) + 2


def test_leaks_and_misfits_are_refused(world):
    tiles, embeddings = world
    with pytest.raises(InputError, match="good: \\(89, 5\\) for 90 tiles"):
        yardstick.evaluate({"good": embeddings["good"][1:]}, tiles)
    with pytest.raises(InputError, match="not finite"):
        yardstick.evaluate({"bad": np.full((90, 2), np.nan)}, tiles)
    with pytest.raises(InputError, match="no embedding is called 'statistics'"):
        yardstick.evaluate(embeddings, tiles, "statistics")
    for tile in tiles:
        tile.labels["pixels"] = "#same"
    with pytest.raises(InputError, match="pixels '#same' is in folds"):
        yardstick.evaluate(embeddings, tiles)
