"""QuPath's window on a virtual screen, for benchmarks and tests: opened with a driver that ends it."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def virtual_screen() -> Iterator[str]:
    """A screen without a monitor; its name as DISPLAY takes it."""
    name = f":{random.randrange(200, 900)}"
    server = subprocess.Popen(["Xvfb", name, "-screen", "0", "1500x1000x24", "-nolisten", "tcp"])
    try:
        time.sleep(2)
        yield name
    finally:
        server.terminate()
        server.wait()


def open_qupath(screen: str, properties: Mapping[str, object], timeout_s: float, log: IO[str] | None = None) -> None:
    """Open a window of the QuPath in PAQUO_QUPATH_DIR, with 2 GB heap, until its driver ends it."""
    words = " ".join(f'"-D{key}={value}"' for key, value in properties.items())
    heap = {"JDK_JAVA_OPTIONS": f"-Xmx2g {words}", "QUPATH_JAVA_OPTS": "-Xmx2g"}  # a build's own script sets another
    program = Path(os.environ["PAQUO_QUPATH_DIR"]) / "bin" / "QuPath"
    environment = {**os.environ, "DISPLAY": screen, **heap}
    subprocess.run([program, "-q"], env=environment, check=False, timeout=timeout_s, stdout=log, stderr=log)
