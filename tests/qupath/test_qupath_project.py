"""Projects where there is no QuPath, and the sign that a window holds one open."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from hmgdm_plugin.qupath.java import scripts_folder
from hmgdm_plugin.qupath.marker import MARKER, SIGNS, refuse_open
from hmgdm_plugin.qupath.project import Project, create
from hmgdm_plugin.schema.errors import InputError


def mark(folder, host, pid):
    (folder / MARKER).write_text(json.dumps({"host": host, "pid": pid}), "utf-8")


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(os.name != "posix", reason="asking for a process is not safe on Windows")
def test_a_project_in_an_open_window_is_refused_and_one_in_a_dead_window_is_not(tmp_path):
    refuse_open(tmp_path)
    mark(tmp_path, platform.node(), os.getpid())
    with pytest.raises(InputError, match="open in a QuPath window"):
        refuse_open(tmp_path)
    mark(tmp_path, "another-computer", dead_pid())
    with pytest.raises(InputError, match="another-computer"):
        refuse_open(tmp_path)
    mark(tmp_path, platform.node(), dead_pid())
    refuse_open(tmp_path)
    (tmp_path / MARKER).write_text("{", "utf-8")
    refuse_open(tmp_path)


@pytest.fixture
def disguised(tmp_path_factory):
    """Starts a process that calls itself QuPath, with words of its own and a file that it holds open."""
    started, place = [], tmp_path_factory.mktemp("disguised")

    def start(*words, held=os.devnull, does="something"):
        code = "import sys, time; file = open(sys.argv[1]); print(flush=True); time.sleep(60)"
        (place / does).write_text(code, "utf-8")
        command = ["/opt/QuPath/bin/QuPath", does, str(held), *map(str, words)]
        started.append(subprocess.Popen(command, executable=sys.executable, cwd=place, stdout=subprocess.PIPE))
        started[-1].stdout.readline()
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc: processes cannot be looked at")
def test_a_qupath_without_our_menu_is_known_by_its_words_and_by_the_slides_it_holds(tmp_path, disguised):
    project, slide, other = tmp_path / "project.qpproj", tmp_path / "a b.svs", tmp_path / "other.svs"
    for path in (project, slide, other):
        path.write_text("{}", "utf-8")
    disguised("script", tmp_path / "elsewhere" / "project.qpproj", held=other)
    refuse_open(tmp_path, [slide])
    first = disguised("-p", project)
    with pytest.raises(InputError, match=rf"QuPath \(process {first}\) has project.qpproj open"):
        refuse_open(tmp_path, [])
    elsewhere = tmp_path / "another"
    elsewhere.mkdir()
    second = disguised(held=slide)
    with pytest.raises(InputError, match=rf"QuPath \(process {second}\) has a b.svs open, perhaps") as refused:
        refuse_open(elsewhere, [slide])
    assert "run install_menu.groovy in it once" in refused.value.fix


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc: processes cannot be looked at")
def test_a_script_of_another_project_with_the_same_slide_is_no_reason_to_refuse(tmp_path, disguised):
    slide = tmp_path / "a.svs"
    slide.write_text("")
    disguised("-p", tmp_path / "other" / "project.qpproj", held=slide, does="script")
    refuse_open(tmp_path, [slide])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc: processes cannot be looked at")
def test_a_window_that_says_which_project_it_has_is_no_reason_to_refuse_another(tmp_path, disguised, monkeypatch):
    slide = tmp_path / "a.svs"
    slide.write_text("")
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    pid = disguised(held=slide)
    born = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sign = tmp_path / "cache" / SIGNS / f"{pid}.json"
    sign.parent.mkdir(parents=True)
    for project in (str(other), ""):
        sign.write_text(json.dumps({"born": born, "project": project}), "utf-8")
        refuse_open(mine, [slide])
    for text in (json.dumps({"born": "1", "project": ""}), json.dumps({"born": born, "project": str(mine)}), "{"):
        sign.write_text(text, "utf-8")
        with pytest.raises(InputError, match=r"has a\.svs open"):
            refuse_open(mine, [slide])


def test_what_is_no_project_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="no such project"):
        Project(tmp_path)
    (tmp_path / "something").write_text("")
    with pytest.raises(InputError, match="is not empty"):
        create(tmp_path, [])


def test_without_qupath_the_fix_says_how_to_get_it(tmp_path):
    (tmp_path / "project.qpproj").write_text("{}", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "hmgdm_plugin.cli", "project", "list", str(tmp_path), "--events"],
        env={**os.environ, "PAQUO_QUPATH_DIR": str(tmp_path / "none")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    said = json.loads(done.stdout)
    assert said["fix"].startswith(("install QuPath", "run: .venv/bin/pip install"))


def test_the_scripts_are_found():
    assert (scripts_folder() / "lib" / "hmgdm" / "Landing.groovy").is_file()
