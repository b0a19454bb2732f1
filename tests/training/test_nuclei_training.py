"""Training nuclei, apart from TensorFlow: the table, the views, the scores; and the whole where TensorFlow is."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.nuclei.matching import IOUS, matched
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.nuclei import NucleiTrainingSettings
from hmgdm_plugin.schema.parsing import parse
from hmgdm_plugin.train_nuclei import train_nuclei
from hmgdm_plugin.training.nuclei_scores import groups_of, scores_of
from hmgdm_plugin.training.nuclei_table import COLUMNS, LabelledImage, read_images
from hmgdm_plugin.training.nuclei_views import changed, views_of

WORDS = {"name": "n", "images": "n.csv", "title": "t", "description": "d", "licence": "l", "intended_use": "i"}


def _discs(side: int = 64, radius: int = 6) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Purple discs on pink, every 20 px."""
    y, x = np.mgrid[:side, :side]
    labels = np.where((y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 <= radius**2, 1 + y // 20 * 10 + x // 20, 0)
    rgb = np.where(labels[..., None] > 0, [90, 60, 140], [220, 160, 200]).astype(np.uint8)
    return rgb, labels.astype(np.int32)


def _table(folder: Path, rows: list[dict[str, object]]) -> Path:
    with (folder / "n.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for number, row in enumerate(rows):
            rgb, labels = _discs()
            Image.fromarray(rgb).save(folder / f"{number}.png")
            np.savez(folder / f"{number}.npz", label=labels)
            own = {"image": f"{number}.png", "labels": f"{number}.npz", "mpp": 0.5, "source": "s", "group": "g"}
            writer.writerow({**own, "patient": f"p{number}", "truth": 1, **row})
    return folder / "n.csv"


def _image(patient: str, group: str = "g", truth: bool = True) -> LabelledImage:
    return LabelledImage(*_discs(), f"image of {patient}", "s", patient, group, truth)


def test_images_are_brought_to_the_pixel_size_of_the_model(tmp_path: Path) -> None:
    path = _table(tmp_path, [{"mpp": 0.25}, {"mpp": ""}, {"patient": "", "truth": 0}])
    fine, unknown, plain = read_images(path, mpp=0.5, nucleus_um=3.25, least_px=16)
    assert fine.rgb.shape == (32, 32, 3)
    assert fine.labels.shape == (32, 32)
    assert set(np.unique(fine.labels)) <= set(np.unique(plain.labels))
    assert unknown.labels.shape == (35, 35), "the median disc, 12 px across, becomes 6.5"
    assert plain.rgb.shape == (64, 64, 3)
    assert (plain.patient, plain.truth) == ("", False)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "n.csv").write_text("image,labels\na,b\n", "utf-8"), "no column 'mpp'"),
        (lambda folder: (folder / "0.png").unlink(), "cannot be read as an image"),
        (lambda folder: (folder / "0.npz").write_bytes(b"PK\x03\x04nothing"), "cannot be read as labels"),
        (lambda folder: np.savez(folder / "0.npz", other=np.zeros(3)), "cannot be read as labels"),
        (lambda folder: np.savez(folder / "0.npz", label=np.zeros((64, 64, 2), int)), "not 2 of integers"),
        (lambda folder: np.savez(folder / "0.npz", label=np.zeros((9, 9), int)), "is not of the size of"),
    ],
)
def test_a_wrong_table_is_refused(change, sentence: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = _table(tmp_path, [{}])
    change(tmp_path)
    with pytest.raises(InputError, match=sentence):
        read_images(path, 0.5, 6.0, 16)


def test_views_keep_image_and_labels_together() -> None:
    settings = parse({**WORDS, "views": 3, "patch_px": 32}, NucleiTrainingSettings, "test")
    rgb, labels = views_of([_image("a")], settings)
    np.testing.assert_array_equal(rgb[0], _discs()[0])
    assert len(rgb) == len(labels) == 3
    assert len({each.shape for each in labels}) == 3, "other scales"
    for image, own in zip(rgb, labels, strict=True):
        assert image.shape[:2] == own.shape
        inside, outside = (image[own > 0].mean(), image[own == 0].mean())
        assert inside + 50 < outside, "nuclei stay where the labels say"


def test_a_turned_patch_is_turned_with_its_labels() -> None:
    labels = np.where(np.arange(64) < 20, _discs()[1], 0).astype(np.int32)
    bright = (labels > 0).astype(np.float32)[..., None].repeat(3, 2) * 5
    for seed in range(8):
        image, own = changed(bright, labels, np.random.default_rng(seed))
        assert ((image.mean(axis=2) > 2) == (own > 0)).all()
        assert image.dtype == np.float32


def test_scores_are_those_of_hand_counts() -> None:
    truth, found = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.int32)
    truth[:10, :10], found[:10, :8] = 1, 1  # IoU 0.8
    truth[20:30, :10], found[20:30, :6] = 2, 2  # IoU 0.6
    truth[:10, 20:30] = 3  # missed
    found[30:36, 30:36] = 3  # false
    counts = matched(truth, found)
    assert counts.hits[[0, IOUS.index(0.7)]].tolist() == [2, 1]
    assert (counts.false[0], counts.missed[0]) == (1, 1)
    rows = {(r["group"], r["metric"]): r for r in scores_of([counts, counts], ["a", "a"], {"all": [0, 1], "b": [1]})}
    assert rows["all", "F1 at IoU 0.5"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert rows["all", "F1 at IoU 0.7"]["value"] == pytest.approx(1 / 3, abs=1e-4)
    assert rows["all", "AP at IoU 0.5"]["value"] == pytest.approx(0.5)
    assert rows["all", "PQ"]["value"] == pytest.approx(1.4 / 3, abs=1e-4)
    assert rows["b", "PQ"] == {**rows["all", "PQ"], "group": "b", "images": 1, "nuclei": 3}
    assert rows["b", "PQ"]["note"] == "one patient: no interval"


def test_intervals_are_over_patients() -> None:
    good, bad = (matched(labels, _discs()[1]) for labels in (_discs()[1], np.zeros((64, 64), np.int32)))
    images = [_image("a"), _image("a", "h"), _image("b")]
    rows = scores_of([good, good, bad], ["a", "a", "b"], groups_of(images))
    first = rows[0]
    assert (first["group"], first["patients"], first["images"]) == ("all", 2, 3)
    assert (first["low"], first["high"]) == (0.0, 1.0), "a draw of one patient alone"
    assert {row["group"] for row in rows} == {"all", "s", "s: g", "s: h"}


def test_without_tensorflow_the_fix_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hmgdm_plugin.nuclei.fit.find_spec", lambda name: None)
    (tmp_path / "n.toml").write_text("\n".join(f'{key} = "{value}"' for key, value in WORDS.items()), "utf-8")
    with pytest.raises(InputError, match="TensorFlow is not installed; run: pip install"):
        train_nuclei(tmp_path / "n.toml", tmp_path / "out", Events())
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed (extra nuclei-training)")
def test_a_detector_is_trained_judged_and_saved(tmp_path: Path) -> None:
    from hmgdm_plugin.zoo.card import read_nuclei_card
    from hmgdm_plugin.zoo.detector import load_stardist

    _table(tmp_path, [{} for _ in range(6)])
    small = "patch_px = 64\nbatch = 2\nsteps = 60\nsteps_per_epoch = 20\nfolds = 2\nviews = 1\nlr = 3e-3\n"
    network = "[network]\nn_rays = 8\ngrid = [2, 2]\nunet_n_depth = 2\nunet_n_filter_base = 4\n"
    source = '[[source]]\nname = "s"\nlicence = "CC0"\n'
    words = "\n".join(f'{key} = "{value}"' for key, value in WORDS.items())
    (tmp_path / "n.toml").write_text(f"{words}\n{small}{network}{source}", "utf-8")
    train_nuclei(tmp_path / "n.toml", tmp_path / "out", Events(), "fold-1")
    assert [path.name for path in (tmp_path / "out" / "stardist").iterdir()] == ["fold-1"]
    folder = train_nuclei(tmp_path / "n.toml", tmp_path / "out", Events())["model"]
    card = read_nuclei_card(folder)
    assert {score.patients for score in card.evaluation if score.group == "all"} == {6}
    assert card.data[0].patients == 6
    assert load_stardist(folder).dense(_discs()[0])[0].shape == (32, 32)
    assert len((tmp_path / "out" / "held-out.csv").read_text("utf-8").splitlines()) == 7
    with pytest.raises(InputError, match="exists already"):
        train_nuclei(tmp_path / "n.toml", tmp_path / "out", Events())
