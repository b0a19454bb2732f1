"""A user's StarDist folder: read without TensorFlow, refused in one sentence where it does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from hmgdm_plugin.models import add_model, verify_model
from hmgdm_plugin.nuclei.keras import read_config, read_thresholds, read_weights
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.zoo.detector import load_stardist
from hmgdm_plugin.zoo.load import PLACES, find, installed

TINY = Path(__file__).parent / "stardist-tiny"


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be damaged."""
    return Path(shutil.copytree(TINY, tmp_path / "My Nuclei 20x"))


def _config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps({**raw, **changes}), "utf-8")

    return change


def _h5(change: Callable[[h5py.File], None]) -> Callable[[Path], None]:
    def changed(folder: Path) -> None:
        with h5py.File(folder / "weights_best.h5", "r+") as file:
            change(file)

    return changed


def _flip(folder: Path) -> None:
    raw = bytearray((folder / "weights_best.h5").read_bytes())
    raw[:64] = bytes(byte ^ 0x5A for byte in raw[:64])
    (folder / "weights_best.h5").write_bytes(raw)


def _cut(folder: Path) -> None:
    raw = (folder / "weights_best.h5").read_bytes()
    (folder / "weights_best.h5").write_bytes(raw[: len(raw) // 3])


def _nan(file: h5py.File) -> None:
    file["dist/dist/bias"][0] = np.nan


def _reshape(file: h5py.File) -> None:
    del file["prob/prob/kernel"]
    file["prob/prob/kernel"] = np.zeros((1, 1, 9, 1), np.float32)


def _extra(file: h5py.File) -> None:
    file["surprise/surprise/kernel"] = np.zeros(3, np.float32)


def _no_layer(file: h5py.File) -> None:
    del file["middle_0"]


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (lambda folder: (folder / "config.json").unlink(), "config.json: cannot be read"),
    (lambda folder: (folder / "weights_best.h5").unlink(), "no weights_best.h5 or weights_last.h5"),
    (lambda folder: (folder / "config.json").write_text("{", "utf-8"), "is not JSON"),
    (lambda folder: (folder / "config.json").write_text("[1]", "utf-8"), "is not a JSON object"),
    (lambda folder: (folder / "thresholds.json").write_text('{"prob": 2}', "utf-8"), "prob is 2, not between 0 and 1"),
    (_config(n_dim=3), "is not of a 2D model"),
    (_config(n_channel_in=1), "takes images of 1 channel"),
    (_config(unet_batch_norm=True), "unet_batch_norm is True, only False is supported"),
    (_config(unet_activation="elu"), "only 'relu' is supported"),
    (_config(grid=[2, 3]), "grid"),
    (_config(n_rays=64), "kernel of layer 'dist' is"),
    (_config(unet_n_depth=3), "is missing|is \\("),
    (_config(unet_n_depth=1), "is not part|is \\("),
    (_flip, "cannot be read as Keras weights"),
    (_cut, "cannot be read as Keras weights"),
    (_h5(_nan), "not finite"),
    (_h5(_reshape), "kernel of layer 'prob' is"),
    (_h5(_no_layer), "kernel of layer 'middle_0' is missing"),
    (_h5(_extra), "'surprise' is not part"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGE, ids=[str(number) for number in range(len(DAMAGE))])
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    folder: Path, damage: Callable[[Path], None], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACES, str(tmp_path / "models"))
    damage(folder)
    with pytest.raises(InputError, match=sentence) as caught:
        add_model(folder, "", 0.5)
    assert caught.value.fix
    assert not (tmp_path / "models").exists()


def test_an_added_model_is_one_of_the_zoo(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACES, str(tmp_path / "models"))
    assert add_model(folder, "", 0.25)["name"] == "my-nuclei-20x"
    detector = load_stardist("my-nuclei-20x")
    assert detector.settings.mpp == 0.25
    assert detector.settings.prob_threshold == json.loads((TINY / "thresholds.json").read_text())["prob"]
    assert verify_model("my-nuclei-20x")["test vector"].startswith("agrees")
    rgb = np.load(TINY / "answer.npz")["rgb"]
    np.testing.assert_allclose(detector.dense(rgb)[0], np.load(TINY / "answer.npz")["probability"], atol=1e-5)
    with pytest.raises(InputError, match="is the name of"):
        add_model(folder, "", 0.25)
    assert add_model(folder, "another", 0.25)["name"] == "another"


def test_a_name_and_a_pixel_size_are_asked_for(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACES, str(tmp_path / "models"))
    with pytest.raises(InputError, match="give --mpp"):
        add_model(folder, "", None)
    with pytest.raises(InputError, match="mpp"):
        add_model(folder, "", -1.0)
    with pytest.raises(InputError, match="name"):
        add_model(folder, "../Evil", 0.5)
    with pytest.raises(InputError, match="is not a folder"):
        add_model(tmp_path / "nowhere", "", 0.5)


def test_the_users_own_folder_is_looked_in(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLACES, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    add_model(folder, "mine", 0.5)
    assert find("mine") == installed()["mine"] == tmp_path / "data" / "hmgdm" / "models" / "mine"


def test_thresholds_are_stardists_own_where_there_are_none(folder: Path) -> None:
    (folder / "thresholds.json").unlink()
    assert read_thresholds(folder) == (0.5, 0.4)


def test_names_of_keras_2_are_read_too(folder: Path) -> None:
    """Keras 2 puts ``:0`` behind the names, numbers stem layers on from any number, and may hold the whole model."""
    settings = read_config(folder)
    expected = read_weights(folder, settings)
    with h5py.File(TINY / "weights_best.h5") as old, h5py.File(folder / "weights_best.h5", "w") as new:
        for layer, group in old.items():
            name = {"conv2d": "conv2d_9", "conv2d_1": "conv2d_10"}.get(layer, layer)
            for kind, array in group.get(layer, {}).items():
                new[f"model_weights/{name}/{name}/{kind}:0"] = array[()]
        new["optimizer_weights/Adam/iter:0"] = 3
    found = read_weights(folder, settings)
    assert found.keys() == expected.keys()
    assert all((found[name] == expected[name]).all() for name in expected)


def test_what_tells_classes_apart_is_left_aside(folder: Path) -> None:
    with h5py.File(folder / "weights_best.h5", "r+") as file:
        file["prob_class/prob_class/kernel"] = np.zeros((1, 1, 8, 3), np.float32)
    assert "conv.prob.weight" in read_weights(folder, read_config(folder))
