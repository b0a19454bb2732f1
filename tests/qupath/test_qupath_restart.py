"""The menu in QuPath's window over restarts: it comes back beside a startup script of one's own, and goes for good."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.qupath.headless import DRIVERS, SCRIPTS

pytestmark = pytest.mark.qupath
STARTS = ("install", "back", "gone")


@pytest.fixture(scope="module")
def results(tmp_path_factory, saved_model, pyramid_slide):
    """Of a classification: probabilities, and tiles in the colour that the card gives their class."""
    folder = tmp_path_factory.mktemp("results ä") / "run"
    command = [sys.executable, "-m", "hmgdm_plugin.cli", "predict", pyramid_slide, "--model", saved_model]
    command += ["--heads", "grade", "--results-dir", folder, "--columns", "--workers", "1"]
    subprocess.run(list(map(str, command)), capture_output=True, check=True, timeout=300)
    with np.load(folder / "columns" / pyramid_slide.stem / "tiles.npz") as columns:
        classes = json.loads(bytes(columns["header"]))["classes"]
    assert classes == [{"name": "HMGDM: benign", "color": [0, 120, 0]}]
    return folder


@pytest.fixture(scope="module")
def starts(tmp_path_factory, results, pyramid_slide, open_window):
    """What each start of QuPath found; they share their preferences, and each was quit as from its menu."""
    out = tmp_path_factory.mktemp("restart")
    scripts = out / "scripts ü"
    shutil.copytree(SCRIPTS, scripts)
    own = out / "my startup.groovy"
    shutil.copy(DRIVERS / "restart.groovy", own)
    found = {}
    for start in STARTS:
        named = {"out": out, "scripts": scripts, "own": own, "slide": pyramid_slide, "results": results, "start": start}
        named |= {"class": "HMGDM: benign", "layer": "Heat map: p(benign)", "shared": DRIVERS}
        options = {f"hmgdm.test.{key}": value for key, value in named.items()}
        options |= {"java.util.prefs.userRoot": out / "prefs"}
        if start == "install":  # later ones have it from the preferences alone
            options["qupath.startup.script"] = own
        open_window(options, timeout_s=60)
        found[start] = json.loads((out / f"{start}.json").read_text("utf-8"))
        found[start]["own script"] = (out / f"{start}.ran").read_text("utf-8")
    return found | {"own": str(own), "ours": str(scripts / "hmgdm_startup.groovy")}


def test_the_menu_is_there_after_a_restart_and_ones_own_startup_script_ran(starts):
    for start in STARTS:
        assert "error" not in starts[start]
        assert starts[start]["own script"] == "ran\n", "once"
    there = {"entry": True, "bar": True, "startup": starts["ours"], "settings": 6}
    none = {"entry": False, "bar": False, "startup": starts["own"], "settings": 0}
    assert starts["install"]["before"] == none
    assert starts["install"]["seen"] == starts["back"]["seen"] == there


def test_the_menu_removed_stays_away_and_ones_own_startup_script_is_set_again(starts):
    none = {"entry": False, "bar": False, "startup": starts["own"], "settings": 0}
    assert starts["back"]["after"] == starts["gone"]["seen"] == none


def test_a_layer_of_class_probabilities_is_shown_and_the_projects_colour_of_a_class_wins(starts):
    back = starts["back"]
    assert {"Heat map: p(benign)", "Heat map: p(malignant)"} <= set(back["layers"])
    assert "P(benign)" in back["legend"]
    assert back["colours"] == {"HMGDM: benign": 0x010203}, "the card says 0, 120, 0"


def test_opacity_is_remembered_over_a_restart(starts):
    assert starts["back"]["opacity"] == pytest.approx(0.35)
