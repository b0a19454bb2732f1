"""Slides of a QuPath project, as the viewer writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hmgdm_plugin.qupath.listing import slides_of_project
from hmgdm_plugin.schema.errors import InputError


def _project(folder: Path, *builders: dict[str, Any], uri: str = "") -> Path:
    images = [
        {"serverBuilder": builder, "entryID": number, "randomizedName": "x", "imageName": f"slide {number}"}
        for number, builder in enumerate(builders, 1)
    ]
    path = folder / "project.qpproj"
    document = {"version": "0.5.1", "uri": uri or path.as_uri(), "lastID": len(images), "images": images}
    path.write_text(json.dumps(document), "utf-8")
    return path


def _file(path: Path, **more: Any) -> dict[str, Any]:
    return {"builderType": "uri", "providerClassName": "x", "uri": path.as_uri(), "args": ["--series", "0"], **more}


def test_entries_have_their_files_and_pixel_sizes(tmp_path: Path) -> None:
    slide = tmp_path / "a b ü%41.svs"
    slide.touch()
    side = {"value": 0.25, "unit": "µm"}
    known = {"pixelCalibration": {"pixelWidth": side, "pixelHeight": side}}
    project = _project(tmp_path, _file(slide, metadata=known), _file(slide))
    (tmp_path / "data" / "2").mkdir(parents=True)
    other = {"metadata": {"pixelCalibration": {"pixelWidth": {"value": 1.0, "unit": "px"}, "pixelHeight": side}}}
    (tmp_path / "data" / "2" / "server.json").write_text(json.dumps(other))
    first, second = slides_of_project(project)
    assert (first.slide_id, first.path, first.mpp, first.entry, first.problem) == ("slide 1", slide, 0.25, "1", "")
    assert (second.path, second.mpp) == (slide, None), "pixels are no microns"


def test_a_leica_slide_is_the_image_behind_its_glass(tmp_path: Path) -> None:
    slide, size = tmp_path / "a.scn", {"width": 800, "height": 600}
    main = {**_file(slide, metadata=size), "args": ["--series", "1"]}
    known, unknown = slides_of_project(_project(tmp_path, main, {**main, "metadata": {"width": "800"}}))
    assert (known.path, known.shown_px, known.problem) == (slide, (800, 600), "")
    assert "first image" in unknown.problem, "without a size nobody could tell which image it is"


def test_a_project_that_was_moved_with_its_slides_finds_them(tmp_path: Path) -> None:
    (tmp_path / "new" / "wsi").mkdir(parents=True)
    (tmp_path / "new" / "wsi" / "a.svs").touch()
    was = tmp_path / "old"
    project = _project(
        tmp_path / "new", _file(was / "wsi" / "a.svs"), _file(was / "b.svs"), uri=(was / "project.qpproj").as_uri()
    )
    first, second = slides_of_project(project)
    assert first.path == tmp_path / "new" / "wsi" / "a.svs"
    assert second.path == was / "b.svs", "the place where it was, to be named as missing"


@pytest.mark.parametrize(
    ("builder", "problem"),
    [
        ({"builderType": "rotated", "builder": {}}, "rotated"),
        ({"builderType": "uri", "uri": "https://example.org/a.svs"}, "not a file"),
        ({"builderType": "uri", "uri": "file:/a%00.svs"}, "not a file"),
        ({"builderType": "uri", "uri": 7}, "not a file"),
        ({"builderType": "uri", "uri": "file:/a.svs", "args": ["--series", "2"]}, "first image"),
        ({}, "not a file"),
    ],
)
def test_what_is_no_plain_slide_is_said(tmp_path: Path, builder: dict[str, Any], problem: str) -> None:
    (found,) = slides_of_project(_project(tmp_path, builder))
    assert problem in found.problem


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"images": 3}', "[" * 100_000, "\ufeff\ufffe"])
def test_what_is_no_project_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.qpproj").write_text(text, "utf-8")
    with pytest.raises(InputError, match="not a QuPath project"):
        list(slides_of_project(tmp_path / "p.qpproj"))


def test_what_is_no_image_of_a_project_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "p.qpproj").write_text('{"images": [5, null]}', "utf-8")
    assert ["is no image" in found.problem for found in slides_of_project(tmp_path / "p.qpproj")] == [True, True]
