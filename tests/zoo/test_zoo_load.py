from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hmgdm_plugin.model.heads import ClusterHead
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.zoo.card import CARD, Card, as_toml
from hmgdm_plugin.zoo.digest import SUMS, sums_of
from hmgdm_plugin.zoo.load import PLACES, WEIGHTS, choose_device, find, installed, load
from hmgdm_plugin.zoo.save import save_model


def _signed(folder: Path) -> Path:
    """`folder` with digests of what it now holds: what is wrong with it must be found otherwise."""
    (folder / SUMS).write_text(sums_of(folder), "utf-8")
    return folder


def test_what_was_saved_is_what_is_loaded(saved_model: Path, tiny_card: Card, tiny_parts: Any) -> None:
    features, encoder, heads = tiny_parts
    model = load(saved_model)
    assert model.card == tiny_card
    assert isinstance(model.heads["kinds"], ClusterHead)
    pairs = [
        (features, model.features),
        (encoder, model.encoder),
        *((heads[name], model.heads[name]) for name in heads),
    ]
    for before, after in pairs:
        wanted = before.state_dict()
        assert wanted.keys() == after.state_dict().keys()
        assert all(torch.equal(value, after.state_dict()[name]) for name, value in wanted.items())
        assert not after.training
        assert not any(parameter.requires_grad for parameter in after.parameters())


@pytest.mark.parametrize("threads", [1, 2])
def test_saving_again_gives_the_same_digest(
    saved_model: Path, tiny_card: Card, tiny_parts: Any, tmp_path: Path, threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    folder = save_model(tmp_path / "tiny", tiny_card, *tiny_parts)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert load(folder).digest == load(saved_model).digest


def test_models_are_found_by_name_and_the_first_place_wins(
    saved_model: Path, model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACES, os.pathsep.join([str(model_copy.parent), str(saved_model.parent)]))
    assert find("tiny") == installed()["tiny"] == model_copy
    assert find(str(saved_model)) == saved_model


def test_a_folder_of_that_name_that_is_no_model_does_not_hide_the_model(
    saved_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PLACES, str(saved_model.parent))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert find("tiny") == saved_model
    (tmp_path / "results").mkdir()
    with pytest.raises(InputError, match=r"results: is a folder without card\.toml"):
        find("results")


def test_an_unknown_name_is_answered_with_the_nearest(saved_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACES, str(saved_model.parent))
    with pytest.raises(InputError, match=r"tini: no such model \(there is: .*tiny\); did you mean 'tiny'\?"):
        find("tini")
    with pytest.raises(InputError, match=f"set {PLACES}"):
        find("../nothing/like/it")


def test_a_tensor_of_another_shape_is_named(model_copy: Path) -> None:
    tensors = load_file(model_copy / WEIGHTS)
    tensors["head.grade.linear.weight"] = torch.zeros(3, 64)
    save_file(tensors, model_copy / WEIGHTS)
    with pytest.raises(InputError, match=r"'head.grade.linear.weight' is \(3, 64\), the card needs \(2, 64\)"):
        load(_signed(model_copy))


@pytest.mark.parametrize(
    "name", ["hmgdm.encoder.", "features.desc_mean", "head.kinds.centroids", "head.density.gate.0"]
)
def test_a_missing_tensor_is_named(model_copy: Path, name: str) -> None:
    tensors = {key: value for key, value in load_file(model_copy / WEIGHTS).items() if not key.startswith(name)}
    save_file(tensors, model_copy / WEIGHTS)
    with pytest.raises(InputError, match=f"'{name}.*' is missing"):
        load(_signed(model_copy))


@pytest.mark.parametrize("name", ["hmgdm.more", "head.other.linear.bias", "more"])
def test_a_tensor_too_many_is_named(model_copy: Path, name: str) -> None:
    save_file({**load_file(model_copy / WEIGHTS), name: torch.zeros(1)}, model_copy / WEIGHTS)
    with pytest.raises(InputError, match=f"'{name}' is not part of the model"):
        load(_signed(model_copy))


def test_a_card_with_other_settings_is_not_taken(model_copy: Path, tiny_card: Card) -> None:
    wider = tiny_card.diffusion.model_copy(update={"hidden": 32})
    (model_copy / CARD).write_text(as_toml(tiny_card.model_copy(update={"diffusion": wider})), "utf-8")
    with pytest.raises(InputError, match=r"the card needs .*; restore the card\.toml"):
        load(_signed(model_copy))


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95 a pickle", b"\xff" * 64])
def test_what_is_no_safetensors_is_not_read(model_copy: Path, content: bytes) -> None:
    (model_copy / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match="is not a safetensors file"):
        load(_signed(model_copy))


def test_a_device_that_is_not_there_is_said() -> None:
    assert choose_device("cpu").type == "cpu"
    missing = [name for name in ("cuda", "mps") if choose_device("auto").type != name]
    with pytest.raises(InputError, match=f"--device {missing[-1]}: .* finds none here; use --device cpu"):
        choose_device(missing[-1])


def test_a_model_of_a_later_version_says_so(model_copy: Path) -> None:
    card = model_copy / CARD
    card.write_text(card.read_text("utf-8").replace("descriptors = 63", "descriptors = 640"), "utf-8")
    with pytest.raises(InputError, match="reads 640 descriptors") as caught:
        load(_signed(model_copy))
    assert "newer version" in caught.value.fix
