"""The left side of the window: what to run on which slide, and the exact command for it."""

from __future__ import annotations

from pathlib import Path

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..qupath.listing import slides_of_project
from ..schema.entry import SlideEntry
from ..schema.errors import HmgdmError
from ..zoo.card import NucleiCard, read_any_card
from ..zoo.load import installed
from .request import VERBS, Request

SLIDES = (
    "Slides, images and projects (*.svs *.tif *.tiff *.ndpi *.mrxs *.scn *.dcm *.png *.jpg *.jpeg *.qpproj);;All (*)"
)
DEFAULT = "default"


class Form(QWidget):
    """Fields of a run.

    Signals
    -------
    chosen : (Path)
        The slide to show changed.
    refused : (str)
        Why something cannot be used.
    """

    chosen = pyqtSignal(object)
    refused = pyqtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slide, self.regions, self.mpp, self.results = QLineEdit(), QLineEdit(), QLineEdit(), QLineEdit()
        self.slide.setPlaceholderText("a slide, an image, or a QuPath project")
        self.regions.setPlaceholderText("whole tissue")
        self.mpp.setPlaceholderText("as the slide says")
        self.image, self.verb, self.model = QComboBox(), QComboBox(), QComboBox()
        for verb, title in VERBS.items():
            self.verb.addItem(title, verb)
        self.overwrite, self.copy = QCheckBox("replace earlier results"), QPushButton("Copy command")
        self.command = QPlainTextEdit()
        self.command.setReadOnly(True)
        self.command.setMaximumHeight(74)
        self._of_project = ""  # the pixel size that a project gave
        self._lay_out()
        self._connect()
        self._offer_models()
        self._tell()

    def path(self) -> Path | None:
        """The slide chosen, None where there is none yet."""
        if self.image.count():
            return self._entry().path
        return Path(self.slide.text()) if self.slide.text().strip() else None

    def request(self) -> Request | None:
        """The run that the fields describe; None without a slide."""
        path = self.path()
        if path is None:
            return None
        model = self.model.currentText()
        regions = self.regions.text().strip()
        return Request(
            verb=self.verb.currentData(),
            slide=path,
            results_dir=Path(self.results.text().strip() or self._proposed(path)),
            model="" if model == DEFAULT else model,
            regions=Path(regions) if regions else None,
            mpp=self.mpp.text().strip(),
            overwrite=self.overwrite.isChecked(),
        )

    def choose(self, path: Path) -> None:
        """Take a slide, or offer the slides of a project."""
        self.slide.setText(str(path))
        self.image.clear()
        if path.suffix == ".qpproj":
            try:
                for entry in slides_of_project(path):
                    if not entry.problem:
                        self.image.addItem(entry.slide_id, entry)
            except HmgdmError as error:
                self.refused.emit(str(error))
                return
        self.image.setVisible(self.image.count() > 0)
        self._select()

    def _entry(self) -> SlideEntry:
        """The slide of a project that is chosen."""
        entry: SlideEntry = self.image.currentData()
        return entry

    def _measure(self) -> None:
        """Take the pixel size that a project gives; what a person typed stays where it gives none."""
        given = self._entry().mpp if self.image.count() else None
        if given is not None or self.mpp.text() == self._of_project:
            self._of_project = "" if given is None else str(given)
            self.mpp.setText(self._of_project)

    def _select(self) -> None:
        self._measure()
        path = self.path()
        if path is not None:
            self.results.setText(self._proposed(path))
            self.chosen.emit(path)
        self._tell()

    def _proposed(self, path: Path) -> str:
        return str(path.parent / f"{path.stem}-hmgdm")

    def _tell(self) -> None:
        request = self.request()
        self.command.setPlainText("" if request is None else request.line())

    def _offer_models(self) -> None:
        kept, nuclei = self.model.currentText(), self.verb.currentData() == "nuclei"
        self.model.clear()
        self.model.addItem(DEFAULT)
        for name, folder in sorted(installed().items()):
            try:
                if isinstance(read_any_card(folder), NucleiCard) == nuclei:
                    self.model.addItem(name)
            except HmgdmError as error:
                self.refused.emit(str(error))
        self.model.setCurrentText(kept if self.model.findText(kept) >= 0 else DEFAULT)

    def _browse(self, field: QLineEdit, title: str, kinds: str) -> None:
        name = (
            QFileDialog.getOpenFileName(self, title, field.text(), kinds)[0]
            if kinds
            else QFileDialog.getExistingDirectory(self, title, field.text())
        )
        if name and field is self.slide:
            self.choose(Path(name))
        elif name:
            field.setText(name)

    def _row(self, field: QLineEdit, title: str, kinds: str) -> QHBoxLayout:
        row, button = QHBoxLayout(), QPushButton("…")
        button.setMaximumWidth(32)
        button.clicked.connect(lambda: self._browse(field, title, kinds))
        row.addWidget(field)
        row.addWidget(button)
        return row

    def _lay_out(self) -> None:
        rows = QFormLayout()
        rows.addRow("Slide", self._row(self.slide, "Choose a slide", SLIDES))
        rows.addRow("", self.image)
        rows.addRow("Do", self.verb)
        rows.addRow("Model", self.model)
        rows.addRow(
            "Regions", self._row(self.regions, "Choose regions", "GeoJSON (*.geojson *.json *.gz *.zip);;All (*)")
        )
        rows.addRow("µm per pixel", self.mpp)
        rows.addRow("Results", self._row(self.results, "Choose a folder", ""))
        rows.addRow("", self.overwrite)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(rows)
        whole.addWidget(self.command)
        whole.addWidget(self.copy)
        self.image.hide()

    def _connect(self) -> None:
        self.slide.returnPressed.connect(lambda: self.choose(Path(self.slide.text())))
        self.image.activated.connect(self._select)
        self.verb.currentIndexChanged.connect(self._offer_models)
        for field in (self.regions, self.mpp, self.results, self.slide):
            field.textChanged.connect(self._tell)
        for box in (self.verb, self.model):
            box.currentIndexChanged.connect(self._tell)
        self.overwrite.toggled.connect(self._tell)
        self.copy.clicked.connect(self._copy)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.command.toPlainText())
