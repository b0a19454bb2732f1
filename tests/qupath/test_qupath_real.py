"""What only a real QuPath can say; runs where PAQUO_QUPATH_DIR points at one."""

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile

from hmgdm_plugin.qupath.columns import write_columns
from hmgdm_plugin.qupath.geojson import read_features, write_features

HERE = Path(__file__).parent
REPO = HERE.parents[1]
DRIVERS = REPO / "tests" / "scripts"
SCRIPTS = REPO / "qupath_scripts"
QUPATH = Path(os.environ.get("PAQUO_QUPATH_DIR", "no QuPath"))
pytestmark = pytest.mark.qupath


def module(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def script(name, *arguments, project=None, image=None, save=False):
    """Run a script headless; QuPath's exit code says nothing, what the script writes does."""
    program = next(path for path in (QUPATH / "bin" / "QuPath", *QUPATH.glob("QuPath*")) if path.is_file())
    command = [str(program), "script", str(name)]
    command += ["-p", str(project)] if project else []
    command += ["-i", str(image)] if image else []
    command += ["-s"] if save else []
    for each in arguments:
        command += ["-a", str(each)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return done.stdout + done.stderr


def hmgdm(*arguments):
    command = [sys.executable, "-m", "hmgdm_plugin.cli", *map(str, arguments), "--events"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode == 0) == ("result" in last), done.stderr
    return last.get("result", last)


@pytest.fixture(scope="module")
def results(tmp_path_factory, bounds_slide):
    """What predict writes about a slide that QuPath crops."""
    folder = tmp_path_factory.mktemp("results ä") / "run"
    hmgdm("predict", bounds_slide, "--results-dir", folder, "--explain", "--columns", "--workers", 1)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory, bounds_slide):
    """A project of that slide, with what a person drew."""
    folder = tmp_path_factory.mktemp("projects") / "a project ü"
    hmgdm("project", "create", folder, bounds_slide)
    script(DRIVERS / "person.groovy", project=folder / "project.qpproj", image=first_image(folder), save=True)
    return folder


def first_image(project):
    """Its name, which is not always that of the file."""
    return json.loads((project / "project.qpproj").read_text("utf-8"))["images"][0]["imageName"]


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
    said = script(DRIVERS / "columns.groovy", *files)
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


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def leave(place, room):
    """Fill a disk but for `room` bytes."""
    filler = place / "filler"
    filler.unlink(missing_ok=True)
    free = os.statvfs(place)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - room)))


def content(folder):
    """Every file but backups, whole."""
    files = [path for path in folder.rglob("*") if path.is_file() and "backups" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_full_disk_changes_nothing_and_is_one_sentence(project, results, small_disk, tmp_path):
    copy = small_disk / "project"
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("hmgdm-runs"))
    before, out = content(copy), tmp_path / "out.json"
    backup = sum(path.stat().st_size for path in (copy / "project.qpproj", *copy.rglob("data.qpdata")))
    for room in (0, backup + 4 * 4096):  # no room for the backup; room for that, and not for the objects
        leave(small_disk, room)
        said = hmgdm("project", "import", copy, "--image", "1", "--results", results)
        assert "the disk is full" in said["error"]
        assert said["fix"].startswith("free some space")
        assert content(copy) == before
    leave(small_disk, 4096)
    action = SCRIPTS / "actions" / "import_results.groovy"
    log = script(action, results, out, project=copy / "project.qpproj", image=first_image(copy))
    said = json.loads(out.read_text("utf-8"))
    assert said["ok"] is False, log
    assert "cannot be written (No space left on device)" in said["error"]
    assert content(copy)["data/1/data.qpdata"] == before["data/1/data.qpdata"]
    leave(small_disk, 0)
    said = hmgdm("project", "export", copy, "--image", "1", "--out", small_disk / "more.geojson", "--kind", "all")
    assert "cannot be written" in said["error"]
    assert not list(small_disk.glob("*more.geojson*"))
    (small_disk / "filler").unlink()
    assert int(hmgdm("project", "import", copy, "--image", "1", "--results", results)["added"]) > 100
    kept = sorted((copy / "hmgdm-runs" / "backups").rglob("*data.qpdata"))
    assert kept[0].read_bytes() == before["data/1/data.qpdata"]


