"""The window, driven through whole runs of the command line without a screen."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PyQt5.QtCore import QEvent, QPoint, QPointF, Qt
from PyQt5.QtGui import QMouseEvent, QWheelEvent
from PyQt5.QtWidgets import QApplication

from hmgdm_plugin.gui.request import Request
from hmgdm_plugin.gui.results import CLASSES, Group, first_layer, opening, read_groups
from hmgdm_plugin.gui.viewer import nice
from hmgdm_plugin.gui.window import MainWindow

MINUTES_MS = 120_000


@pytest.fixture(name="field")
def _field(stained: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "field with ü and 'quote'.png"
    Image.fromarray(stained[:300, :520]).save(path)
    return path


@pytest.fixture(name="window")
def _window(qtbot) -> MainWindow:
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    return window


def pixels(window: MainWindow) -> np.ndarray:
    """What the viewer shows, (H, W, 3)."""
    image = window.viewer.grab().toImage().convertToFormat(4)
    bits = image.bits()
    bits.setsize(image.byteCount())
    return np.frombuffer(bits, np.uint8).reshape(image.height(), image.width(), 4)[..., 2::-1].copy()


def test_a_run_from_the_slide_to_its_overlay(window: MainWindow, field: Path, qtbot) -> None:
    window.form.mpp.setText("0.5")
    window.choose(field)
    assert "520 x 300 pixels" in window.state.text()
    assert shlex.split(window.form.command.toPlainText())[:3] == ["hmgdm", "predict", str(field)]
    pixels(window)
    qtbot.waitUntil(lambda: not window.viewer._slide._asked, timeout=10_000)  # the sharper squares have arrived
    bare = pixels(window)
    with qtbot.waitSignal(window.job.finished, timeout=MINUTES_MS):
        qtbot.mouseClick(window.run_button, Qt.LeftButton)
        assert window.cancel_button.isEnabled()
        assert not window.form.isEnabled()
    assert window.state.text().startswith("Done")
    assert window.form.isEnabled()
    assert {window.group.itemText(k) for k in range(window.group.count())} == {"entities", "tiles", "nothing"}
    assert window.group.currentText() == "tiles"
    assert window.layer.currentText().startswith("nuclear density"), "opened on the answer"
    layers = [window.layer.itemData(k) for k in range(window.layer.count())]
    assert layers[0] == CLASSES
    assert any("nuclear density" in layer for layer in layers)
    shown = pixels(window)
    assert (shown != bare).any()
    window.layer.setCurrentIndex(0)
    assert (pixels(window) != shown).any()
    window.group.setCurrentText("entities")
    assert window.layer.currentText() == "contribution to nuclear density"
    window.group.setCurrentText("nothing")
    np.testing.assert_array_equal(pixels(window), bare)
    with qtbot.waitSignal(window.job.finished, timeout=MINUTES_MS):
        window.start()
    assert "another run" in window.state.text()
    assert "--overwrite" in window.state.text()


def test_cancel_ends_the_run_and_leaves_nothing(window: MainWindow, field: Path, qtbot) -> None:
    window.form.mpp.setText("0.5")
    window.choose(field)
    with qtbot.waitSignal(window.job.finished, timeout=MINUTES_MS):
        window.start()
        qtbot.waitUntil(lambda: window.job.running, timeout=10_000)
        qtbot.wait(300)
        qtbot.mouseClick(window.cancel_button, Qt.LeftButton)
    assert "Cancelled" in window.state.text()
    assert not window.job.running
    assert not (field.parent / f"{field.stem}-hmgdm").exists()


def test_what_cannot_be_shown_is_said(window: MainWindow, tmp_path: Path) -> None:
    (tmp_path / "broken.svs").write_bytes(b"II*\0 no slide")
    window.choose(tmp_path / "broken.svs")
    assert "broken.svs" in window.state.text()
    window.choose(tmp_path / "gone.qpproj")
    assert "cannot be read" in window.state.text()
    window.start()
    assert not window.job.running or window.job.cancel() is None


@pytest.mark.skipif(os.name == "nt", reason="a shell script stands for QuPath")
def test_qupath_is_opened_with_the_slide(window: MainWindow, field: Path, qtbot, tmp_path: Path, monkeypatch) -> None:
    program, told = tmp_path / "QuPath", tmp_path / "told.txt"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {told}.partial && mv {told}.partial {told}\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    window.form.mpp.setText("0.5")
    window.choose(field)
    qtbot.mouseClick(window.qupath_button, Qt.LeftButton)
    qtbot.waitUntil(told.exists, timeout=5_000)
    assert told.read_text("utf-8").splitlines() == ["--image", str(field)]


def test_a_project_offers_its_slides_and_the_command_is_copied(window: MainWindow, field: Path, qtbot) -> None:
    other = field.with_name("other.png")
    Image.open(field).crop((0, 0, 300, 200)).save(other)
    images = [
        {
            "serverBuilder": {"builderType": "uri", "uri": path.as_uri(), "args": []},
            "entryID": k,
            "imageName": path.stem,
        }
        for k, path in enumerate((field, other), 1)
    ]
    project = field.with_name("project.qpproj")
    project.write_text(json.dumps({"version": "0.5.1", "uri": project.as_uri(), "images": images}), "utf-8")
    window.form.mpp.setText("0.5")
    window.choose(project)
    assert [window.form.image.itemText(k) for k in range(2)] == [field.stem, "other"]
    assert "520 x 300 pixels" in window.state.text()
    window.form.image.setCurrentIndex(1)
    window.form.image.activated.emit(1)
    assert "300 x 200 pixels" in window.state.text()
    qtbot.mouseClick(window.form.copy, Qt.LeftButton)
    copied = QApplication.clipboard().text()
    assert copied == window.form.command.toPlainText()
    assert str(other) in shlex.split(copied)


def test_the_pixel_size_of_a_project_is_passed_on(window: MainWindow, field: Path) -> None:
    sizes = [None, 0.25, None]
    images = []
    for k, size in enumerate(sizes, 1):
        side = {"value": size, "unit": "µm"}
        builder: dict[str, object] = {"builderType": "uri", "uri": field.as_uri(), "args": []}
        if size:
            builder["metadata"] = {"pixelCalibration": {"pixelWidth": side, "pixelHeight": side}}
        images.append({"serverBuilder": builder, "entryID": k, "imageName": f"slide {k}"})
    project = field.with_name("sized.qpproj")
    project.write_text(json.dumps({"version": "0.5.1", "uri": project.as_uri(), "images": images}), "utf-8")
    window.choose(project)
    assert "no microns per pixel" in window.state.text()
    for k, words in ((1, "0.25 µm per pixel"), (2, "no microns per pixel"), (1, "0.25 µm per pixel")):
        window.form.image.setCurrentIndex(k)
        window.form.image.activated.emit(k)
        assert words in window.state.text()
        assert window.form.request().mpp == ("0.25" if k == 1 else "")
    window.form.mpp.setText("0.5")
    window.form.image.setCurrentIndex(0)
    window.form.image.activated.emit(0)
    assert window.form.request().mpp == "0.5", "typed by a person"


def test_the_slide_follows_the_mouse(window: MainWindow, field: Path, qtbot) -> None:
    window.form.mpp.setText("0.5")
    window.choose(field)
    window.viewer.scale(4, 4)
    middle, port = window.viewer.viewport().rect().center(), window.viewer.viewport()
    before = window.viewer.mapToScene(middle)
    qtbot.mousePress(port, Qt.LeftButton, pos=middle)
    there = QPointF(middle + QPoint(40, 30))
    QApplication.sendEvent(port, QMouseEvent(QEvent.MouseMove, there, Qt.NoButton, Qt.LeftButton, Qt.NoModifier))
    qtbot.mouseRelease(port, Qt.LeftButton, pos=middle + QPoint(40, 30))
    moved, zoom = window.viewer.mapToScene(middle) - before, window.viewer.transform().m11()
    assert (moved.x() * zoom, moved.y() * zoom) == pytest.approx((-40, -30), abs=2)


def test_the_wheel_zooms_and_the_bar_follows(window: MainWindow, field: Path) -> None:
    window.form.mpp.setText("0.5")
    window.choose(field)
    before = window.viewer.transform().m11()
    for turn in (120, 120, -120):
        middle = QPointF(window.viewer.rect().center())
        event = QWheelEvent(
            middle, middle, QPointF(0, 0).toPoint(), QPointF(0, turn).toPoint(), Qt.NoButton, Qt.NoModifier,
            Qt.NoScrollPhase, False,
        )  # fmt: skip
        assert event.type() == QEvent.Wheel
        window.viewer.wheelEvent(event)
    assert window.viewer.transform().m11() == pytest.approx(1.25 * before)


def test_objects_lie_where_the_crop_says(tmp_path: Path) -> None:
    (tmp_path / "tiles-part-0001.geojson").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": '
        '[[[0, 0], [4, 0], [4, 4], [0, 0]]]}, "properties": {"classification": {"name": "a", "color": [1, 2, 3]}, '
        '"measurements": {"m": 2.5}}}]}',
        "utf-8",
    )
    group = read_groups(tmp_path, (100.0, 50.0))["tiles"]
    assert group.rings[0][0].tolist() == [[100, 50], [104, 50], [104, 54], [100, 50]]
    assert group.layers() == [CLASSES, "m"]
    assert group.colours(CLASSES) == [(1, 2, 3)]
    assert group.legend() == [("a", (1, 2, 3))]
    assert group.span("m") == (pytest.approx(2.375), pytest.approx(2.625), False)
    group.measurements.append({"m": -4.0})
    low, high, two = group.span("m")
    assert two
    assert low == -high < 0
    assert group.colours("m")[1] == (33, 102, 172)


@pytest.mark.parametrize(
    ("name", "rows", "layer"),
    [
        ("tiles", [{"HMGDM: nuclear density": 12.0}, {"HMGDM: nuclear density": 12.5}], "HMGDM: nuclear density"),
        ("tiles", [{"HMGDM: p(a)": 0.9, "HMGDM: p(b)": 0.1}, {"HMGDM: p(a)": 0.2, "HMGDM: p(b)": 0.8}], CLASSES),
        ("tiles", [{"HMGDM: tissue cluster": 1.0}, {"HMGDM: tissue cluster": 2.0}], CLASSES),
        ("entities", [{"HMGDM: importance": 1.0, "HMGDM: contribution to m": 0.1}, {}], "HMGDM: contribution to m"),
        ("nuclei", [{"HMGDM: area µm²": 40.0}, {}], CLASSES),
    ],
)
def test_a_run_is_opened_on_what_was_asked(name: str, rows: list[dict[str, float]], layer: str) -> None:
    group = Group(classes=[("a", (1, 2, 3)), ("b", (4, 5, 6))], measurements=rows)
    assert first_layer(name, group) == layer


def test_an_explanation_comes_before_the_tiles_and_tiles_before_entities() -> None:
    names = ["entities", "explained", "tiles"]
    opened = [opening({name: Group() for name in names[:count]}) for count in (0, 1, 2)]
    assert opened == ["", "entities", "explained"]
    assert opening({"entities": Group(), "tiles": Group()}) == "tiles"


def test_the_command_says_what_differs_from_the_defaults() -> None:
    request = Request("predict", Path("a b.svs"), Path("r"), regions=Path("f.geojson"), mpp="0.5", overwrite=True)
    whole = ["predict", "a b.svs", "--results-dir", "r", "--mpp", "0.5", "--regions", "f.geojson", "--overwrite"]
    assert request.arguments() == whole
    if os.name != "nt":
        assert shlex.split(request.line()) == ["hmgdm", *whole]


@pytest.mark.parametrize(("longest", "bar"), [(70.1, 50), (0.7, 0.5), (999, 500), (20, 20), (3.9, 2)])
def test_scale_bars_are_round(longest: float, bar: float) -> None:
    assert nice(longest) == pytest.approx(bar)
