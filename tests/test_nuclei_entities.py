"""Nuclei as entities end to end: the three verbs that take them, what they write, and pre-training."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import shapely
from PIL import Image

from hmgdm_plugin.analysis.plan import estimate
from hmgdm_plugin.embed import embed
from hmgdm_plugin.explain import explain
from hmgdm_plugin.predict import predict
from hmgdm_plugin.pretrain import pretrain
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import EmbedOptions, ExplainOptions, PredictOptions, PretrainOptions
from hmgdm_plugin.zoo.load import load
from hmgdm_plugin.zoo.vector import synthetic_nuclei, synthetic_tile

PRETRAIN = """
name = "nuclei-test"
[[sources]]
path = "."
name = "made here"
licence = "CC0"
pattern = "case.png"
mpp = 0.5
views = 2
nuclei = "labels"
[graph]
entities = "tissue+nuclei"
[autoencoder]
channels = 8
[diffusion]
hidden = 16
layers = 1
heads = 1
[stage1]
epochs = 1
[stage2]
epochs = 8
"""


@pytest.fixture(scope="module", name="case")
def _case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an image of two tiles, ``case.png``, its nuclei as labels and some of them as GeoJSON."""
    folder = tmp_path_factory.mktemp("nuclei")
    rgb = np.concatenate([synthetic_tile(256)] * 2, axis=1)
    Image.fromarray(rgb).save(folder / "case.png")
    labels = synthetic_nuclei(256)
    (folder / "labels").mkdir()
    np.savez(folder / "labels" / "case.npz", np.concatenate([labels, np.where(labels > 0, labels + 70_000, 0)], axis=1))
    discs = [shapely.Point(20.0 + 24 * k, 40.0).buffer(6) for k in range(18)]
    features = [{"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(d))} for d in discs]
    (folder / "cells.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder


def _features(folder: Path) -> list[dict]:
    parts = sorted(folder.glob("geojson/case/e*.gz"))
    return [feature for path in parts for feature in json.loads(gzip.decompress(path.read_bytes()))["features"]]


def test_predict_exports_both_kinds_and_the_report_says_what_was_not_validated(case: Path, tmp_path: Path) -> None:
    events = Events()
    options = {"slides": (case / "case.png",), "mpp": 0.5, "min_tissue": 0.0}
    predict(PredictOptions(**options, results_dir=tmp_path / "plain", nuclei="none"), events)
    predict(PredictOptions(**options, results_dir=tmp_path / "with", nuclei=str(case / "cells.geojson")), Events())
    plain, both = (_features(tmp_path / name) for name in ("plain", "with"))
    tissue = [f for f in both if f["properties"]["objectType"] == "tile"]
    nuclei = [f for f in both if f["properties"]["objectType"] == "detection"]
    assert [(f["id"], f["geometry"]) for f in tissue] == [(f["id"], f["geometry"]) for f in plain]
    assert len(nuclei) == 18
    for number, feature in enumerate(nuclei):
        assert feature["properties"]["classification"]["name"] == "Nucleus"
        assert {"HMGDM: importance", "HMGDM: area µm²"} <= feature["properties"]["measurements"].keys()
        given = shapely.Point(20.0 + 24 * number, 40.0).buffer(6)
        assert shapely.geometry.shape(feature["geometry"]).symmetric_difference(given).area < 1
    assert len({f["id"] for f in both}) == len(both)
    assert any("learnt with nuclei; without them" in note for note in events.notes)
    assert "learnt with nuclei; without them" in (tmp_path / "plain" / run.REPORT).read_text("utf-8")
    assert "learnt with nuclei" not in (tmp_path / "with" / run.REPORT).read_text("utf-8")


def test_embed_marks_the_kind_and_leaves_nothing_else_changed(case: Path, tmp_path: Path) -> None:
    options = {"slides": (case / "case.png",), "mpp": 0.5, "min_tissue": 0.0}
    for name, nuclei in (("none", "none"), ("plain", ""), ("found", "stardist"), ("labels", str(case / "labels"))):
        embed(EmbedOptions(**options, results_dir=tmp_path / name, nuclei=nuclei), Events())
    with (
        h5py.File(tmp_path / "found" / run.features_h5("case")) as a,
        h5py.File(tmp_path / "plain" / run.features_h5("case")) as b,
        h5py.File(tmp_path / "none" / run.features_h5("case")) as c,
    ):
        assert np.array_equal(a["entities/features"], b["entities/features"])  # what the model learnt with is found
        tissue = len(c["entities/coords"])
    with h5py.File(tmp_path / "labels" / run.features_h5("case")) as file:
        kinds = file["entities/entity_type"][:]
        assert (kinds == 0).sum() == tissue
        assert (kinds == 1).sum() > 100
        assert np.isfinite(file["features"][:]).all()


def test_explain_explains_nuclei_too(case: Path, tmp_path: Path) -> None:
    options = {"slides": (case / "case.png",), "mpp": 0.5, "min_tissue": 0.0, "nuclei": str(case / "cells.geojson")}
    explain(ExplainOptions(**options, results_dir=tmp_path / "why"), Events())
    found = [
        f
        for path in (tmp_path / "why").glob("geojson/case/*")
        for f in json.loads(gzip.decompress(path.read_bytes()))["features"]
    ]
    nuclei = [f for f in found if f["properties"].get("name") == "nucleus"]
    assert len(nuclei) == 18
    assert any(abs(f["properties"]["measurements"]["HMGDM: gradient x input"]) > 0 for f in nuclei)


def test_one_file_for_several_slides_is_refused(case: Path, tmp_path: Path) -> None:
    (tmp_path / "two.png").write_bytes((case / "case.png").read_bytes())
    slides = (case / "case.png", tmp_path / "two.png")
    with pytest.raises(InputError, match="one file for 2 slides"):
        embed(
            EmbedOptions(slides=slides, mpp=0.5, nuclei=str(case / "cells.geojson"), results_dir=tmp_path / "r"),
            Events(),
        )
    assert not (tmp_path / "r").exists()


def test_a_dry_run_reckons_with_the_nuclei_that_it_knows_of(case: Path, tmp_path: Path) -> None:
    options = {"slides": (case / "case.png",), "mpp": 0.5, "min_tissue": 0.0, "results_dir": tmp_path, "dry_run": True}
    asked = (("none", 0), (str(case / "cells.geojson"), 18), (str(case / "labels"), "as many as the label images hold"))
    for nuclei, number in asked:
        assert predict(PredictOptions(**options, nuclei=nuclei), Events())["nuclei"] == number
    assert predict(PredictOptions(**options), Events())["nuclei"] > 0, "what the detector may find"
    plan = SimpleNamespace(tiles=range(2517), expected=1_000_000)
    said = estimate([plan], load("hmgdm-small"), PredictOptions(**options), Events())
    assert 966 <= said["memory_mb"] < 1.1 * 966, "measured: docs/benchmarks.md"
    assert said["objects"] > 1_000_000


def test_a_model_can_learn_with_nuclei(case: Path, tmp_path: Path) -> None:
    (case / "pretrain.toml").write_text(PRETRAIN)
    done = pretrain(PretrainOptions(settings=case / "pretrain.toml", results_dir=tmp_path / "run"), Events())
    model = load(done["model"])
    assert model.card.graph.entities == "tissue+nuclei"
    assert float(model.encoder.encoder.vertex.place.nucleus.abs().sum()) > 0
    events = Events()
    where = {"slides": (case / "case.png",), "mpp": 0.5, "min_tissue": 0.0, "model": str(done["model"])}
    embed(EmbedOptions(**where, results_dir=tmp_path / "e", nuclei=str(case / "labels")), events)
    assert events.notes == []


def test_settings_that_contradict_each_other_are_refused(case: Path, tmp_path: Path) -> None:
    for text in (PRETRAIN.replace('nuclei = "labels"\n', ""), PRETRAIN.replace('"tissue+nuclei"', '"tissue"')):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(InputError, match="made here"):
            pretrain(PretrainOptions(settings=tmp_path / "bad.toml", results_dir=tmp_path / "run"), Events())
