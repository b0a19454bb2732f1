"""The scripts for QuPath: parsed by the Groovy that QuPath runs, complete, and found by the menu."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hmgdm_plugin import __version__
from hmgdm_plugin.schema.shades import scale, signed

REPO = Path(__file__).resolve().parents[2]
SCRIPTS = REPO / "qupath_scripts"
FILES = sorted(SCRIPTS.rglob("*.groovy"))
LIBRARY = sorted((SCRIPTS / "lib" / "hmgdm").glob("*.groovy"))
ACTIONS = sorted((SCRIPTS / "actions").glob("*.groovy"))
ASKED = [
    "Analyse selected regions…",
    "Analyse whole slide…",
    "Why this result",
    "Nuclei…",
    "Import results…",
    "Show / hide heat map",
    "Undo a run…",
    "Settings…",
    "Check installation",
]


def groovy_jars():
    """Folder of Groovy 4's jars: HMGDM_GROOVY, or inside a QuPath."""
    qupath = os.environ.get("PAQUO_QUPATH_DIR")
    places = [os.environ.get("HMGDM_GROOVY"), qupath and Path(qupath) / "lib" / "app"]
    for place in places:
        if place and list(Path(place).glob("groovy-[45]*.jar")):
            return Path(place)
    return None


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
@pytest.mark.skipif(groovy_jars() is None, reason="no Groovy 4: set HMGDM_GROOVY to its jars, or PAQUO_QUPATH_DIR")
def test_every_script_parses():
    files = [*FILES, *sorted((REPO / "tests" / "scripts").glob("*.groovy"))]
    command = ["java", "-cp", f"{groovy_jars()}/*", "groovy.ui.GroovyMain", str(REPO / "tests/scripts/parse.groovy")]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(files)} parsed" in done.stdout


@pytest.mark.skipif(shutil.which("java") is None, reason="no Java on this machine")
@pytest.mark.skipif("PAQUO_QUPATH_DIR" not in os.environ, reason="no QuPath: set PAQUO_QUPATH_DIR")
def test_colour_scales_are_those_of_the_report_and_the_window():
    random = np.random.default_rng(0)
    rows = [
        [7.0, 7.1],
        [0.0, 0.0],
        [-7.1, -7.0],
        [5.0] * 99 + [-0.1],
        [0.0] * 99 + [5000.0],
        [np.nan, -np.inf, 2.5],
        [],
    ]
    rows += [random.normal(mean, 1.0, 50).astype(np.float32).tolist() for mean in (-9, -1, 0, 2, 9)]
    texts = [",".join(map(str, row)).replace("inf", "Infinity").replace("nan", "NaN") for row in rows]
    command = ["java", "-cp", f"{groovy_jars()}/*", "groovy.ui.GroovyMain", str(REPO / "tests/scripts/scales.groovy")]
    done = subprocess.run(
        [*command, str(SCRIPTS / "lib"), *texts], capture_output=True, text=True, check=True, timeout=60
    )
    for row, line in zip(rows, done.stdout.splitlines(), strict=True):
        low, high, two = line.split()
        assert (float(low), float(high)) == pytest.approx(scale(row), rel=1e-6), row
        assert (two == "true") == signed(row), row


def test_the_menu_has_every_entry_once_and_in_order():
    lines = [re.fullmatch(r"// menu: (\d+) (.+)", file.read_text("utf-8").splitlines()[0]) for file in ACTIONS]
    assert all(lines)
    entries = [name for _, name in sorted((int(line[1]), line[2]) for line in lines)]
    assert entries[: len(ASKED)] == ASKED
    assert len({line[1] for line in lines}) == len(lines)


def test_what_a_script_loads_is_there_and_nothing_is_left_over():
    known = {file.stem for file in LIBRARY}
    loaded = set()
    for file in FILES:
        text = file.read_text("utf-8")
        for names in re.findall(r"(?:hmgdm|'load\.groovy'\)\))\(((?:'\w+'(?:, )?)+)\)", text):
            loaded |= set(re.findall(r"\w+", names))
    assert loaded <= known
    texts = {file.stem: file.read_text("utf-8") for file in LIBRARY}
    reached, todo = set(), set(loaded) | {"Headless", "Scripted"}
    while todo:
        name = todo.pop()
        reached.add(name)
        todo |= {other for other in known - reached if re.search(rf"\b{other}\b", texts[name])}
    assert known - reached == set()


def test_names_of_a_class_and_its_file_agree():
    for file in LIBRARY:
        assert re.search(rf"^class {file.stem}\b", file.read_text("utf-8"), re.MULTILINE), file.name


def test_scripts_use_what_every_qupath_has():
    """groovy.json does not come with QuPath; a shell string breaks on spaces and on Windows."""
    for file in FILES:
        text = file.read_text("utf-8")
        assert not re.search(r"groovy\.json|\.execute\(\)|ProcessBuilder\(['\"]|/home/|/work/|C:\\\\Users", text), file
        assert len(text.splitlines()) <= 250, file


def test_the_scripts_accept_this_version_of_the_program():
    found = re.search(r"LEAST = \[(\d+), (\d+), (\d+)\]", (SCRIPTS / "lib/hmgdm/Program.groovy").read_text("utf-8"))
    assert found is not None
    assert tuple(map(int, found.groups())) <= tuple(int(part) for part in re.findall(r"\d+", __version__)[:3])


def test_layouts_known_on_both_sides_are_the_same():
    from hmgdm_plugin.qupath import columns, geojson, ids, marker

    ours = (SCRIPTS / "lib/hmgdm/Ours.groovy").read_text("utf-8")
    assert f"LEFT_OUT = '{geojson.LEFT_OUT}'" in ours
    assert f"OF_EVERY_TILE = {list(geojson.OF_EVERY_TILE)} as Set" in ours

    tag = (SCRIPTS / "lib/hmgdm/Tag.groovy").read_text("utf-8")
    assert f"0x{ids._MAGIC:x}L" in tag
    reader = (SCRIPTS / "lib/hmgdm/Columns.groovy").read_text("utf-8")
    assert f"'{columns.FORMAT}'" in reader
    assert f"!= {columns.VERSION})" in reader
    for member in ("id", "kind", "class", "name", "rings", "role", "points", "xy"):
        assert f"member(zip, '{member}')" in reader
    signs = (SCRIPTS / "lib/hmgdm/Open.groovy").read_text("utf-8")
    assert f"MARKER = '{marker.MARKER}'" in signs
    assert f"SIGNS = '{marker.SIGNS}'" in signs
