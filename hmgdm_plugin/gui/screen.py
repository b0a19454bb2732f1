"""Whether there is a screen to show a window on; Qt itself would abort the process."""

from __future__ import annotations

import os
import sys

from ..schema.errors import InputError


def require_screen() -> None:
    """Do nothing where a window can be shown.

    Raises
    ------
    InputError
        There is neither an X nor a Wayland display, and no other platform of Qt was asked for.
    """
    named = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not named:
        raise InputError("there is no screen to show a window on", "start it on a desktop, or use the command line")
