from pathlib import Path

import numpy as np
import pytest

from hmgdm_plugin.evaluation.judging import asked, evaluate, markdown, measured
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.evaluation import YardstickSettings
from hmgdm_plugin.training.labelled import LabelledTile

COUNT = YardstickSettings(name="log count", label="count", kind="regression", transform="log1p", repeats=2)
ORGAN = YardstickSettings(name="organ", label="organ", kind="classification", least=6, repeats=2)


@pytest.fixture(name="world")
def _world():
    """24 patients of four organs and 6 of a rare one, 3 tiles each; `good` knows the labels, `noise` nothing."""
    rng = np.random.default_rng(0)
    tiles, good = [], []
    for i in range(90):
        patient = i // 3
        organ = "abcd"[patient % 4] if patient < 24 else "e" + str(patient)
        count = float(rng.integers(20, 200))
        labels = {"organ": organ, "count": count, "pixels": f"#{patient}"}
        tiles.append(LabelledTile(Path(f"{patient}.png"), 0.5, 0, 0, 256, "s", f"p{patient}", f"s{patient}", labels))
        good.append([np.log1p(count), *(3.0 * (organ == o) for o in "abcd")])
    good = np.array(good) + 0.3 * rng.normal(size=(90, 5))
    return tiles, {"good": good, "noise": rng.normal(size=(90, 8))}


def test_the_table_tells_knowledge_from_noise(world):
    tiles, embeddings = world
    rows = evaluate(embeddings, tiles, (COUNT, ORGAN), "noise")
    found = {(row.task, row.metric, row.embedding): row for row in rows}
    good, noise = (found["log count", "R2", name] for name in ("good", "noise"))
    assert good.score.low > 0.5 > noise.score.high
    assert good.difference.low > 0
    assert good.difference.value == pytest.approx(good.score.value - noise.score.value)
    assert noise.difference is None
    organ = found["organ", "patient accuracy", "good"]
    assert (organ.score.value, organ.tiles, organ.patients) == (1.0, 72, 24)  # the rare organs are left out
    assert markdown(rows).count("\n") == len(rows) + 1


def test_several_seeds_score_the_mean_of_their_scores(world):
    tiles, embeddings = world
    question = asked(COUNT, tiles)
    good, noise = (question.guess(embeddings[name]) for name in ("good", "noise"))
    guesses = {"good": [good], "noise": [noise], "both": [good, noise]}
    rows = {row.embedding: row for row in measured(question, guesses, dict.fromkeys(guesses, 5), None)[:3]}
    mean = (rows["good"].score.value + rows["noise"].score.value) / 2
    assert rows["both"].score.value == pytest.approx(mean)


def test_tiles_of_one_patient_that_differ_have_no_answer_per_patient(world):
    tiles, embeddings = world
    for i, tile in enumerate(tiles):
        tile.labels["many"] = "yes" if i % 3 else "no"
    task = YardstickSettings(name="many", label="many", kind="classification", repeats=1)
    names = [row.metric for row in evaluate({"noise": embeddings["noise"]}, tiles, (task,))]
    assert names == ["tile accuracy", "tile macro-F1", "tile AUROC"]


def test_leaks_and_misfits_are_refused(world):
    tiles, embeddings = world
    with pytest.raises(InputError, match="good: \\(89, 5\\) for 90 tiles"):
        evaluate({"good": embeddings["good"][1:]}, tiles, (COUNT,))
    with pytest.raises(InputError, match="not finite"):
        evaluate({"bad": np.full((90, 2), np.nan)}, tiles, (COUNT,))
    with pytest.raises(InputError, match="no embedding is called 'statistics'"):
        evaluate(embeddings, tiles, (COUNT,), "statistics")
    with pytest.raises(InputError, match="no tile has the label 'age'"):
        evaluate(embeddings, tiles, (COUNT.model_copy(update={"label": "age"}),))
    with pytest.raises(InputError, match="'organ' is not a number"):
        evaluate(embeddings, tiles, (COUNT.model_copy(update={"label": "organ"}),))
    for tile in tiles:
        tile.labels["pixels"] = "#same"
    with pytest.raises(InputError, match="pixels '#same' is in folds"):
        evaluate(embeddings, tiles, (COUNT,))
