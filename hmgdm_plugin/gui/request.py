"""What the window asks of the command line: one command, as a list of arguments and as a line to copy."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

VERBS = {
    "predict": "Predict and show where",
    "explain": "Explain a prediction",
    "nuclei": "Find nuclei",
    "embed": "Write embeddings",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One run; empty texts are left to the command line's defaults."""

    verb: str
    slide: Path
    results_dir: Path
    model: str = ""
    regions: Path | None = None
    mpp: str = ""
    device: str = ""
    overwrite: bool = False

    def arguments(self) -> list[str]:
        """Arguments after ``hmgdm``, without those of the window itself."""
        out = [self.verb, str(self.slide), "--results-dir", str(self.results_dir)]
        options = {"--model": self.model, "--mpp": self.mpp, "--device": self.device}
        for name, value in options.items():
            out += [name, value] if value else []
        out += ["--regions", str(self.regions)] if self.regions is not None else []
        return [*out, "--overwrite"] if self.overwrite else out

    def line(self) -> str:
        """The command as a person types it, quoted for the shell of this system."""
        whole = ["hmgdm", *self.arguments()]
        return subprocess.list2cmdline(whole) if sys.platform == "win32" else shlex.join(whole)


def program() -> list[str]:
    """What starts ``hmgdm`` in the environment of this window."""
    return [sys.executable, "-m", "hmgdm_plugin.cli"]
