"""What an import would do with an image: by number and fingerprint, never by name. QuPath itself: `tests/qupath`."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from hmgdm_plugin.batch_import import _judged, import_batch
from hmgdm_plugin.cohort.store import State, Store
from hmgdm_plugin.qupath.entry import Entry
from hmgdm_plugin.schema import run
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import BatchImportOptions
from hmgdm_plugin.slide.reader import fingerprint_of

TAG = "0abcdef"


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Store:
    """A slide that is done, with three objects in two files."""
    (tmp_path / "a.svs").write_bytes(b"a slide")
    store = Store(tmp_path / "r")
    store.begin({"digest": "d"})
    for name, count in ((run.tiles_geojson("a"), 1), (run.entities_geojson("a"), 2)):
        path = store.results("a") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(['{"type":"Feature"}'] * count)
        path.write_bytes(gzip.compress(f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n'.encode()))
    (store.results("a") / run.RECORD).write_text("{}")
    store.save("a", State("a", "", "1", fingerprint_of(tmp_path / "a.svs"), done=True))
    return store


def _image(ours: int, *recipes: str) -> Entry:
    return Entry("1", "a", None, 100, 100, 0.5, 4, ours, ours, recipes)


class _Project:
    """Says whether the results are on an image, as QuPath would."""

    def __init__(self, same: bool = False) -> None:
        self._same = same

    def has(self, entry: str, folder: Path) -> bool:
        return self._same


@pytest.mark.parametrize(
    ("image", "same", "word"),
    [
        (_image(0), False, "add"),
        (_image(9, "1234567"), False, "add"),
        (_image(3, TAG), True, "leave"),
        (_image(3, TAG), False, "replace"),
        (_image(7, "1234567", TAG), True, "leave"),
        (None, False, "not in QuPath"),
    ],
)
def test_what_is_there_decides(store: Store, tmp_path: Path, image: Entry | None, same: bool, word: str) -> None:
    (entry,) = keyed([SlideEntry("a", tmp_path / "a.svs", None, "1")])
    assert _judged(entry, store, image, TAG, _Project(same)) == (word, 3 if image else 0)  # type: ignore[arg-type]


def test_another_slide_of_the_same_name_gets_nothing(store: Store, tmp_path: Path) -> None:
    def judged(path: Path, number: str = "1") -> tuple[str, int]:
        (entry,) = keyed([SlideEntry("a", path, None, number)])
        return _judged(entry, store, _image(0), TAG, _Project())  # type: ignore[arg-type]

    for path, number in ((tmp_path / "a.svs", "2"), (tmp_path / "gone" / "a.svs", "1")):
        assert judged(path, number) == ("another slide", 0)
    (tmp_path / "a.svs").write_bytes(b"another")
    assert judged(tmp_path / "a.svs") == ("another slide", 0)
    store.forget("a")
    assert judged(tmp_path / "a.svs") == ("not analysed", 0)


def test_only_a_project_can_be_imported_into(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a QuPath project"):
        import_batch(BatchImportOptions(source=tmp_path, results_dir=store.root), Events())
