"""What only a real QuPath can say of files and projects; runs where PAQUO_QUPATH_DIR points at one."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely

from hmgdm_plugin.qupath.columns import write_columns
from hmgdm_plugin.qupath.geojson import read_features, write_features
from tests.qupath.headless import DRIVERS, SCRIPTS, first_image, hmgdm, script

HERE = Path(__file__).parent
pytestmark = pytest.mark.qupath


def module(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def drawn(project, out):
    """The annotations and cells of the only image, as text."""
    found = []
    for kind in ("annotations", "cells"):
        hmgdm("project", "export", project, "--image", "1", "--out", out, "--kind", kind)
        found += sorted(json.dumps(feature, sort_keys=True) for feature in read_features(out))
    return found


def test_golden_files_are_read_as_the_conformance_reader_says(tmp_path):
    cases = module("test_qupath_conformance")
    write_features(tmp_path / "good.geojson", cases.golden_features(), cases.FRAME)
    marks = next(mark for mark in cases.test_every_fault_is_found.pytestmark if mark.name == "parametrize")
    for number, (change, _) in enumerate(marks.args[1]):
        bad = json.dumps({"type": "FeatureCollection", "features": [{**cases.GOOD, **change}]})
        (tmp_path / f"bad-{number:02d}.geojson").write_text(bad, "utf-8")
    script(DRIVERS / "verdict.groovy", tmp_path)
    verdict = json.loads((tmp_path / "verdict.json").read_text("utf-8"))
    good = verdict["good.geojson"]
    features = list(cases.golden_features())
    assert [each["id"] for each in good] == [str(feature.id) for feature in features]
    assert [each["name"] for each in good] == [feature.name for feature in features]
    assert [each["locked"] for each in good] == [feature.locked for feature in features]
    np.testing.assert_allclose(
        [each["area"] or 0 for each in good], [feature.geometry.area for feature in features], rtol=1e-3
    )
    for number, (change, fault) in enumerate(marks.args[1]):
        said = verdict[f"bad-{number:02d}.geojson"]
        if fault.startswith("throws"):
            assert isinstance(said, str), (change, said)
        else:
            assert isinstance(said, list), (change, said)


def test_columns_are_read_as_geojson_is(tmp_path):
    cases = module("test_qupath_conformance")
    write_columns(tmp_path / "objects.npz", list(cases.golden_features()), cases.FRAME)
    files = (SCRIPTS, tmp_path / "objects.npz", HERE / "golden" / "objects.geojson", tmp_path / "said")
    said, _ = script(DRIVERS / "columns.groovy", *files)
    assert (tmp_path / "said").is_file(), said
    assert (tmp_path / "said").read_text() == "5 alike"


def test_a_project_keeps_what_a_person_drew_through_import_twice_and_undo(project, results, tmp_path):
    before = drawn(project, tmp_path / "a.geojson")
    assert len(before) == 3
    first = hmgdm("project", "import", project, "--image", "1", "--results", results)
    again = hmgdm("project", "import", project, "--image", "1", "--results", results)
    assert int(first["removed"]) == 0
    assert first["added"] == again["added"] == again["removed"]
    assert drawn(project, tmp_path / "b.geojson") == before
    hmgdm("project", "export", project, "--image", "1", "--out", tmp_path / "all.geojson", "--kind", "all")
    assert module("conformance").faults(tmp_path / "all.geojson") == []
    assert len(list((project / "hmgdm-runs" / "backups").rglob("*.qpdata"))) >= 1
    code = f"""
import sys
from pathlib import Path
from hmgdm_plugin.qupath.project import Project
with Project(Path({str(project)!r}), writable=True) as opened:
    print(opened.undo("1", {again["run"]!r}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stderr.splitlines()[-1] == again["added"]
    assert drawn(project, tmp_path / "c.geojson") == before


def test_analysing_again_without_explaining_takes_the_old_contacts_away(project, results, bounds_slide, tmp_path):
    plain = tmp_path / "plain"
    hmgdm("predict", bounds_slide, "--results-dir", plain, "--columns", "--workers", 1)
    hmgdm("project", "import", project, "--image", "1", "--results", results)
    out = tmp_path / "all.geojson"
    hmgdm("project", "export", project, "--image", "1", "--out", out, "--kind", "all")
    assert "contact" in {feature["properties"].get("name") for feature in read_features(out)}
    again = hmgdm("project", "import", project, "--image", "1", "--results", plain)
    hmgdm("project", "export", project, "--image", "1", "--out", out, "--kind", "all")
    assert "contact" not in {feature["properties"].get("name") for feature in read_features(out)}
    assert f"{again['added']} of H-MGDM" in hmgdm("project", "list", project)["1"]


def test_tiles_lie_on_their_tissue_in_a_slide_that_qupath_crops(project, results, tmp_path, bounds_slide):
    """The mean colour under each tile is that which Python reads there, and would not be one tile further."""
    from hmgdm_plugin.slide.reader import open_slide

    hmgdm("project", "import", project, "--image", "1", "--results", results)
    name = first_image(project)
    script(DRIVERS / "places.groovy", tmp_path / "p.json", project=project / "project.qpproj", image=name)
    seen = json.loads((tmp_path / "p.json").read_text("utf-8"))
    with open_slide(bounds_slide) as slide:
        assert (seen["width"], seen["height"]) == slide.frame.bounds[2:], "QuPath crops as the frame says"
        assert len(seen["tiles"]) >= 2
        for x, y, width, height, *rgb in seen["tiles"]:
            at_x, at_y = slide.frame.from_qupath(np.array([x, y]))
            square = slide.read_box(at_x, at_y, width, height, round(width), round(height))
            np.testing.assert_allclose(square.mean(axis=(0, 1)), rgb, atol=1.0)
        boxes = [shapely.box(x, y, x + width, y + height) for x, y, width, height, *_ in seen["tiles"]]
        assert shapely.union_all(boxes).within(shapely.box(0, 0, seen["width"], seen["height"]))
