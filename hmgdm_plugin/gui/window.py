"""The companion window: choose, run, watch, look."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QProcess, Qt, QUrl
from PyQt5.QtGui import QCloseEvent, QDesktopServices
from PyQt5.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSlider,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from ..schema.errors import HmgdmError
from ..slide.reader import open_slide
from .form import Form
from .job import Job
from .request import program
from .results import Group, first_layer, novel, opening, read_groups
from .viewer import Viewer

OPACITY = 45  # per cent
NOTHING = "nothing"


class MainWindow(QMainWindow):
    """One slide, one run at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.setWindowTitle("H-MGDM, research use only")
        self.resize(1280, 800)
        self.form, self.viewer, self.job = Form(), Viewer(), Job(self)
        self.run_button, self.cancel_button = QPushButton("Run"), QPushButton("Cancel")
        self.bar, self.state, self.log = QProgressBar(), QLabel("Choose a slide."), QPlainTextEdit()
        self.group, self.layer, self.opacity = QComboBox(), QComboBox(), QSlider(Qt.Orientation.Horizontal)
        self.whole, self.report_button = QPushButton("Whole slide"), QPushButton("Report")
        self.qupath_button = QPushButton("Open in QuPath")
        for button in (self.cancel_button, self.report_button, self.qupath_button):
            button.setEnabled(False)
        self.state.setWordWrap(True)
        self.log.setReadOnly(True)
        self.bar.setTextVisible(False)
        self.opacity.setMaximum(100)
        self.opacity.setValue(OPACITY)
        self._groups: dict[str, Group] = {}
        self._result: dict[str, Any] = {}
        self._origin = (0.0, 0.0)
        self._lay_out()
        self._connect()

    def choose(self, path: Path) -> None:
        """Take a slide or a project, as from the file dialog."""
        self.form.choose(path)

    def show_slide(self, path: Path) -> None:
        """Show `path`; results of another slide go away."""
        self._show_results({})
        mpp = self.form.mpp.text().strip()
        try:
            slide = open_slide(path, float(mpp) if mpp else None)
        except (HmgdmError, ValueError) as error:
            self.viewer.clear()
            self.state.setText(str(error))
            return
        self._origin = slide.frame.bounds[0], slide.frame.bounds[1]
        self.viewer.show_slide(slide)
        frame = slide.frame
        self.state.setText(f"{path.name}: {frame.width_px} x {frame.height_px} pixels, {frame.mpp:.4g} µm per pixel")
        self.qupath_button.setEnabled(shutil.which("QuPath") is not None)

    def start(self) -> None:
        """Run the command that the form shows."""
        request = self.form.request()
        if request is None or self.job.running:
            return
        self.log.setPlainText(request.line())
        self._running(True)
        self.state.setText("Starting…")
        self.job.start(program(), request.arguments())

    def _finished(self, result: dict[str, Any], error: str) -> None:
        self._running(False)
        if error:
            self.state.setText(error)
            self.log.appendPlainText(error)
        elif not result:
            self.state.setText("Cancelled; nothing was written.")
        else:
            self.state.setText("Done: " + str(next(iter(result.values()))))
            self._show_results(result)
            if remark := novel(self._groups):
                self.state.setText(f"{self.state.text()}\n{remark}")

    def _show_results(self, result: dict[str, Any]) -> None:
        self._result = result
        folder = Path(result["geojson"]) if "geojson" in result else None
        try:
            self._groups = read_groups(folder, self._origin) if folder is not None else {}
        except HmgdmError as error:
            self._groups = {}
            self.state.setText(str(error))
        self.report_button.setEnabled(any(key in result for key in ("report", "explanation")))
        self.group.clear()
        self.group.addItems([*self._groups, NOTHING] if self._groups else [])
        self.group.setCurrentText(opening(self._groups))
        self._offer_layers()

    def _offer_layers(self) -> None:
        group = self._groups.get(self.group.currentText())
        self.layer.clear()
        if group is not None:
            for name in group.layers():
                self.layer.addItem(name.removeprefix("HMGDM: "), name)
            self.layer.setCurrentIndex(self.layer.findData(first_layer(self.group.currentText(), group)))
        self._draw()

    def _draw(self) -> None:
        group, layer = self._groups.get(self.group.currentText()), self.layer.currentData() or ""
        self.viewer.show_layer(group if layer else None, layer, self.opacity.value() / 100)

    def _progressed(self, stage: str, done: int, total: int) -> None:
        self.bar.setMaximum(total)
        self.bar.setValue(done)
        self.state.setText(f"{stage}: {done} of {total}")

    def _running(self, running: bool) -> None:
        self.run_button.setEnabled(not running)
        self.form.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.bar.setMaximum(0 if running else 1)
        self.bar.setValue(0)

    def _open_report(self) -> None:
        name = "report" if "report" in self._result else "explanation"
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._result[name])))

    def _open_in_qupath(self) -> None:
        path, found = self.form.path(), shutil.which("QuPath")
        if path is not None and found is not None:
            QProcess.startDetached(found, ["--image", str(path)])

    def closeEvent(self, event: QCloseEvent | None) -> None:
        """End a run that is under way, then close."""
        self.job.cancel()
        self.job.wait()
        self.viewer.clear()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        left, right = QWidget(), QWidget()
        column, buttons = QVBoxLayout(left), QHBoxLayout()
        for button in (self.run_button, self.cancel_button):
            buttons.addWidget(button)
        column.addWidget(self.form)
        column.addLayout(buttons)
        for widget in (self.bar, self.state, self.log):
            column.addWidget(widget)
        tools, rows = QHBoxLayout(), QVBoxLayout(right)
        for widget in (QLabel("Show"), self.group, self.layer, QLabel("Opacity"), self.opacity):
            tools.addWidget(widget)
        tools.addStretch()
        for widget in (self.whole, self.report_button, self.qupath_button):
            tools.addWidget(widget)
        self.opacity.setMaximumWidth(120)
        self.opacity.setMinimumWidth(60)
        self.group.setMinimumWidth(115)  # explained
        self.layer.setMinimumWidth(290)  # contribution to nuclear density
        rows.addLayout(tools)
        rows.addWidget(self.viewer)
        splitter = QSplitter()
        splitter.addWidget(left)
        splitter.addWidget(right)
        splitter.setSizes([360, 920])
        self.setCentralWidget(splitter)

    def _connect(self) -> None:
        self.form.chosen.connect(self.show_slide)
        self.form.refused.connect(self.state.setText)
        self.run_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.job.cancel)
        self.job.progressed.connect(self._progressed)
        self.job.said.connect(self.log.appendPlainText)
        self.job.finished.connect(self._finished)
        self.group.currentIndexChanged.connect(self._offer_layers)
        self.layer.currentIndexChanged.connect(self._draw)
        self.opacity.valueChanged.connect(self._draw)
        self.whole.clicked.connect(self.viewer.whole)
        self.report_button.clicked.connect(self._open_report)
        self.qupath_button.clicked.connect(self._open_in_qupath)
