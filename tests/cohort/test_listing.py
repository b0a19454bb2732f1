"""Slides of folders and tables; names that are no paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from hmgdm_plugin.cohort.listing import slides_of_folder, slides_of_table
from hmgdm_plugin.schema.entry import SlideEntry, keyed
from hmgdm_plugin.schema.errors import InputError


def _table(folder: Path, text: str) -> Path:
    path = folder / "slides.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_folder_gives_its_slides_by_name_and_nothing_that_we_wrote(tmp_path: Path) -> None:
    for name in ("b.SVS", "sub/a.tif", ".hidden.svs", "notes.txt", ".trash/c.svs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for record in ("batch.json", "run.json"):
        (tmp_path / record).parent.joinpath(f"results-{record}").mkdir()
        (tmp_path / f"results-{record}" / record).touch()
        (tmp_path / f"results-{record}" / "overlay.png").touch()
    found = keyed(slides_of_folder(tmp_path))
    assert [(entry.slide_id, entry.path) for entry in found] == [
        ("b", tmp_path / "b.SVS"),
        ("sub/a", tmp_path / "sub" / "a.tif"),
    ]


def test_files_that_differ_in_their_ending_keep_it(tmp_path: Path) -> None:
    for name in ("a.svs", "a.tif", "b.svs", "sub/b.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [entry.slide_id for entry in slides_of_folder(tmp_path)] == ["a.svs", "a.tif", "b", "sub/b"]


def test_a_table_gives_paths_from_its_own_folder(tmp_path: Path) -> None:
    table = _table(tmp_path, "\ufeffslide_id,path,mpp,stain\ncase 7,wsi/a b.svs,0.25,HE\nx,/y/z.tif,\n")
    assert list(slides_of_table(table)) == [
        SlideEntry("case 7", tmp_path / "wsi/a b.svs", 0.25),
        SlideEntry("x", Path("/y/z.tif")),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,,0.5", "no path"),
        (",b.svs,", "no slide_id"),
        ("a,b.svs,big", "mpp 'big'"),
        ("a,b.svs,nan", "mpp 'nan'"),
        ("a,b.svs,-1", "mpp '-1'"),
        ("a", "no path"),
    ],
)
def test_a_bad_line_is_one_bad_slide(tmp_path: Path, line: str, problem: str) -> None:
    found = list(slides_of_table(_table(tmp_path, f"slide_id,path,mpp\ngood,g.svs,\n{line}\n")))
    assert found[0].problem == ""
    assert problem in found[1].problem


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("slide,path\na,b\n", "no column 'slide_id'; rename 'slide'"),
        ("slide_id,file\na,b\n", "no column 'path'"),
        ("", "no column"),
        ("slide_id,path\na,b\na,c\n", "'a' stands there twice"),
        ('slide_id,path\n"a,b\n', "not CSV"),
        ("slide_id,path,path\na,b,c\n", "has the column 'path' twice"),
    ],
)
def test_a_table_that_is_wrong_as_a_whole_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(slides_of_table(_table(tmp_path, text)))
    with pytest.raises(InputError, match="cannot be read"):
        list(slides_of_table(tmp_path))


def test_keys_are_safe_and_each_is_one_slides_own() -> None:
    names = ["../../etc/passwd", "a", "A", "a/b", "a_b", "..", "x" * 300, "x" * 301, "C:\\a", "CON", "ü", "a\0b", "ok."]
    found = keyed(SlideEntry(name, Path("f.svs")) for name in names)
    keys = [entry.key for entry in found]
    assert len({key.casefold() for key in keys}) == len(names)
    for key in keys:
        assert Path(key).name == key
        assert not key.startswith(".")
        assert not key.endswith(".")
        assert len(key) <= 80
    assert keys[names.index("ü")] == "ü"
    again = keyed([*(SlideEntry(name, Path("f.svs")) for name in names), SlideEntry("new", Path("g.svs"))])
    assert [entry.key for entry in again][:-1] == keys, "another slide does not change the names of the others"
