"""A QuPath project as a batch, with a real QuPath: run, killed, taken up again, imported, killed, imported twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

QUPATH = Path(os.environ.get("PAQUO_QUPATH_DIR", "no QuPath"))
COUNTS = """
import json, sys
from pathlib import Path
from hmgdm_plugin.qupath.project import Project
with Project(Path(sys.argv[1])) as project:
    print(json.dumps({each.name: [each.annotations, each.detections, each.ours] for each in project.entries()}))
"""
pytestmark = pytest.mark.qupath


def hmgdm(*arguments):
    command = [sys.executable, "-m", "hmgdm_plugin.cli", *map(str, arguments), "--events"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, encoding="utf-8"
    )


def said(process):
    """The last word of a run, which must be its result."""
    out, err = process.communicate(timeout=600)
    last = json.loads(out.splitlines()[-1])
    assert "result" in last, (last, err)
    return last["result"]


def killed_when(process, there):
    """kill -9 the run and its workers at the first moment that `there` is true."""
    end_s = time.monotonic() + 300
    while not there() and process.poll() is None and time.monotonic() < end_s:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def objects(project):
    """Annotations, detections and objects of ours, by image."""
    done = subprocess.run([sys.executable, "-c", COUNTS, str(project)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def words(imported):
    return tuple(int(imported.get(word, 0)) for word in ("add", "replace", "leave", "objects"))


@pytest.fixture(scope="module")
def project(tmp_path_factory, cmu_slide, pyramid_slide, bounds_slide):
    """A real slide, a TIFF, and a Leica slide, which QuPath shows as the second image of its file."""
    folder = tmp_path_factory.mktemp("project")
    slides = [shutil.copy(slide, folder) for slide in (cmu_slide, pyramid_slide, bounds_slide)]
    said(hmgdm("project", "create", folder / "p", *slides))
    return folder / "p" / "project.qpproj"


def test_a_project_is_run_killed_taken_up_and_imported_twice(project, saved_model, tmp_path):
    asked = ["--model", saved_model, "--mpp", "0.5", "--workers", "1", "--results-dir"]
    broken, other = tmp_path / "broken", tmp_path / "other"
    blocks = "work/*/block-*"
    killed_when(hmgdm("batch", "run", project, *asked, broken), lambda: any(broken.glob(blocks)))
    assert len(list(broken.glob("slides/*"))) < 3
    assert said(hmgdm("batch", "run", project, *asked, broken))["done"] == "3"
    into = ("batch", "import", project, "--results-dir", broken)
    plan = said(hmgdm(*into, "--dry-run"))
    assert words(plan)[:3] == (3, 0, 0)
    assert sum(ours for *_, ours in objects(project).values()) == 0, "a dry run adds nothing"
    killed_when(hmgdm(*into), lambda: any(project.parent.glob("data/*/data.qpdata")))
    assert sum(words(said(hmgdm(*into)))[:3]) == 3
    there = objects(project)
    assert sum(ours for *_, ours in there.values()) == int(plan["objects"])
    assert words(said(hmgdm(*into))) == (0, 0, 3, 0), "the second import adds nothing"
    assert objects(project) == there
    said(hmgdm("batch", "run", project, *asked, other, "--show", "grade"))
    as_many = words(said(hmgdm("batch", "import", project, "--results-dir", other)))
    assert as_many == (0, 3, 0, int(plan["objects"])), "as many objects with other numbers take the place of the first"
    assert objects(project) == there
