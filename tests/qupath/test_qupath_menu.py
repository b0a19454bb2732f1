"""The menu in QuPath's window, on a virtual screen: pressed as a person would, photographed, and its steps compared."""

import json
import shutil

import pytest
from PIL import Image

from hmgdm_plugin.schema.shades import scale
from tests.qupath.headless import DRIVERS, SCRIPTS, installed

pytestmark = pytest.mark.qupath
ROWS = [[7.0, 7.1], [1.0, 100.0, 3.0], [2.5], [0.0, 0.0], [-7.1, -7.0], list(range(40))]


@pytest.fixture(scope="module")
def steps(tmp_path_factory, cmu_slide, stained, open_window):
    """What the driver saw, pressing every entry; only the system's own window for folders is answered in its place."""
    out = tmp_path_factory.mktemp("menu")
    program = installed(out, "hmgdm with a space")
    scripts = out / "scripts ü"
    shutil.copytree(SCRIPTS, scripts)
    added = "// menu: 55 More like this…\nSystem.setProperty('hmgdm.test.more', 'ran')\n"
    (scripts / "actions" / "more.groovy").write_text(added, "utf-8")
    (out / "of another slide").mkdir()
    facts = {"path": "b.svs", "fingerprint": "0", "bounds_px": [0, 0, 9, 9]}
    record = {"verb": "predict", "slides": {"b": facts}}
    (out / "of another slide" / "run.json").write_text(json.dumps(record), "utf-8")
    Image.fromarray(stained[:600, :600]).save(out / "no pixel size.png")
    named = {
        "unsized": out / "no pixel size.png",
        "out": out,
        "scripts": scripts,
        "image": cmu_slide,
        "program": str(program),
    }
    named |= {"region": "900,700,700,700", "layers": "Groups;Embeddings;Objects:_HMGDM:_contribution", "cancel": "3000"}
    named["shades"] = ";".join(",".join(map(str, row)) for row in ROWS)
    options = {f"hmgdm.test.{key}": value for key, value in {**named, "shared": DRIVERS}.items()}
    options |= {"qupath.startup.script": DRIVERS / "menu.groovy", "java.util.prefs.userRoot": out / "prefs"}
    open_window(options, timeout_s=2400)
    return json.loads((out / "steps.json").read_text("utf-8")) | {"pictures": sorted(p.name for p in out.glob("*.png"))}


def test_every_entry_did_what_it_says(steps):
    assert "error" not in steps
    assert steps["finished"]
    assert len(steps["entries"]) == len(set(steps["entries"])) >= 10, "installed twice, there once"
    assert steps["startup"].endswith("hmgdm_startup.groovy")
    assert steps["analysed"] > 100
    assert steps["workflow"][-1].startswith("H-MGDM: predict 1 region")
    assert steps["lit"] == 10
    assert {"2-said.png", "2-heat-map.png", "3-why.png", "4-groups.png", "4-embeddings.png"} <= set(steps["pictures"])


def test_opacity_is_one_with_that_of_the_viewer_and_remembered(steps):
    assert steps["opacity at first"] == 0.6
    assert steps["opacity in the legend"] == 0.25, "moved in QuPath's toolbar"
    assert steps["opacity of the viewer"] == 0.7, "moved in our legend"
    assert steps["hidden"] == 1.0, "as the user had it before ours"
    assert [value for name, value in steps.items() if name.startswith("opacity of ")] == [0.7] * 4, "and remembered"
    assert "2-heat-map-faint.png" in steps["pictures"]


def test_scales_end_where_those_of_the_report_do(steps):
    assert steps["shades"] == [pytest.approx(scale(row), rel=1e-6) for row in ROWS]


def test_what_the_run_remarked_can_be_read_beside_the_window_and_in_the_legend(steps):
    said = [text for text in steps["notices"] if "unlike the training data" in " ".join(text.split())]
    assert said
    assert max(len(line) for text in steps["notices"] for line in text.splitlines() if " " in line) <= 70
    assert "unlike the training data" in steps["legend"]


def test_what_cannot_be_done_is_said_once_with_what_to_do(steps):
    told = {
        "no image": "no image is open What to do: open a slide first",
        "no region": "no region is selected What to do: draw or select one or more annotations",
        "nothing to undo": "no objects of H-MGDM are on this image",
        "no program": "no such program What to do: correct it in Extensions > H-MGDM > Settings",
        "of another slide": "CMU-1-Small-Region.svs: these results are of b What to do: open that slide",
    }
    for step, words in told.items():
        assert len(steps[step]) == 1, step
        assert words in " ".join(steps[step][0].split())


def test_a_new_file_is_a_new_entry_in_its_place(steps):
    place = steps["entries"].index("More like this…")
    assert steps["entries"][place - 1 : place + 2] == ["Import results…", "More like this…", "Show / hide heat map"]
    assert steps["added entry"] == "ran"


def test_what_a_person_drew_is_never_touched(steps):
    assert steps["annotations untouched"]
    assert steps["undone"]
    assert steps["annotations after undo"]


def test_import_brings_back_what_was_undone_and_twice_is_once(steps):
    same = {"objects": steps["analysed"], "same": True}
    assert steps["imported"] == same
    assert steps["imported again"] == same
    assert steps["imported steps"] == 2
    assert steps["annotations after all"]


def test_nuclei_lie_on_nuclei_and_are_used_on_request(steps):
    assert "nuclei-stardist-he" in steps["nuclei model"]
    assert steps["nuclei in all"] >= steps["nuclei"] > 200
    assert 0.03 < steps["shade"]["share"] < 0.5
    assert steps["shade"]["under"] < steps["shade"]["around"] - 20, "darker than what lies around them"
    assert steps["nuclei used"] == steps["nuclei in all"], "the tick hands over all that are on the slide"
    assert steps["contacts left"] == 0, "of the analysis before, which explained"
    assert 100 < steps["nuclei as entities"] <= steps["nuclei used"]
    assert {"7-imported.png", "8-nuclei.png", "9-with-nuclei.png"} <= set(steps["pictures"])


def test_a_step_of_the_workflow_is_a_script_that_does_it_again(steps):
    assert steps["repeated by the step"]


def test_settings_are_kept_and_the_check_says_what_works(steps):
    assert steps["device"] == "cpu"
    assert "nuclei-stardist-he" in steps["report"]
    assert "All that is needed works." in steps["report"]
    assert "FAIL" not in steps["report"]


def test_cancel_ends_all_processes_and_leaves_nothing(steps):
    assert 0 <= steps["cancelled in s"] < 2.5
    assert steps["left by cancel"] == 0


def test_a_pixel_size_is_asked_and_never_suggested(steps):
    assert steps["suggested"] == ""
    assert "tiles" in steps["estimated"]
    assert "Estimated time: " in steps["estimated"], "before a whole slide is analysed"
    assert steps["left by an estimate"] == 0


def test_uninstalling_takes_everything_back(steps):
    assert steps["menu removed"]
    assert steps["startup after"] == ""
