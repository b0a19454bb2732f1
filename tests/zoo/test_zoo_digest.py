from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.zoo.digest import SUMS, sums_of, verify
from hmgdm_plugin.zoo.load import WEIGHTS, load

FILES = ("card.toml", "card.md", WEIGHTS, "test_vector.json")


def test_a_whole_model_has_the_digest_of_its_sums(saved_model: Path) -> None:
    assert verify(saved_model) == hashlib.sha256((saved_model / SUMS).read_bytes()).hexdigest()
    assert sorted(FILES) == sorted(path.name for path in saved_model.iterdir() if path.name != SUMS)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_sha256sum_agrees(saved_model: Path) -> None:
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", SUMS], cwd=saved_model, capture_output=True, text=True, check=True
    )
    assert done.stdout.count(": OK") == len(FILES)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_named(model_copy: Path, name: str) -> None:
    path = model_copy / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: has been changed"):
        load(model_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(model_copy: Path, name: str) -> None:
    (model_copy / name).unlink()
    with pytest.raises(InputError, match=rf"{name}|no such model|without card\.toml"):
        load(model_copy)


def test_weights_that_were_slipped_in_are_named(model_copy: Path) -> None:
    shutil.copy(model_copy / WEIGHTS, model_copy / "more.safetensors")
    with pytest.raises(InputError, match=r"more\.safetensors: is not listed"):
        verify(model_copy)


def test_without_sums_nothing_is_read(model_copy: Path) -> None:
    (model_copy / SUMS).unlink()
    with pytest.raises(InputError, match=f"{SUMS}: cannot be read"):
        load(model_copy)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/../../secret"])
def test_names_in_the_sums_are_never_opened(model_copy: Path, name: str) -> None:
    secret = model_copy.parent / "secret"
    secret.write_text("s")
    digest = hashlib.sha256(b"s").hexdigest()
    (model_copy / SUMS).write_text(sums_of(model_copy) + f"{digest}  {name}\n", "utf-8")
    with pytest.raises(InputError, match="listed but is not a file of the folder"):
        verify(model_copy)


@pytest.mark.parametrize("line", ["", "abc  card.toml", "0" * 64 + " card.toml"])
def test_sums_that_cannot_be_understood_are_refused(model_copy: Path, line: str) -> None:
    (model_copy / SUMS).write_text(f"{line}\n{sums_of(model_copy)}", "utf-8")
    with pytest.raises(InputError, match="is not a digest and a name"):
        verify(model_copy)


def test_a_folder_in_the_place_of_a_file_is_refused(model_copy: Path) -> None:
    (model_copy / "card.md").unlink()
    (model_copy / "card.md").mkdir()
    with pytest.raises(InputError, match="is not a file"):
        verify(model_copy)
