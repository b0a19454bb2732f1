"""Batches with regions and nuclei beside the slides: each slide gets its own, and one without them says so."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.batch import plan, run_batch
from hmgdm_plugin.batch_slide import SlideJob
from hmgdm_plugin.cohort import worker
from hmgdm_plugin.cohort.listing import slides_of_folder
from hmgdm_plugin.cohort.store import Store
from hmgdm_plugin.schema.entry import keyed
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import BatchOptions
from hmgdm_plugin.schema.run import features_h5
from hmgdm_plugin.zoo.digest import verify


def _squares(path: Path, *corners: tuple[int, int], side: int, kind: str) -> None:
    rings = [[(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)] for x, y in corners]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {"objectType": kind}}
        for ring in rings
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), "utf-8")


@pytest.fixture(name="options")
def _options(tmp_path: Path, stained: NDArray[np.uint8], saved_model: Path) -> BatchOptions:
    """Three slides; two of them with a region of one tile or two, and with nuclei."""
    for number, name in enumerate(("one", "sub/one", "bare")):
        path = tmp_path / "slides" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(stained[50 * number : 50 * number + 300, 250:600]).save(path)
    for name, across in (("one", 96), ("sub/one", 192)):
        _squares(tmp_path / "regions" / f"{name}.geojson", (0, 0), side=across, kind="annotation")
        _squares(tmp_path / "nuclei" / f"{name}.geojson", (40, 40), (60, 20), side=12, kind="detection")
    _squares(tmp_path / "regions" / "nobody.geojson", (0, 0), side=9, kind="annotation")
    beside = {"regions": tmp_path / "regions", "nuclei": str(tmp_path / "nuclei")}
    return BatchOptions(
        source=tmp_path / "slides",
        model=str(saved_model),
        mpp=0.5,
        min_tissue=0.0,
        results_dir=tmp_path / "r",
        **beside,
    )


def test_each_slide_gets_its_own_regions_and_nuclei(options: BatchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BACKOFF_S", 0.01)
    entries, store = keyed(slides_of_folder(options.source)), Store(options.results_dir)
    store.begin({})
    job = SlideJob(options, verify(Path(options.model)), 1)
    worker.work(entries, store, job, lambda *told: None)
    tiles = {}
    for entry in entries:
        state = store.state(entry.key)
        assert state is not None
        if entry.slide_id == "bare":
            assert state.word == "quarantined"
            assert state.failures[0].problem == f"bare: no regions in {options.regions}"
            continue
        assert state.done, state
        with h5py.File(store.results(entry.key) / features_h5("one")) as file:
            tiles[entry.slide_id] = len(file["coords"])
            assert (np.asarray(file["entities/entity_type"]) == 1).sum() == 2
    assert tiles == {"one": 1, "sub/one": 4}


def test_plan_tells_slides_and_files_that_have_no_other(
    options: BatchOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HmgdmError, match="1 of 3 slides need a person"):
        plan(options, Events())
    said = capsys.readouterr().err
    assert "no slide  nobody in" in said
    assert "incomplete  bare  bare: no regions in" in said
    assert "ready: 2 incomplete: 1" in said


def test_one_file_for_all_slides_is_refused(options: BatchOptions) -> None:
    for wrong in ({"regions": options.source / "one.png"}, {"nuclei": str(options.source / "one.png")}):
        with pytest.raises(InputError, match="no such folder"):
            run_batch(options.model_copy(update=wrong), Events())
    assert not options.results_dir.exists()
