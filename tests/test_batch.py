"""Batches end to end with a small model: same bytes however often interrupted, and what is said about them."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.batch import diff, listed, plan, report, run_batch
from hmgdm_plugin.batch_slide import SlideJob
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import BatchOptions, BatchReportOptions
from hmgdm_plugin.zoo.digest import verify


def _bytes(root: Path) -> dict[str, bytes]:
    """All results but run records, which say when and how long."""
    files = (path for path in (root / "slides").rglob("*") if path.is_file() and path.name != run.RECORD)
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", name="source")
def _source(tmp_path_factory: pytest.TempPathFactory, stained: NDArray[np.uint8]) -> Path:
    """Three small slides, one that says its pixel size, and one that is broken."""
    folder = tmp_path_factory.mktemp("source")
    for number, name in enumerate(("one", "two", "sub/one")):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(stained[50 * number : 50 * number + 300, 250:600]).save(folder / f"{name}.png")
    (folder / "broken.svs").write_bytes(b"II*\0" + bytes(40))
    return folder


def _options(source: Path, model: Path, results: Path, **more: object) -> BatchOptions:
    return BatchOptions(source=source, model=str(model), results_dir=results, mpp=0.5, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module", name="done")
def _done(source: Path, saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("batch") / "r"
    with pytest.raises(HmgdmError, match="1 of 4 slides failed, 3 are done") as failed:
        run_batch(_options(source, saved_model, results, workers=1), Events())
    assert failed.value.exit_code == 1
    return results


def test_every_slide_has_a_run_folder_and_every_failure_a_reason(done: Path) -> None:
    assert {path.name for path in done.iterdir()} >= {run.BATCH, run.SUMMARY, run.FAILURES, run.REPORT, "slides"}
    rows = {row["slide_id"]: row for row in _rows(done / run.SUMMARY)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "one": "done", "two": "done", "sub/one": "done", "broken": "quarantined"
    }  # fmt: skip
    for name in ("one", "two", "sub/one"):
        folder = done / rows[name]["results"]
        assert {run.RECORD, run.REPORT, run.SUMMARY, run.SLIDE} <= {path.name for path in folder.iterdir()}
        assert float(rows[name]["density median"]) > 0
        assert rows[name]["flags"] == "hardly any tissue"
    (failure,) = _rows(done / run.FAILURES)
    assert failure["attempts"] == "2"
    assert failure["problem"].startswith("broken.svs: cannot be read")
    assert failure["fix"]
    page = (done / run.REPORT).read_text("utf-8")
    assert "broken.svs: cannot be read" in page
    assert json.loads((done / run.BATCH).read_text())["digest"] in page
    assert not any((done / "work").rglob("*.safetensors"))
    with Image.open(done / run.contact_sheet(1)) as sheet:
        assert sheet.size[0] > 800


def test_two_shards_of_a_table_give_the_same_bytes(done: Path, source: Path, saved_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    lines = [f"{row['slide_id']},{row['path']},0.5" for row in _rows(done / run.SUMMARY) if row["state"] == "done"]
    table.write_text("\n".join(["slide_id,path,mpp", *lines]), "utf-8")
    for shard in ("1/2", "2/2"):
        run_batch(_options(table, saved_model, tmp_path / "r", shard=shard, workers=1), Events())
    assert not (tmp_path / "r" / run.SUMMARY).exists(), "a shard is not the whole"
    report(BatchReportOptions(source=table, results_dir=tmp_path / "r"), Events())
    assert [row["state"] for row in _rows(tmp_path / "r" / run.SUMMARY)] == ["done"] * 3
    assert _bytes(tmp_path / "r") == _bytes(done)


def test_plan_says_what_needs_a_person_and_writes_nothing(
    done: Path, source: Path, saved_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HmgdmError, match="1 of 4 slides need a person"):
        plan(_options(source, saved_model, tmp_path / "r"), Events())
    assert sorted(tmp_path.rglob("*")) == before
    assert "ready: 3 unreadable: 1" in capsys.readouterr().err
    table = tmp_path / "t.csv"
    table.write_text(f"slide_id,path,mpp\none,{source / 'one.png'},\nlost,gone.svs,\n", "utf-8")
    with pytest.raises(HmgdmError):
        plan(BatchOptions(source=table, model=str(saved_model), results_dir=tmp_path / "r"), Events())
    said = capsys.readouterr().err
    assert "no pixel size  one" in said
    assert "missing  lost" in said
    with pytest.raises(HmgdmError):
        plan(_options(source, saved_model, done), Events())
    assert "done: 3 quarantined: 1" in capsys.readouterr().err


def test_plan_of_what_is_well_counts_tiles_and_cost(
    source: Path, saved_model: Path, tmp_path: Path, bounds_slide: Path
) -> None:
    shutil.copy(bounds_slide, tmp_path / "b.scn")
    found = plan(_options(tmp_path, saved_model, tmp_path / "r"), Events())
    assert (found["slides"], found["ready"], found["crop offset"]) == (1, 1, 1)
    assert found["objects"] > found["tiles"] > 10


def test_what_qupath_shows_otherwise_is_neither_ready_nor_analysed(
    saved_model: Path, tmp_path: Path, bounds_slide: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(bounds_slide, tmp_path / "b.scn")
    builders = [
        {"builderType": "uri", "uri": (tmp_path / "b.scn").as_uri(), "args": ["--series", series], "metadata": metadata}
        for series, metadata in (("1", {"width": 800, "height": 600}), ("0", {"width": 200, "height": 150}))
    ]
    images = [{"serverBuilder": each, "entryID": n, "imageName": f"image {n}"} for n, each in enumerate(builders)]
    (tmp_path / "p.qpproj").write_text(json.dumps({"images": images}))
    options = _options(tmp_path / "p.qpproj", saved_model, tmp_path / "r")
    with pytest.raises(HmgdmError, match="1 of 2 slides need a person"):
        plan(options, Events())
    assert "b.scn: is 200 x 150 pixels in QuPath and 800 x 600 here" in capsys.readouterr().err
    _, glass = listed(options)
    job = SlideJob(options, verify(saved_model), 1)
    with pytest.raises(InputError, match="is 200 x 150 pixels in QuPath"):
        job(glass, tmp_path / "made", tmp_path / "work", lambda *told: None)


def test_another_model_or_another_slide_is_refused(
    done: Path, source: Path, model_copy: Path, saved_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="started differently"):
        run_batch(_options(source, saved_model, done, overlap=0.5), Events())
    card = model_copy / "card.toml"
    card.write_text(card.read_text().replace("Tiny", "Swapped"))
    with pytest.raises(InputError, match="has been changed"):
        run_batch(_options(source, model_copy, tmp_path / "r"), Events())
    with pytest.raises(InputError, match="holds a batch"):
        run_batch(_options(source, saved_model, done, resume=False), Events())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no slide in it"):
        run_batch(_options(tmp_path / "empty", saved_model, tmp_path / "r"), Events())
    with pytest.raises(InputError, match="there is no such part"):
        run_batch(_options(source, saved_model, tmp_path / "r", shard="3/2"), Events())


def test_two_batches_are_compared_number_by_number(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(done, tmp_path / "other")
    text = (other / run.SUMMARY).read_text("utf-8")
    row = _rows(other / run.SUMMARY)[1]
    assert row["state"] == "done"
    (other / run.SUMMARY).write_text(text.replace(row["density median"], "1000000"), "utf-8")
    settings = json.loads((other / run.BATCH).read_text()) | {"model": "another"}
    (other / run.BATCH).write_text(json.dumps(settings))
    said = diff(done, other, Events())
    assert said["settings that differ"] == "model"
    changed = [each for each in _rows(other / run.DIFFERENCES) if float(each["change"])]
    assert {each["number"] for each in changed} == {"density median"}
    assert "density median:" in capsys.readouterr().err
    (other / run.SUMMARY).write_text(text.replace(row["density median"], "inf"), "utf-8")
    diff(done, other, Events())
    assert all(math.isfinite(float(each["change"])) for each in _rows(other / run.DIFFERENCES)), "inf is no number"
    with pytest.raises(InputError, match="holds no batch"):
        diff(done, tmp_path, Events())


def _gone(group: int) -> bool:
    """Whether nothing of a group of processes runs after two seconds; who ended and was not yet waited for is gone."""
    for _ in range(40):
        if not any(_runs(process, group) for process in psutil.process_iter()):
            return True
        time.sleep(0.05)
    return False


def _runs(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_a_stopped_run_leaves_no_process_and_goes_on(
    done: Path, source: Path, saved_model: Path, tmp_path: Path
) -> None:
    words = ["batch", "run", str(source), "--model", str(saved_model), "--mpp", "0.5", "--workers", "2", "--events"]
    code = [sys.executable, "-m", "hmgdm_plugin.cli", *words, "--results-dir", str(tmp_path / "r")]
    process = subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    while "begin" not in process.stdout.readline() and not list(tmp_path.glob("r/work/*/claim-*")):
        assert process.poll() is None
    start_s = time.monotonic()
    process.terminate()
    said, warned = process.communicate(timeout=30)
    assert time.monotonic() - start_s < 2.0
    assert (process.returncode, warned) == (130, "")
    assert json.loads(said.splitlines()[-1])["error"] == "cancelled"
    assert _gone(process.pid)
    subprocess.run(code, capture_output=True, check=False, timeout=240)
    assert _bytes(tmp_path / "r") == _bytes(done)
