"""What differs between two batches: numbers of the same file, and in words what became of a slide."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmgdm_plugin.analysis.results import as_csv, columns_of, differences, rows_of
from hmgdm_plugin.batch import diff
from hmgdm_plugin.batch_results import write_results
from hmgdm_plugin.cohort.store import State, Store
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events


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


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    """A slide that is done, with a run folder that holds nothing yet."""
    store = Store(tmp_path / "r")
    store.begin({})
    store.results("a").mkdir(parents=True)
    store.save("a", State("a", "a.svs", done=True))
    return store


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (run.SLIDE, '{"flags": 7, "pen_share": [1]}'),
        (run.SLIDE, '{"overlay": "../../../secret.png"}'),
        (run.SLIDE, '{"overlay": "broken.png"}'),
        (run.SLIDE, "[1]"),
        (run.RECORD, "[]"),
        (run.RECORD, '{"packages": 3, "platform": "p"}'),
        (run.SUMMARY, "slide_id,m\r\na,1,2,3\r\n"),
        (run.SUMMARY, "slide_id,m,n\r\na\r\n"),
    ],
)
def test_what_somebody_did_to_a_run_folder_stops_no_report(store: Store, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    (store.results("a") / "broken.png").write_bytes(b"no picture")
    (store.results("a") / name).write_text(text)
    entries = keyed([SlideEntry("a", Path("a.svs"))])
    write_results(entries, store, Events())
    rows, _ = rows_of(store, entries)
    assert as_csv(columns_of(rows), rows) == (store.root / run.SUMMARY).read_bytes().decode()
    assert (rows[0]["slide_id"], rows[0]["state"], rows[0]["flags"]) == ("a", "done", "")


def test_a_summary_that_is_no_longer_one_is_said(store: Store) -> None:
    (store.root / run.SUMMARY).write_text("slide_id;state\na;done\n")
    with pytest.raises(InputError, match=r"has no summary\.csv as hmgdm writes it"):
        diff(store.root, store.root, Events())
