"""A model that knows its limits says so everywhere; one that does not stays silent and still works."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hmgdm_plugin.gui.results import Group, novel
from hmgdm_plugin.model.novelty import Novelty
from hmgdm_plugin.predict import predict
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import PredictOptions
from hmgdm_plugin.zoo import card as cards
from hmgdm_plugin.zoo import measured
from hmgdm_plugin.zoo.card import Card
from hmgdm_plugin.zoo.load import load
from hmgdm_plugin.zoo.save import save_model

KNOWN = measured.Novelty(
    reads="looks",
    quantile=0.95,
    limit=0.01,
    false_alarms=0.05,
    low=0.02,
    high=0.1,
    usual_share=0.12,
    patients=20,
    tiles=400,
    detected={"blurred": 0.9},
)


@pytest.fixture(name="wary")
def _wary(tmp_path: Path, tiny_card: Card, tiny_parts: Any) -> Path:
    """The tiny model, to which everything is novel, and whose numbers have intervals."""
    novelty = Novelty(2 * sum(tiny_parts[0].parts), 5)
    novelty.limit.fill_(KNOWN.limit)
    interval = cards.Interval(share=0.9, margin=0.5)
    heads = tuple(h.model_copy(update={"interval": interval}) if h.kind == "regression" else h for h in tiny_card.head)
    card = tiny_card.model_copy(update={"novelty": KNOWN, "head": heads})
    return save_model(tmp_path / "wary", card, *tiny_parts, novelty)


def _run(model: Path, slide: Path, results: Path) -> tuple[dict[str, Any], Events]:
    events = Events(quiet=True)
    options = PredictOptions(slides=(slide,), model=str(model), results_dir=results, explain=True)
    return dict(predict(options, events)), events


def test_what_is_unlike_the_training_data_is_said_everywhere(wary: Path, pyramid_slide: Path, tmp_path: Path) -> None:
    done, events = _run(wary, pyramid_slide, tmp_path / "out")
    sentence = "100 % of the tiles are unlike the training data (up to 12 % is usual)"
    assert [note for note in events.notes if sentence in note]
    assert sentence in done["report"].read_text("utf-8")
    assert sentence in done["explanation"].read_text("utf-8")
    row = next(csv.DictReader(done["summary"].open(encoding="utf-8")))
    assert float(row["novel_share"]) == 1
    assert sentence in row["notes"]
    assert (tmp_path / "out" / "overlays" / "pyramid-novelty.png").is_file()
    tiles = json.loads(gzip.decompress(next(done["geojson"].glob("tiles-*")).read_bytes()))["features"]
    found = [tile["properties"]["measurements"] for tile in tiles]
    with h5py.File(done["features"]) as file:
        np.testing.assert_allclose(file["novelty"][:], [each["HMGDM: novelty"] for each in found], rtol=1e-5)
    for each in found:
        assert (
            each["HMGDM: Nuclei per mm2 (90 % low)"]
            < each["HMGDM: Nuclei per mm2"]
            < each["HMGDM: Nuclei per mm2 (90 % high)"]
        )


def test_an_older_model_says_nothing_of_it(saved_model: Path, pyramid_slide: Path, tmp_path: Path) -> None:
    assert load(saved_model).novelty is None
    done, events = _run(saved_model, pyramid_slide, tmp_path / "out")
    assert not [note for note in events.notes if "unlike" in note]
    assert "unlike the training data" not in done["report"].read_text("utf-8")
    assert "novel_share" not in next(csv.DictReader(done["summary"].open(encoding="utf-8")))
    with h5py.File(done["features"]) as file:
        assert "novelty" not in file


def test_the_distance_is_kept_and_named_on_the_page(wary: Path, tiny_card: Card, tiny_parts: Any) -> None:
    again = load(wary)
    assert again.card.novelty == KNOWN
    assert again.novelty is not None
    assert float(again.novelty.limit) == pytest.approx(KNOWN.limit)
    assert "5.0 % [2.0, 10.0]" in (wary / "card.md").read_text("utf-8")
    with pytest.raises(InputError, match="disagree about novelty"):
        save_model(wary.parent / "other", tiny_card, *tiny_parts, again.novelty)


def test_an_interval_is_even_on_the_scale_of_its_transform() -> None:
    interval = cards.Interval(share=0.9, margin=float(np.log(2)))
    assert interval.around(10.0, "none") == pytest.approx((10 - np.log(2), 10 + np.log(2)))
    assert interval.around(9.0, "log") == pytest.approx((4.0, 19.0))
    assert interval.around(0.1, "log")[0] == 0


def test_the_window_says_it_too() -> None:
    rows = [{"HMGDM: novelty": value} for value in (0.5, 0.9, 1.2, 3.0)]
    assert novel({"tiles": Group(measurements=rows)}).startswith("50 % of the tiles are unlike the training data")
    assert novel({"tiles": Group(measurements=[{"HMGDM: importance": 1.0}])}) == ""
    assert novel({}) == ""
