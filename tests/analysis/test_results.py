"""What differs between two batches: numbers of the same file, and in words what became of a slide."""

from __future__ import annotations

from hmgdm_plugin.analysis.results import differences


def _row(slide_id: str, state: str = "done", fingerprint: str = "f", **numbers: str) -> dict[str, str]:
    return {"slide_id": slide_id, "path": "p", "state": state, "fingerprint": fingerprint, **numbers}


def test_numbers_are_compared_where_the_file_is_the_same_and_words_say_the_rest() -> None:
    before = [_row("a", m="1"), _row("b", m="2"), _row("c", m="3"), _row("a", "done", "g", m="10"), _row("gone")]
    after = [
        _row("a", m="1.5"),
        _row("b", "quarantined", ""),
        _row("c", "done", "other", m="9"),
        _row("a", "done", "g", m="11"),
        _row("new"),
    ]
    each, over_all = differences(before, after)
    numbers = [(row["slide_id"], row["before"], row["after"], row["change"]) for row in each if row["number"] == "m"]
    assert numbers == [("a", 1.0, 1.5, 0.5), ("a", 10.0, 11.0, 1.0)]
    words = {row["slide_id"]: (row["number"], row["before"], row["after"]) for row in each if row["number"] != "m"}
    assert words == {
        "b": ("state", "done", "quarantined"),
        "c": ("fingerprint", "f", "other"),
        "gone": ("state", "done", "not there"),
        "new": ("state", "not there", "done"),
    }
    assert [(row["number"], row["slides"], row["median_change"]) for row in over_all] == [("m", 2, 0.75)]
