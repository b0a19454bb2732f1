"""A limit to the time for one slide that nothing can hold up: no compiled code that never returns, no disk that hangs.

Python's fault handler ends the process from outside Python, after it has written down where every thread was. Whoever
takes the slide next finds that, and counts it as a failure.
"""

from __future__ import annotations

import faulthandler
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OVERTIME = "overtime"
SECONDS_PER_MINUTE = 60.0


@contextmanager
def limited(work: Path, minutes: float) -> Iterator[None]:
    """End this process when the block takes longer; 0 for no limit. One block at a time in a process.

    Parameters
    ----------
    work : Path
        Where the slide is worked on; keeps what is written down.
    """
    if not minutes:
        yield
        return
    work.mkdir(parents=True, exist_ok=True)
    with (work / OVERTIME).open("w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(minutes * SECONDS_PER_MINUTE, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    (work / OVERTIME).unlink(missing_ok=True)


def overtime(work: Path) -> tuple[str, str] | None:
    """How long the last attempt was allowed to take, h:mm:ss, and where it was then; None where it kept within that.

    Says so once: what was written down is taken away.
    """
    path = work / OVERTIME
    try:
        said = path.read_text("utf-8", "replace")
    except OSError:
        return None
    path.unlink(missing_ok=True)
    limit = re.match(r"Timeout \((\d+:\d+:\d+)", said)
    return (limit[1], said) if limit else None
