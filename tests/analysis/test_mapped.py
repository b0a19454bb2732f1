"""Slivers of tissue have no colour on any map, and do not count; their numbers stay."""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from hmgdm_plugin.analysis.crops import on_slide
from hmgdm_plugin.analysis.mapped import left_untiled, mapped, sentence, warning
from hmgdm_plugin.analysis.results import read_table
from hmgdm_plugin.gui.results import CLASSES, read_groups
from hmgdm_plugin.predict import predict
from hmgdm_plugin.qupath.geojson import LEFT_OUT, NOVELTY, TISSUE
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import PredictOptions
from hmgdm_plugin.schema.space import Frame, Tile
from hmgdm_plugin.slide.tissue import Tissue
from hmgdm_plugin.zoo.vector import synthetic_tile

VALUE = "HMGDM: nuclear density nuclei/mm²"


@pytest.fixture(scope="module", name="done")
def _done(tmp_path_factory):
    """A full tile, one whose left 40 % is tissue, and glass."""
    folder = tmp_path_factory.mktemp("sliver")
    rgb = np.concatenate([synthetic_tile(256)] * 3, axis=1)
    rgb[:, 256 + 102 :] = 243
    Image.fromarray(rgb).save(folder / "a.png")
    options = PredictOptions(slides=(folder / "a.png",), mpp=0.5, nuclei="none", results_dir=folder / "r")
    predict(options, Events())
    return folder / "r"


def _tiles(done):
    path = next((done / "geojson/a").glob("tiles*"))
    return [each["properties"]["measurements"] for each in json.loads(gzip.decompress(path.read_bytes()))["features"]]


def test_a_sliver_keeps_its_numbers_and_is_marked(done):
    full, sliver = _tiles(done)
    assert LEFT_OUT not in full
    assert sliver[LEFT_OUT] == 1
    assert full[TISSUE] > 0.9
    assert 0.3 < sliver[TISSUE] < 0.5
    assert VALUE in sliver
    row = read_table(done / run.SUMMARY)[0]
    assert (row["tiles"], row["tiles_left_out"]) == ("2", "1")
    assert float(row["nuclear-density median"]) == pytest.approx(full[VALUE], rel=1e-5)
    assert "1 of 2 tiles hold less than 50 % tissue" in (done / run.REPORT).read_text("utf-8")


def test_the_heat_map_holds_every_tile_and_says_which_have_no_colour(done):
    with tifffile.TiffFile(done / run.heatmap_tiff("a")) as tiff:
        facts, pages = json.loads(tiff.pages[0].description), [page.asarray() for page in tiff.pages]
    assert facts["least_tissue"] == 0.5
    assert (pages[facts["quantities"].index("tissue share")] < 0.5).tolist() == [[False, True]]
    assert np.isfinite(pages[0]).all()


def test_the_window_leaves_it_without_colour_but_where_every_tile_counts(done):
    group = read_groups(done / "geojson/a", (0.0, 0.0))["tiles"]
    for layer in (CLASSES, VALUE):
        assert [each is None for each in group.colours(layer)] == [False, True]
    low, high, _ = group.span(VALUE)
    assert low < _tiles(done)[0][VALUE] < high
    assert None not in group.colours(NOVELTY)
    assert LEFT_OUT not in group.layers()


def test_the_overlay_outlines_it(done):
    with Image.open(done / run.overlay_png("a", "nuclear-density")) as image:
        rgb = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(rgb[214, 545] - 243).max() <= 2, "its glass"
    assert np.ptp(rgb[214, 200]) > 20, "the full tile beside it"


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
@pytest.mark.skipif("PAQUO_QUPATH_DIR" not in os.environ, reason="no QuPath: set PAQUO_QUPATH_DIR")
def test_qupath_leaves_it_without_colour_too(done):
    jars, here = Path(os.environ["PAQUO_QUPATH_DIR"]) / "lib/app", Path(__file__).parents[1]
    command = ["java", "-cp", f"{jars}/*", "groovy.ui.GroovyMain", str(here / "scripts/maps.groovy")]
    asked = [str(here.parent / "qupath_scripts/lib"), str(done / run.heatmap_tiff("a")), "nuclear density", "novelty"]
    said = subprocess.run([*command, *asked], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.splitlines() == ["[true, false]", "[true, true]", "[true, false]"]


def test_where_no_tile_has_enough_all_count():
    assert mapped([0.3, 0.4], 0.5).all()
    assert mapped([0.3, 0.5], 0.5).tolist() == [False, True]
    assert sentence(np.ones(2, bool), 0.5) == warning([0.3, 0.5], 0.5) == ""
    assert warning([0.3, 0.4], 0.5).startswith("no tile holds 50 % tissue")


def test_nothing_beyond_the_slide_is_drawn_around_the_strongest_entity(tmp_path):
    Image.fromarray(synthetic_tile(256)[:160]).save(tmp_path / "a.png")
    options = PredictOptions(
        slides=(tmp_path / "a.png",), mpp=0.5, nuclei="none", results_dir=tmp_path / "r", explain=True
    )
    predict(options, Events())
    for what in ("importance", "explained"):
        with Image.open(tmp_path / "r" / run.overlay_png("a", what)) as image:
            assert image.height < 0.7 * image.width, "160 rows of a tile of 256"


def test_the_part_of_an_image_on_the_slide():
    frame = Frame(100, 60, 0.5, (0, 0, 100, 60))
    image = np.arange(40 * 40 * 3, dtype=np.uint8).reshape(40, 40, 3)
    part, corner = on_slide(image, -20.0, 30.0, 2.0, frame)
    assert corner == (0.0, 30.0)
    np.testing.assert_array_equal(part, image[:15, 10:])


def test_tissue_in_no_tile_is_spoken_of_where_it_is_much():
    mask = np.zeros((20, 40), bool)
    mask[:10, :10] = mask[12:16, 30:34] = True
    one = [Tile(0.0, 0.0, 100.0, 256, 0.5)]
    assert left_untiled(Tissue(mask, 10.0), one, 0.25) == ""
    mask[12:18, 30:36] = True
    assert left_untiled(Tissue(mask, 10.0), one, 0.25).startswith("26 % of the tissue was not looked at: ")


def test_the_page_begins_with_what_was_measured_beside_the_answer_in_its_unit(done, tmp_path):
    first = "Nuclear density: median"
    assert "measured." not in (done / run.REPORT).read_text("utf-8")  # nothing was looked for
    options = PredictOptions(slides=(done.parent / "a.png",), mpp=0.5, nuclei="stardist", results_dir=tmp_path / "r")
    predict(options, Events())
    report = (tmp_path / "r" / run.REPORT).read_text("utf-8")
    full, _ = _tiles(tmp_path / "r")
    counted = next(value for name, value in full.items() if "nuclei found" in name)  # the sliver does not count
    sentence = next(line for line in report.splitlines() if first in line)
    assert f"Nuclei found: median {counted:.4g} nuclei/mm², measured." in sentence
    assert "Median area" not in sentence
