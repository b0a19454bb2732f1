"""Files beside slides are found by id, whatever stands in an id."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmgdm_plugin.cohort.beside import GEOJSON, Beside
from hmgdm_plugin.schema.entry import SlideEntry
from hmgdm_plugin.schema.errors import InputError


def _entry(slide_id: str) -> SlideEntry:
    return SlideEntry(slide_id, Path("any.svs"))


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for name in ("one.geojson", "sub/one.json", "two.svs.geojson.gz", ".hidden.geojson", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()
    (tmp_path / "outside.geojson").touch()
    return folder


def test_a_file_belongs_to_the_slide_of_its_name(folder: Path) -> None:
    found = Beside(folder, "regions", GEOJSON)
    assert found.of(_entry("one")) == folder / "one.geojson"
    assert found.of(_entry("sub/one")) == folder / "sub" / "one.json"
    assert found.of(_entry("two.svs")) == folder / "two.svs.geojson.gz"
    assert found.without_slide([_entry("one"), _entry("three")]) == ["sub/one", "two.svs"]


@pytest.mark.parametrize("slide_id", ["../outside", "/etc/passwd", "two", "ONE", "", ".", ".hidden", "sub/../one"])
def test_an_id_is_no_path(folder: Path, slide_id: str) -> None:
    with pytest.raises(InputError, match="no regions in"):
        Beside(folder, "regions", GEOJSON).of(_entry(slide_id))


def test_nuclei_in_parts_are_one_folder_for_each_slide(tmp_path: Path) -> None:
    parts = tmp_path / "geojson" / "one"
    parts.mkdir(parents=True)
    for number in (1, 2):
        (parts / f"nuclei-part-000{number}.geojson.gz").touch()
    assert Beside(tmp_path, "nuclei", GEOJSON, "nuclei-part-").of(_entry("one")) == parts


def test_two_files_for_one_slide_and_no_folder_are_refused(folder: Path) -> None:
    (folder / "one.zip").touch()
    with pytest.raises(InputError, match="are for one slide"):
        Beside(folder, "regions", GEOJSON)
    with pytest.raises(InputError, match="no such folder"):
        Beside(folder / "one.zip", "regions", GEOJSON)
