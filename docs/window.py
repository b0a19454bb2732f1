"""Draw the window after a whole run: `python docs/window.py [SLIDE]`.

The window runs on no screen, is given the slide, its Run button is pressed, and what it shows at the end goes to
docs/images. The fonts are those of the machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt5.QtCore import QEventLoop, QTimer
from PyQt5.QtGui import QImage
from PyQt5.QtWidgets import QApplication

from hmgdm_plugin.gui.window import MainWindow

HERE = Path(__file__).resolve().parent
SLIDE = Path(os.environ.get("HMGDM_DATA", HERE.parents[1] / "shared" / "data")) / "wsi" / "CMU-1-Small-Region.svs"
SETTLED_MS = 3000  # the squares of the slide are read in threads


def wait(milliseconds: int) -> None:
    """Let the window work."""
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec_()


def run(window: MainWindow, slide: Path) -> None:
    """Press Run and wait for the end."""
    window.choose(slide)
    loop = QEventLoop()
    window.job.finished.connect(loop.quit)
    window.start()
    loop.exec_()
    window.log.verticalScrollBar().setValue(0)
    wait(SETTLED_MS)


def pixels(window: MainWindow) -> Image.Image:
    """What the window shows."""
    shown = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    bits = shown.constBits()
    bits.setsize(shown.sizeInBytes())
    rows = np.frombuffer(bytes(bits), np.uint8).reshape(shown.height(), shown.width(), 4)
    return Image.fromarray(np.ascontiguousarray(rows[..., 2::-1]))


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Draw the window after a whole run.")
    parser.add_argument("slide", type=Path, nargs="?", default=SLIDE)
    parser.add_argument("--out", type=Path, default=HERE / "images" / "window.jpg")
    arguments = parser.parse_args()
    application = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        slide = Path(folder) / arguments.slide.name  # results go beside it
        shutil.copyfile(arguments.slide, slide)
        os.chdir(folder)
        window = MainWindow()
        window.show()
        run(window, Path(slide.name))
        pixels(window).save(arguments.out, quality=88)
        window.close()
    application.quit()
    print(arguments.out)


if __name__ == "__main__":
    main()
