"""Predict, embed and explain end to end with the shipped model: where results lie, that they agree and repeat."""

from __future__ import annotations

import csv
import gzip
import html
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from hmgdm_plugin.embed import embed
from hmgdm_plugin.explain import explain
from hmgdm_plugin.predict import predict
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import EmbedOptions, ExplainOptions, PredictOptions

NAME = "CMU-1-Small-Region"


def _read(path: Path) -> list[dict]:
    return json.loads(gzip.decompress(path.read_bytes()))["features"]


@pytest.fixture(scope="module", name="done")
def _done(cmu_slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "results"
    predict(PredictOptions(slides=(cmu_slide,), results_dir=folder), Events())
    return folder


def test_every_promised_file_is_there(done: Path) -> None:
    names = {str(p.relative_to(done)) for p in done.rglob("*") if p.is_file()}
    assert {run.RECORD, run.REPORT, run.SUMMARY, run.tiles_geojson(NAME), run.features_h5(NAME)} <= names
    assert {run.entities_geojson(NAME), run.heatmap_tiff(NAME), run.overlay_png(NAME, "components")} <= names
    assert {run.overlay_png(NAME, what) for what in ("nuclear-density", "tissue-clusters", "importance")} <= names
    for name in names:
        if name.endswith(".png"):
            Image.open(done / name).load()


def test_tiles_cover_tissue_and_say_numbers_that_can_be_true(done: Path) -> None:
    tiles = _read(done / run.tiles_geojson(NAME))
    assert len(tiles) > 30
    for tile in tiles:
        assert tile["properties"]["objectType"] == "tile"
        numbers = tile["properties"]["measurements"]
        assert 0 <= numbers["HMGDM: nuclear density nuclei/mm²"] < 20_000
        assert 5 < numbers["HMGDM: median nuclear area µm²"] < 300
        assert tile["properties"]["classification"]["color"]
        x0, y0, x1, _ = shapely.geometry.shape(tile["geometry"]).bounds
        assert x1 - x0 == pytest.approx(256 * 0.5 / 0.499, abs=0.02)
        assert -200 < x0 < 2220
        assert -200 < y0 < 2967


def test_entities_tile_their_tile(done: Path) -> None:
    tiles = [shapely.geometry.shape(t["geometry"]) for t in _read(done / run.tiles_geojson(NAME))]
    entities = _read(done / run.entities_geojson(NAME))
    shapes = np.array([shapely.geometry.shape(e["geometry"]) for e in entities])
    tissue = np.array([e["properties"]["objectType"] == "tile" for e in entities])
    inside = tiles[7].buffer(0.05).covers(shapes)
    assert shapely.area(shapes[inside & tissue]).sum() == pytest.approx(tiles[7].area, rel=1e-3)
    centres = tiles[7].covers(shapely.centroid(shapes))  # a nucleus may reach out of the tile that it belongs to
    of_tile = np.flatnonzero((inside & tissue) | (centres & ~tissue))
    by_tile = [entities[k]["properties"]["measurements"]["HMGDM: importance"] for k in of_tile]
    assert max(by_tile) == pytest.approx(1)
    assert min(by_tile) >= 0


def test_embeddings_join_the_objects_by_id(done: Path) -> None:
    with h5py.File(done / run.features_h5(NAME)) as file:
        ids = [id.decode() for id in file["object_id"]]
        entity_ids = {id.decode() for id in file["entities/object_id"]}
        assert file["features"].shape[0] == len(ids) == len(set(ids))
        assert np.isfinite(file["features"][:]).all()
        assert np.isfinite(file["entities/features"][:].astype(np.float32)).all()
        assert file["coords"].attrs["patch_size"] == 256
        assert file["coords"].attrs["level0_width"] == 2220
        corners = file["coords"][:]
        owners = file["entities/tile"][:]
    tiles = {t["id"]: t for t in _read(done / run.tiles_geojson(NAME))}
    assert set(ids) == set(tiles)
    assert entity_ids == {e["id"] for e in _read(done / run.entities_geojson(NAME))}
    for id, corner in zip(ids, corners, strict=True):
        assert shapely.geometry.shape(tiles[id]["geometry"]).bounds[:2] == pytest.approx(corner, abs=0.51)
    assert (np.diff(owners) >= 0).all()


def test_the_heat_map_says_what_the_tiles_say(done: Path) -> None:
    with tifffile.TiffFile(done / run.heatmap_tiff(NAME)) as tif:
        facts = json.loads(tif.pages[0].description)
        page = tif.pages[facts["quantities"].index("nuclear density")].asarray()
    step, (x0, y0) = facts["cell_px"], facts["origin_px"]
    for tile in _read(done / run.tiles_geojson(NAME)):
        x, y = shapely.geometry.shape(tile["geometry"]).centroid.coords[0]
        cell = page[int((y - y0) / step), int((x - x0) / step)]
        assert cell == pytest.approx(tile["properties"]["measurements"]["HMGDM: nuclear density nuclei/mm²"], rel=1e-5)


def test_the_same_slide_gives_the_same_bytes(done: Path, cmu_slide: Path, tmp_path: Path) -> None:
    predict(PredictOptions(slides=(cmu_slide,), results_dir=tmp_path / "r", workers=1), Events())
    for name in (run.tiles_geojson(NAME), run.entities_geojson(NAME), run.heatmap_tiff(NAME)):
        assert (tmp_path / "r" / name).read_bytes() == (done / name).read_bytes(), name


def test_another_run_is_not_overwritten_unasked(done: Path, cmu_slide: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in done.rglob("*")}
    with pytest.raises(InputError, match="another run"):
        predict(PredictOptions(slides=(cmu_slide,), results_dir=done), Events())
    assert before == {p: p.stat().st_mtime_ns for p in done.rglob("*")}


@pytest.fixture(name="field")
def _field(stained: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "field ü.png"
    Image.fromarray(stained[:400, :500]).save(path)
    return path


def test_explain_ids_are_those_of_predict_and_can_be_left_out(field: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    predict(PredictOptions(slides=(field,), mpp=0.5, results_dir=folder), Events())
    name = run.safe_name(field.stem)
    entities = _read(folder / run.entities_geojson(name))
    strongest = max(entities, key=lambda e: e["properties"]["measurements"]["HMGDM: importance"])["id"]
    explain(ExplainOptions(slides=(field,), mpp=0.5, results_dir=folder, without=(strongest,)), Events())
    explained = _read(folder / run.explained_geojson(name))
    assert {e["id"] for e in entities} <= {e["id"] for e in explained}
    assert any(e["geometry"]["type"] == "LineString" for e in explained)
    facts = json.loads((folder / run.curves_json(name)).read_text("utf-8"))
    assert (facts["measurement"], facts["unit"]) == ("HMGDM: contribution to nuclear density", "SD of the answer")
    assert facts["without"][0]["before"] != facts["without"][0]["after"]
    for way in ("deletion", "insertion"):
        assert len(facts["curves"][way]["contribution"]) == 11
    whole = facts["curves"]["deletion"]["contribution"][0]
    assert whole == pytest.approx(facts["curves"]["insertion"]["contribution"][-1], rel=1e-4)
    with pytest.raises(InputError, match="no entity"):
        explain(ExplainOptions(slides=(field,), mpp=0.5, results_dir=tmp_path / "x", without=("0-0",)), Events())
    assert not (tmp_path / "x").exists()


def test_explained_in_one_pass_says_what_explain_says(field: Path, tmp_path: Path) -> None:
    once, alone = tmp_path / "once", tmp_path / "alone"
    predict(PredictOptions(slides=(field,), mpp=0.5, results_dir=once, explain=True), Events())
    explain(ExplainOptions(slides=(field,), mpp=0.5, results_dir=alone), Events())
    assert (once / "explain.html").is_file()
    name = run.safe_name(field.stem)
    curves = [(each / run.curves_json(name)).read_text("utf-8") for each in (once, alone)]
    assert curves[0] == curves[1]
    entities = _read(once / run.entities_geojson(name))
    explained = _read(alone / run.explained_geojson(name))
    assert entities == explained
    with pytest.raises(InputError, match="another run"):
        predict(PredictOptions(slides=(field,), mpp=0.5, results_dir=alone, explain=True), Events())


def test_results_follow_the_crop_that_qupath_shows(bounds_slide: Path, tmp_path: Path) -> None:
    """The same pixels as a slide with bounds and as a cropped image: the same objects in QuPath's pixels."""
    from hmgdm_plugin.slide.reader import open_slide

    with open_slide(bounds_slide) as slide:
        x, y, width, height = slide.frame.bounds
        mpp = slide.frame.mpp
        crop = slide.read_box(x, y, width, height, width, height)
    Image.fromarray(crop).save(tmp_path / "crop.png")
    outlines = []
    for path, folder in ((bounds_slide, tmp_path / "a"), (tmp_path / "crop.png", tmp_path / "b")):
        predict(PredictOptions(slides=(path,), mpp=mpp, results_dir=folder, min_tissue=0.0), Events())
        features = _read(folder / run.tiles_geojson(run.safe_name(path.stem)))
        outlines.append(sorted(tuple(map(tuple, f["geometry"]["coordinates"][0])) for f in features))
    assert outlines[0] == outlines[1]


def test_embed_equals_predict(field: Path, tmp_path: Path) -> None:
    name = run.safe_name(field.stem)
    predict(PredictOptions(slides=(field,), mpp=0.5, results_dir=tmp_path / "p"), Events())
    embed(EmbedOptions(slides=(field,), mpp=0.5, results_dir=tmp_path / "e"), Events())
    with h5py.File(tmp_path / "p" / run.features_h5(name)) as a, h5py.File(tmp_path / "e" / run.features_h5(name)) as b:
        assert np.array_equal(a["features"][:], b["features"][:])
        assert np.array_equal(a["object_id"][:], b["object_id"][:])


def test_several_slides_have_a_page_and_a_row_each(field: Path, stained: np.ndarray, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(stained[100:400, 100:500]).save(other)
    predict(PredictOptions(slides=(field, other), mpp=0.5, results_dir=tmp_path / "r"), Events())
    with (tmp_path / "r" / run.SUMMARY).open(newline="", encoding="utf-8") as file:
        assert [row["slide_id"] for row in csv.DictReader(file)] == [run.safe_name(field.stem), "other"]
    assert (tmp_path / "r" / run.report_html("other")).exists()
    with pytest.raises(InputError, match="two slides"):
        predict(PredictOptions(slides=(field, field), mpp=0.5, results_dir=tmp_path / "twice"), Events())


def test_a_report_repeats_what_was_said_about_its_own_slide(field: Path, stained: np.ndarray, tmp_path: Path) -> None:
    other = tmp_path / "other.tif"  # says 0.25 microns per pixel itself, which is worth a note
    options = {"tile": (256, 256), "photometric": "rgb", "resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(other, stained, **options)
    events = Events()
    predict(PredictOptions(slides=(other, field), mpp=0.5, results_dir=tmp_path / "r", explain=True), events)
    note = next(note for note in events.notes if "other.tif" in note)
    with (tmp_path / "r" / run.SUMMARY).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [note in row["notes"] for row in rows] == [True, False]
    for page in (run.report_html, lambda slide: run.explain_html(slide, several=True)):
        texts = [html.unescape((tmp_path / "r" / page(row["slide_id"])).read_text("utf-8")) for row in rows]
        assert [note in text for text in texts] == [True, False]


def test_no_tissue_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    Image.new("RGB", (600, 600), "white").save(tmp_path / "glass.png")
    with pytest.raises(InputError, match="no tissue"):
        predict(PredictOptions(slides=(tmp_path / "glass.png",), mpp=0.5, results_dir=tmp_path / "r"), Events())
    assert not (tmp_path / "r").exists()
