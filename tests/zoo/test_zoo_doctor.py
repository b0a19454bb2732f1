from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hmgdm_plugin import doctor as doctors
from hmgdm_plugin.doctor import doctor
from hmgdm_plugin.zoo.load import PLACES, WEIGHTS


def _said(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    said = json.loads(capsys.readouterr().out)
    return {check["name"]: check for check in said["checks"]}


def test_a_sound_installation_passes(
    saved_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PLACES, str(saved_model.parent))
    assert doctor(as_json=True) == 0
    checks = _said(capsys)
    assert {"Python", "packages", "tiffslide", "openslide", "device", "cache", "disk", "model tiny"} <= checks.keys()
    assert [name for name, check in checks.items() if check["fix"] and not check["optional"]] == []
    assert float(checks["coordinates"]["found"].split()[-2]) <= 0.01


def test_a_damaged_model_fails_with_its_fix(
    model_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PLACES, str(model_copy.parent))
    weights = bytearray((model_copy / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (model_copy / WEIGHTS).write_bytes(weights)
    assert doctor(as_json=False) == 1
    said = capsys.readouterr().out
    assert "FAIL  model tiny" in said
    assert "fix: copy the model folder again" in said


def test_a_package_that_does_not_load_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctors, "LOADED", ("torch", "a_package_that_is_not_there"))
    assert doctor(as_json=True) == 1
    checks = _said(capsys)
    assert "a_package_that_is_not_there" in checks["compiled"]["found"]
    assert checks["compiled"]["fix"].startswith("run: ")
    assert "coordinates" in checks, "the doctor goes on"


def test_a_cache_that_cannot_be_written_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctors.os, "access", lambda place, mode: False)
    assert doctor(as_json=True) == 1
    checks = _said(capsys)
    assert checks["cache"]["fix"] == "set NUMBA_CACHE_DIR to a folder that you can write"
    assert checks["disk"]["fix"]


def test_qupath_is_optional(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PAQUO_QUPATH_DIR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    doctor(as_json=True)
    check = _said(capsys)["QuPath"]
    assert check["optional"]
    assert check["found"] == "not installed (optional)"
    assert "PAQUO_QUPATH_DIR" in check["fix"]
