"""A project whose saving fails is as it was; a copy is whole or not there."""

import errno
import os
import shutil

import pytest

from hmgdm_plugin.qupath import saving
from hmgdm_plugin.qupath.saving import DATA, copy_whole, making, restoring
from hmgdm_plugin.schema.errors import InputError


@pytest.fixture
def project(tmp_path):
    """What QuPath keeps of a project with one image."""
    image = tmp_path / "data" / "1"
    image.mkdir(parents=True)
    (tmp_path / "project.qpproj").write_text("the project")
    (image / DATA).write_text("drawn by a person")
    (image / "summary.json").write_text("1 object")
    return tmp_path / "project.qpproj", image


def content(project):
    return {path.relative_to(project): path.read_text() for path in project.rglob("*") if path.is_file()}


def spoil(project, image):
    """Write as QuPath does, until the disk is full: data, summary, project, and classes cut short."""
    if (image / DATA).exists():
        os.replace(image / DATA, image / f"{DATA}.bkp")
    (image / DATA).write_text("drawn by a person, and 100,000 nuclei")
    (image / "summary.json").write_text("100,001 obj")
    (project.parent / "project.qpproj.tmp").write_text("the pro")
    (project.parent / "classifiers").mkdir(exist_ok=True)
    (project.parent / "classifiers" / "classes.json").write_text("{")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("links", [True, False])
def test_after_a_full_disk_all_is_as_it_was(project, links, monkeypatch):
    if not links:
        monkeypatch.setattr(saving.os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    before = content(project[0].parent)
    with pytest.raises(OSError, match="No space"), restoring(*project):
        spoil(*project)
    assert content(project[0].parent) == before


def test_an_image_that_was_never_saved_has_no_data_afterwards(project):
    (project[1] / DATA).unlink()
    (project[1] / "summary.json").unlink()
    before = content(project[0].parent)
    with pytest.raises(OSError, match="No space"), restoring(*project):
        spoil(*project)
    assert content(project[0].parent) == before


def test_what_was_saved_stays(project):
    with restoring(*project):
        (project[1] / DATA).unlink()
        (project[1] / DATA).write_text("new")
    assert (project[1] / DATA).read_text() == "new"
    assert sorted(path.name for path in project[1].iterdir()) == [DATA, "summary.json"]


def test_half_a_copy_is_none(project, monkeypatch):
    def half(source, copy):
        copy.write_text("dra")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", half)
    with pytest.raises(InputError, match="the disk is full"):
        copy_whole(project[1] / DATA, project[0].parent / "backups" / "copy")
    assert list((project[0].parent / "backups").iterdir()) == []


def fail(folder):
    """Begin a project; paquo says that it failed, and Java why."""
    (folder / "data").mkdir(parents=True)
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError:
        raise OSError("occurred when trying to save the project")  # noqa: B904 - as paquo does


@pytest.mark.parametrize("there", [True, False])
def test_of_a_project_that_cannot_be_made_nothing_is_left(tmp_path, there):
    folder = tmp_path / "study"
    if there:
        folder.mkdir()
    with pytest.raises(InputError, match=r"cannot be written .*No space left") as said, making(folder):
        fail(folder)
    assert said.value.fix.startswith("free some space, or give another folder")
    assert folder.is_dir() == there
    assert not there or not list(folder.iterdir())
