from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.folder import RunFolder, run_record
from hmgdm_plugin.schema.run import safe_name, writing


def _everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_committed_files_appear_under_their_names_and_nothing_else(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "out") as folder:
        folder.stage(run.tiles_geojson("case 7")).write_text("{}")
        assert _everything(tmp_path / "out") == [f".partial-{os.getpid()}/geojson/case 7/tiles-part-0001.geojson.gz"]
        paths = folder.commit({"verb": "predict"})
    assert _everything(tmp_path / "out") == ["geojson/case 7/tiles-part-0001.geojson.gz", "run.json"]
    assert all(path.is_file() for path in paths.values())
    files = ["geojson/case 7/tiles-part-0001.geojson.gz"]
    assert json.loads(paths["run.json"].read_text()) == {"verb": "predict", "files": files}


def test_a_run_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with RunFolder(tmp_path / "new" / "out") as folder:
            folder.stage("summary.csv").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "new" / "out").exists()


def test_a_second_run_keeps_the_first_unless_told_to_overwrite(tmp_path: Path) -> None:
    for text, overwrite in (("first", False), ("second", True)):
        with RunFolder(tmp_path, overwrite=overwrite) as folder:
            folder.stage("summary.csv").write_text(text)
            folder.commit({})
    with pytest.raises(InputError, match="results of another run; pass --overwrite"):
        RunFolder(tmp_path)
    assert (tmp_path / "summary.csv").read_text() == "second"


def _run(root: Path, record: str, *names: str) -> None:
    with RunFolder(root, record, overwrite=True) as folder:
        for name in names:
            folder.stage(name).write_text("new")
        folder.commit({})


def test_nothing_of_the_run_that_is_replaced_stays_and_nothing_of_others_goes(tmp_path: Path) -> None:
    root, own = tmp_path / "out", tmp_path / "mine.txt"
    own.write_text("mine")
    _run(
        root, run.RECORD, run.tiles_geojson("a"), run.entities_geojson("a", 2), run.columns_npz("b", "tiles"), "x.html"
    )
    _run(root, run.EXPLAIN_RECORD, "x.html", "explain.html")
    (root / "notes.txt").write_text("mine")
    _run(root, run.RECORD, run.tiles_geojson("a"))
    kept = ["explain.html", run.tiles_geojson("a"), "notes.txt", run.EXPLAIN_RECORD, run.RECORD, "x.html"]
    assert _everything(root) == sorted(kept)
    assert not (root / "columns").joinpath("b").exists()
    for spoilt in (
        '{"files": ["../mine.txt"]}',
        '{"files": [7]}',
        '{"files": ["geojson"]}',
        '{"files": 3}',
        "[]",
        "{",
        "{}",
    ):
        (root / run.RECORD).write_text(spoilt)
        _run(root, run.RECORD, run.tiles_geojson("a"))
        assert own.exists()


def test_somebody_elses_folder_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match="not empty and not a results folder"):
        RunFolder(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "thesis.docx")


def test_explain_may_follow_predict_in_one_folder(tmp_path: Path) -> None:
    for record in (run.RECORD, run.EXPLAIN_RECORD):
        with RunFolder(tmp_path, record) as folder:
            folder.commit({})
    assert _everything(tmp_path) == ["run-explain.json", "run.json"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the disk is read-only"), (errno.EACCES, "denied")],
)
def test_a_disk_that_refuses_becomes_one_sentence(tmp_path: Path, number: int, reason: str) -> None:
    with pytest.raises(InputError, match=rf"cannot be written \(.*{reason}\); free some space"), writing(tmp_path):
        raise OSError(number, os.strerror(number))


@given(st.text())
def test_no_slide_name_escapes_its_folder(text: str) -> None:
    name = safe_name(text)
    assert Path(name).name == name
    assert 0 < len(name) <= 80
    assert not name.startswith(".")


@pytest.mark.parametrize(
    ("text", "name"), [("../../etc/passwd", "_.._etc_passwd"), ("Fall 7 (HE).svs", "Fall_7_HE_.svs")]
)
def test_slide_names_stay_readable(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_a_record_names_what_makes_the_run_repeatable() -> None:
    record = run_record("predict", {"seed": 3}, device="cpu")
    assert record["options"] == {"seed": 3}
    assert record["packages"]["torch"].startswith("2.")
    assert record["device"] == "cpu"
