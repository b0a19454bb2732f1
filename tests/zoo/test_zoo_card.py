from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.parsing import parse
from hmgdm_plugin.zoo.card import CARD, Card, Head, as_toml, read_any_card, read_card
from hmgdm_plugin.zoo.load import installed
from hmgdm_plugin.zoo.page import PAGE, page

CLASSES = [{"name": "a", "rgb": [0, 0, 0]}, {"name": "b", "rgb": [255, 0, 0]}]


def test_a_card_survives_toml(tiny_card: Card, tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(as_toml(tiny_card), "utf-8")
    assert read_card(tmp_path) == tiny_card


def test_a_folder_without_a_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"card\.toml: cannot be read"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "Über Model"}, "name: string should match"),
        ({"name": "../escape"}, "name: string should match"),
        ({"kind": "classification"}, "needs two classes"),
        ({"kind": "classification", "classes": [CLASSES[0], CLASSES[0]]}, "same name"),
        ({"kind": "regression", "classes": CLASSES}, "has no classes"),
        ({"kind": "clusters", "classes": [{"name": "a", "rgb": [0, 0, 256]}]}, r"classes\.0\.rgb\.2"),
        ({"tranform": "log"}, "did you mean 'transform'"),
    ],
)
def test_heads_that_make_no_sense_are_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse({"name": "x", "title": "X", "kind": "regression", **change}, Head, "card.toml")


def test_two_heads_of_one_name_are_refused(tiny_card: Card) -> None:
    raw = tiny_card.model_dump()
    with pytest.raises(InputError, match="two heads have the same name"):
        parse({**raw, "head": [raw["head"][0]] * 2}, Card, "card.toml")


def test_the_page_says_what_a_reader_must_know(tiny_card: Card) -> None:
    text = page(tiny_card)
    for needed in ("Not a medical device", "Knows nothing.", "0.400 to 0.600", "per mm2", "not identified", "Random."):
        assert needed in text
    assert r"| none \| at all | CC0 |" in text, "a bar in a name must not break the table"


@pytest.mark.parametrize("folder", installed().values(), ids=str)
def test_the_pages_that_ship_agree_with_their_cards(folder: Path) -> None:
    assert (folder / PAGE).read_text("utf-8") == page(read_any_card(folder))
