"""`hmgdm gui`: open the companion window."""

from __future__ import annotations

import sys
from pathlib import Path

from ..schema.errors import InputError


def gui(slide: Path | None) -> None:
    """Show the window until it is closed.

    Raises
    ------
    InputError
        PyQt5 is not installed, or there is no screen.
    """
    try:
        from PyQt5.QtWidgets import QApplication
    except ImportError as error:
        raise InputError(f"the window needs PyQt5 ({error})", 'pip install "hmgdm-plugin[gui]"') from error
    from .screen import require_screen
    from .window import MainWindow

    require_screen()
    application = QApplication(sys.argv[:1])
    window = MainWindow()
    window.show()
    if slide is not None:
        window.choose(slide)
    application.exec_()