def test_by_script_the_same_and_results_of_another_slide_are_refused(project, results, tmp_path, pyramid_slide):
    out = tmp_path / "out.json"
    name = first_image(project)
    action = SCRIPTS / "actions" / "import_results.groovy"
    script(action, results, out, project=project / "project.qpproj", image=name)
    said = json.loads(out.read_text("utf-8"))
    assert said["ok"] is True
    assert said["added"] > 100
    assert f"{said['added']} of H-MGDM" in hmgdm("project", "list", project)["1"], "saved without being asked"
    other = tmp_path / "other"
    hmgdm("predict", pyramid_slide, "--results-dir", other, "--workers", 1)
    script(action, other, out, project=project / "project.qpproj", image=name)
    said = json.loads(out.read_text("utf-8"))
    assert said["ok"] is False
    assert "these results are of pyramid" in said["error"]
    listed = hmgdm("project", "list", project)
    assert f"{said.get('added', 0)} of H-MGDM" not in listed["1"]


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


FAKES = {
    "version-good": 'echo "hmgdm 0.1.0"',
    "version-old": 'echo "hmgdm 0.0.9"',
    "version-garbage": 'echo "Segmentation fault"; exit 3',
    "run-garbage": 'echo "not JSON {"; echo "[1]"; echo "why it failed" >&2',
    "run-error": """echo '{"error": "a.svs: no tissue", "fix": "choose another region"}'; exit 2""",
    "run-repeats": """echo '{"result": {"request": "'$(base64 -w0 "$3")'"}}'""",
    "slow": "sleep 60 & sleep 60 & wait",
    "pixels": """grep -q '"mpp":0.5' "$3" && echo '{"result": {"tiles": 7}}' && exit
echo '{"error": "a.tif: no microns per pixel", "fix": "pass --mpp"}'; exit 2""",
}


def test_programs_that_misbehave_are_said_once_with_their_fix(tmp_path, pyramid_slide):
    from hmgdm_plugin.slide.reader import open_slide

    folder = tmp_path / "ä b'c"
    folder.mkdir()
    for name, code in FAKES.items():
        (folder / name).write_text(f"#!/bin/bash\n{code}\n", "utf-8")
        (folder / name).chmod(0o755)
    with tifffile.TiffWriter(folder / "two.ome.tif", ome=True) as file:
        for shade in (50, 200):
            file.write(np.full((64, 64, 3), shade, np.uint8), photometric="rgb")
    log = script(DRIVERS / "trouble.groovy", SCRIPTS, folder, folder / "two.ome.tif", image=pyramid_slide)
    assert (folder / "said.json").is_file(), log
    said = json.loads((folder / "said.json").read_text("utf-8"))
    assert said["version-good"] == "0.1.0"
    assert said["version-old"].startswith("hmgdm 0.0.9 is too old for these scripts")
    assert "is not hmgdm, or cannot start (Segmentation fault) | correct the path" in said["version-garbage"]
    assert "no such program | correct it in Extensions > H-MGDM > Settings" in said["missing"]
    assert said["run-garbage"].startswith("hmgdm ended without a result (code 0):")
    assert "why it failed" in said["run-garbage"]
    assert said["run-error"] == "a.svs: no tissue | choose another region"
    sent = base64.b64decode(said["run-repeats"].split("request=")[1].rstrip("}"))
    assert json.loads(sent) == {"slides": ["C:\\a \"b\" 'c' ü.svs"]}
    assert "CancellationException" in said["slow"]
    assert said["seconds after cancel"] < 2
    assert said["children"] == 0
    assert said["no image"].startswith("no image is open")
    assert said["nothing selected"].startswith("no region is selected")
    assert "is shown cropped, rotated" in said["rotated"]
    assert said["in memory"].startswith("a server: not a file on this computer")
    assert "two.ome.tif: series 1 of several | open the first series" in said["series"]
    assert said["file"] == str(pyramid_slide)
    with open_slide(pyramid_slide) as slide:
        assert said["fingerprint"] == slide.fingerprint(), "the same on both sides"
    assert "several planes" in said["planes"]
    assert "tiles=7" in said["pixels"], "QuPath's own pixel size is passed on where the file has none"
