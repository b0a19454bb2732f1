from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.options import PredictOptions
from hmgdm_plugin.schema.parsing import parse, read_toml
from hmgdm_plugin.schema.settings import GraphSettings, PretrainSettings

SOURCE = {"path": "a", "name": "a", "licence": "CC0"}


def test_unknown_key_names_the_nearest_at_every_depth() -> None:
    raw = {"name": "m", "sources": [SOURCE, {**SOURCE, "licnce": "x"}]}
    with pytest.raises(InputError, match=r"a\.toml: unknown key 'sources\.1\.licnce'; did you mean 'licence'\?"):
        parse(raw, PretrainSettings, "a.toml")
    with pytest.raises(InputError, match=r"'graph\.segment'; did you mean 'segments'\?"):
        parse({"name": "m", "sources": [], "graph": {"segment": 3}}, PretrainSettings, "a.toml")


def test_unknown_key_that_resembles_nothing_lists_the_valid_ones() -> None:
    with pytest.raises(InputError, match=r"valid keys are band_px, blur_sigma_px,.*window_px"):
        parse({"qqq": 1}, GraphSettings, "a.toml")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "predict: 'slides' is missing; give slides"),
        ({"slides": ["a.svs"], "mpp": 400}, "predict: mpp: .*less than or equal to 20"),
        ({"slides": ["a.svs"], "device": "gpu"}, "predict: device: .*'auto', 'cpu', 'cuda' or 'mps'"),
        ({"slides": ["a.svs"], "overlap": 1.0}, "predict: overlap: "),
    ],
)
def test_values_that_do_not_fit_are_named(raw: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse(raw, PredictOptions, "predict")


def test_settings_cannot_change_after_they_were_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        GraphSettings().segments = 3  # type: ignore[misc]


def test_toml_is_read_with_defaults_for_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('name = "m"\nsources = []\n[graph]\nsegments = 100\n', "utf-8-sig")
    settings = read_toml(path, PretrainSettings)
    assert settings.graph == GraphSettings(segments=100)
    assert (settings.stage1.batch, settings.stage2.batch) == (64, 16)


@pytest.mark.parametrize("content", [b"name = ", b"name = '\xff'", None])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.toml: (not TOML|cannot be read)"):
        read_toml(path, PretrainSettings)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../x"}, "name"),
        ({"seed": 2**40}, "seed"),
        ({"sources": [{"path": "p", "name": "n", "licence": "l", "patient_pattern": "("}]}, "regular expression"),
        ({"sources": [{"path": "p", "name": "n", "licence": "l", "patient_pattern": "x"}]}, "group"),
        ({"sources": [{"path": "p", "name": "n", "licence": "l", "pattern": "/*.png"}]}, "inside path"),
        ({"sources": [{"path": "p", "name": "n", "licence": "l", "pattern": "../*"}]}, "inside path"),
    ],
)
def test_pretraining_settings_that_would_fail_later_fail_now(change, words):
    good = {"name": "m", "sources": [{"path": "p", "name": "n", "licence": "l"}]}
    parse(good, PretrainSettings, "ok")
    with pytest.raises(InputError, match=words):
        parse({**good, **change}, PretrainSettings, "bad")
