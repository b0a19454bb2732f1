from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmgdm_plugin.models import list_models, show_model, verify_model
from hmgdm_plugin.schema.errors import HmgdmError, InputError
from hmgdm_plugin.zoo.card import Card
from hmgdm_plugin.zoo.digest import SUMS, sums_of, verify
from hmgdm_plugin.zoo.load import PLACES, load
from hmgdm_plugin.zoo.save import save_model
from hmgdm_plugin.zoo.vector import LENGTH, VECTOR, check_test_vector, synthetic_tile


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_earlier_model_is_replaced_whole(model_copy: Path, tiny_card: Card, tiny_parts: Any) -> None:
    (model_copy / "stale.txt").write_text("of the earlier model")
    save_model(model_copy, tiny_card.model_copy(update={"version": "2.0"}), *tiny_parts)
    assert load(model_copy).card.version == "2.0"
    assert _names(model_copy.parent) == ["tiny"]


def test_a_save_that_fails_leaves_the_earlier_model(model_copy: Path, tiny_card: Card, tiny_parts: Any) -> None:
    digest = verify(model_copy)
    features, encoder, heads = tiny_parts
    heads["density"].forward = None  # the test vector cannot be computed
    with pytest.raises(TypeError):
        save_model(model_copy, tiny_card, features, encoder, heads)
    assert verify(model_copy) == digest
    assert _names(model_copy.parent) == ["tiny"]


def test_a_disk_that_takes_no_more_is_one_sentence(model_copy: Path, tiny_card: Card, tiny_parts: Any) -> None:
    resource = pytest.importorskip("resource", reason="limits on file sizes are a matter of Unix")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))
    try:
        with pytest.raises(InputError, match=r"tiny: cannot be written \(File too large\); free some space"):
            save_model(model_copy, tiny_card, *tiny_parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    verify(model_copy)
    assert _names(model_copy.parent) == ["tiny"]


def test_a_folder_that_is_no_model_is_not_replaced(tmp_path: Path, tiny_card: Card, tiny_parts: Any) -> None:
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(InputError, match="is not a model"):
        save_model(tmp_path, tiny_card, *tiny_parts)
    assert _names(tmp_path) == ["thesis.docx"]


def test_heads_that_the_card_does_not_list_are_not_saved(tmp_path: Path, tiny_card: Card, tiny_parts: Any) -> None:
    features, encoder, heads = tiny_parts
    with pytest.raises(
        InputError, match=r"the card lists heads \['density', 'grade', 'kinds'\], given are \['grade'\]"
    ):
        save_model(tmp_path / "m", tiny_card, features, encoder, {"grade": heads["grade"]})


def test_the_weights_can_be_read_by_everyone_who_reads_the_card(saved_model: Path) -> None:
    assert len({path.stat().st_mode for path in saved_model.iterdir()}) == 1


def test_the_test_tile_is_the_same_bytes_everywhere() -> None:
    tile = synthetic_tile(8)
    assert tile.dtype == np.uint8
    assert tile[0, :4].tolist() == [[214, 150, 190], [212, 154, 192], [215, 172, 201], [205, 142, 186]]


def test_the_test_vector_agrees_and_notices_other_weights(saved_model: Path) -> None:
    model = load(saved_model)
    said = json.loads((saved_model / VECTOR).read_text())
    assert {name: len(values) for name, values in said.items()} == {
        "embedding": LENGTH, "head density": 1, "head grade": 2, "head kinds": 3,
    }  # fmt: skip
    assert check_test_vector(model) < 1e-4
    bias = model.heads["grade"].linear.bias.data
    bias += (100.0 if said["head grade"][0] < 0.5 else -100.0) * bias.new_tensor([1.0, -1.0])
    assert check_test_vector(model) > 0.4


@pytest.mark.parametrize("content", ["{", '{"embedding": [1.0]}', '{"embedding": 3}', "[]"])
def test_a_test_vector_of_something_else_is_refused(model_copy: Path, content: str) -> None:
    (model_copy / VECTOR).write_text(content)
    (model_copy / SUMS).write_text(sums_of(model_copy), "utf-8")
    with pytest.raises(
        InputError, match=r"test_vector\.json: (is not of this model|cannot be read as lists of numbers)"
    ):
        check_test_vector(load(model_copy))


def test_verify_fails_where_the_machine_computes_something_else(model_copy: Path) -> None:
    path = model_copy / VECTOR
    said = json.loads(path.read_text())
    said["embedding"][3] = float("nan")
    path.write_text(json.dumps(said))
    (model_copy / SUMS).write_text(sums_of(model_copy), "utf-8")
    with pytest.raises(HmgdmError, match=r"deviates by inf, allowed is 0\.01; install the versions"):
        verify_model(str(model_copy))


def test_the_list_shows_heads_and_what_is_damaged(
    model_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PLACES, str(model_copy.parent))
    list_models(as_json=True)
    row = next(each for each in json.loads(capsys.readouterr().out) if each["name"] == "tiny")
    assert row["digest"] == verify(model_copy)
    assert [head["name"] for head in row["heads"]] == ["density", "grade", "kinds"]
    show_model("tiny")
    assert "Knows nothing." in capsys.readouterr().out
    (model_copy / "card.md").write_text("another")
    list_models(as_json=False)
    assert "card.md: has been changed" in capsys.readouterr().out
