"""One run of the command line as a process: its event lines become signals, and Cancel ends it within two seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from PyQt5.QtCore import QObject, QProcess, QTimer, pyqtSignal

PATIENCE_MS = 1500  # between the polite and the other way to end a run


class Job(QObject):
    """Runs one command with ``--events``.

    Signals
    -------
    progressed : (str, int, int)
        Stage, done, total.
    said : (str)
        A line for the log.
    finished : (dict, str)
        The result, or an empty dict and one sentence with its fix; both empty after Cancel.
    """

    progressed = pyqtSignal(str, int, int)
    said = pyqtSignal(str)
    finished = pyqtSignal(dict, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process = QProcess(self)
        self._process.readyReadStandardOutput.connect(self._read)
        self._process.finished.connect(self._ended)
        self._process.errorOccurred.connect(self._failed)
        self._pending = b""
        self._last: dict[str, Any] = {}
        self._cancelled = False

    @property
    def running(self) -> bool:
        """Whether a process is under way."""
        return self._process.state() != QProcess.ProcessState.NotRunning

    def start(self, program: Sequence[str], arguments: Sequence[str]) -> None:
        """Start ``program arguments --events``; never through a shell."""
        self._pending, self._last, self._cancelled = b"", {}, False
        self._process.start(program[0], [*program[1:], *arguments, "--events"])

    def cancel(self) -> None:
        """Ask the process to end; make it end if it does not listen."""
        if not self.running:
            return
        self._cancelled = True
        self._process.terminate()
        QTimer.singleShot(PATIENCE_MS, self._insist)

    def wait(self) -> None:
        """Wait until the process is gone; at most as long as `cancel` promises."""
        if self.running and not self._process.waitForFinished(PATIENCE_MS):
            self._process.kill()
            self._process.waitForFinished(PATIENCE_MS)

    def _insist(self) -> None:
        if self.running and self._cancelled:
            self._process.kill()

    def _read(self) -> None:
        *lines, self._pending = (self._pending + bytes(self._process.readAllStandardOutput())).split(b"\n")
        for line in lines:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            self.said.emit(line.decode("utf-8", "replace"))
            return
        if not isinstance(event, dict):
            self.said.emit(str(event))
        elif "result" in event or "error" in event:
            self._last = event
        elif event.get("stage") == "note":
            self.said.emit(str(event.get("message", "")))
        else:
            self.progressed.emit(str(event.get("stage", "")), int(event.get("done", 0)), int(event.get("total", 0)))

    def _ended(self, code: int) -> None:
        self._read()
        errors = bytes(self._process.readAllStandardError()).decode("utf-8", "replace").strip()
        if errors:
            self.said.emit(errors)
        if self._cancelled:
            self.finished.emit({}, "")
        elif "result" in self._last:
            self.finished.emit(dict(self._last["result"] or {}), "")
        else:
            error = self._last.get("error", f"the run ended with code {code} and said nothing")
            self.finished.emit({}, f"{error}\n{self._last.get('fix', 'see the log below')}")

    def _failed(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart:
            self.finished.emit({}, f"{self._process.program()}: cannot be started\ninstall hmgdm-plugin again")
