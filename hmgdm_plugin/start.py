"""Where ``hmgdm`` begins: a signal is answered from the first moment on, while the rest is still being imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def run() -> NoReturn:
    """Bring up the command line and hand over to it."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _leave)
    from .cli import run as go

    go()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Say that it was cancelled, as every verb does; nothing has been begun yet."""
    if "--events" in sys.argv:
        os.write(1, b'{"error": "cancelled", "fix": "run the same command to start again"}\n')
    else:
        os.write(2, b"hmgdm: cancelled; run the same command to start again\n")
    os._exit(130)
