"""`QuPath script`, on a real one: what labs run, what goes wrong, and how both are told."""

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.qupath.headless import DRIVERS, SCRIPTS, first_image, hmgdm, installed, script

pytestmark = pytest.mark.qupath


def test_by_script_the_same_and_results_of_another_slide_are_refused(project, results, tmp_path, pyramid_slide):
    out = tmp_path / "out.json"
    name = first_image(project)
    action = SCRIPTS / "actions" / "import_results.groovy"
    _, ended = script(action, results, out, project=project / "project.qpproj", image=name)
    said = json.loads(out.read_text("utf-8"))
    assert said["ok"] is True
    assert ended == 0
    assert said["added"] > 100
    assert f"{said['added']} of H-MGDM" in hmgdm("project", "list", project)["1"], "saved without being asked"
    other = tmp_path / "other"
    hmgdm("predict", pyramid_slide, "--results-dir", other, "--workers", 1)
    _, ended = script(action, other, out, project=project / "project.qpproj", image=name)
    said = json.loads(out.read_text("utf-8"))
    assert said["ok"] is False
    assert ended == 1
    assert "these results are of pyramid" in said["error"]
    listed = hmgdm("project", "list", project)
    assert f"{said.get('added', 0)} of H-MGDM" not in listed["1"]


def test_a_project_is_analysed_by_script_and_each_image_has_its_outcome(tmp_path, pyramid_slide, saved_model):
    folder, outcomes = tmp_path / "project", tmp_path / "outcomes"
    outcomes.mkdir()
    hmgdm("project", "create", folder, pyramid_slide)
    asked = (f"model={saved_model}", "explain=false", "workers=1", outcomes)
    told = {"project": folder / "project.qpproj", "program": installed(tmp_path)}
    log, ended = script(SCRIPTS / "actions" / "analyse_slide.groovy", *asked, **told)
    said = json.loads((outcomes / "1.json").read_text("utf-8"))
    assert ended == 0, log
    assert said["ok"] is True
    assert said["image"] == first_image(folder)
    assert (Path(said["results"]) / "run.json").is_file()
    assert f"{said['added']} of H-MGDM" in hmgdm("project", "list", folder)["1"], "saved without being asked"
    log, ended = script(SCRIPTS / "actions" / "analyse_regions.groovy", outcomes, **told)
    line = (outcomes / "1.json").read_text("utf-8")
    assert ended == 1, "also over a whole project, where QuPath itself ends with 0"
    assert json.loads(line)["ok"] is False
    assert json.loads(line)["error"] == "no region is selected"
    assert line in log, "the same on standard output"


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
    log, _ = script(action, results, out, project=copy / "project.qpproj", image=first_image(copy))
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


FAKES = {
    "version-good": 'echo "hmgdm 0.1.0"',
    "version-old": 'echo "hmgdm 0.0.9"',
    "version-garbage": 'echo "Segmentation fault"; exit 3',
    "run-garbage": 'echo "not JSON {"; echo "[1]"; echo "why it failed" >&2',
    "run-error": """echo '{"error": "a.svs: no tissue", "fix": "choose another region"}'; exit 2""",
    "run-repeats": """echo '{"result": {"request": "'$(base64 -w0 "$3")'"}}'""",
    "run-words": """echo '{"result": {"words": "'$(printf '%s\\n' "$0" "$@" | base64 -w0)'"}}'""",
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
    log, _ = script(DRIVERS / "trouble.groovy", SCRIPTS, folder, folder / "two.ome.tif", image=pyramid_slide)
    assert (folder / "said.json").is_file(), log
    said = json.loads((folder / "said.json").read_text("utf-8"))
    assert said["version-good"] == said["copied as path"] == "0.1.0"
    assert said["version-old"].startswith("hmgdm 0.0.9 is too old for these scripts")
    assert "is not hmgdm, or cannot start (Segmentation fault) | correct the path" in said["version-garbage"]
    assert "no such program | correct it in Extensions > H-MGDM > Settings" in said["missing"]
    assert said["run-garbage"].startswith("hmgdm ended without a result (code 0):")
    assert "why it failed" in said["run-garbage"]
    assert said["run-error"] == "a.svs: no tissue | choose another region"
    answers = (said[name].split("=", 1)[1].rstrip("}") for name in ("run-repeats", "run-words"))
    sent, words = (base64.b64decode(answer).decode("utf-8") for answer in answers)
    assert json.loads(sent) == {"slides": ["C:\\a \"b\" 'c' ü.svs"]}
    # Windows gets the words as one line: Java puts quotes around those with a space, and would lose one inside a word
    program, verb, option, request, events = words.splitlines()
    assert (program, verb, option, events) == (str(folder / "run-words"), "predict", "--request", "--events")
    assert re.fullmatch(r"hmgdm-predict-\d+\.json", Path(request).name), "all else is in that file"
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
