"""Who works on a slide: claims as files, for processes that share nothing but a disk.

A claim is a file that only one process can make. The claims of a slide are numbered and the highest counts, so two
processes that take over from a dead one cannot both succeed. The owner changes a counter in the file every few
seconds. Others on the same machine ask the machine whether the owner lives; others elsewhere watch whether the counter
changes. No clock of any machine is compared with another, so clocks may jump.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..schema.run import claim_json
from . import process

BEAT_S = 5.0
FIELDS = {"host", "pid", "start", "beat", "released", "abandoned"}
DEAD_AFTER_S = 60.0  # without a change of the counter, for owners on other machines


@dataclass
class Claim:
    """A slide that this process may work on until it says otherwise, or dies."""

    root: Path
    key: str
    number: int
    abandoned: int
    _beat: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def start(self, every_s: float = BEAT_S) -> None:
        """Keep the counter going."""

        def beat() -> None:
            while not self._ended.wait(every_s):
                self._beat += 1
                with suppress(OSError):
                    self._write()

        threading.Thread(target=beat, daemon=True).start()

    def mine(self) -> bool:
        """Whether nobody has taken the slide over."""
        return _numbers(self.root, self.key)[-1:] == [self.number]

    def release(self) -> None:
        """Give the slide back."""
        self._ended.set()
        with suppress(OSError):
            self._write(released=True)

    def _write(self, released: bool = False) -> None:
        """Over the old text, which is as long: works on a full disk."""
        with (self.root / claim_json(self.key, self.number)).open("r+b") as file:
            file.write(_text(self._beat, released, self.abandoned))
            file.flush()
            os.fsync(file.fileno())


class Claims:
    """Takes claims in one batch folder, and remembers what it saw of those of others."""

    def __init__(self, root: Path, dead_after_s: float = DEAD_AFTER_S, every_s: float = BEAT_S) -> None:
        self._root, self._dead_after_s, self._every_s = root, dead_after_s, every_s
        self._seen: dict[Path, tuple[bytes, float, bool]] = {}

    def take(self, key: str) -> Claim | None:
        """Claim a slide; None where another process has it, or may have it."""
        numbers = _numbers(self._root, key)
        abandoned = 0
        if numbers:
            path = self._root / claim_json(key, numbers[-1])
            state = self._state(path)
            if state in ("held", "unsure"):
                return None
            facts = _facts(_bytes(path))
            abandoned = int(facts.get("abandoned", 0)) + 1 if state == "dead" else 0
        claim = Claim(self._root, key, numbers[-1] + 1 if numbers else 1, abandoned)
        if not _made(self._root / claim_json(key, claim.number), _text(0, False, abandoned)):
            return None
        claim.start(self._every_s)
        return claim

    def state(self, key: str) -> str:
        """``free``, ``held`` by a process that lives, ``dead``, or ``unsure``: it must be watched a little longer."""
        numbers = _numbers(self._root, key)
        return self._state(self._root / claim_json(key, numbers[-1])) if numbers else "free"

    def end(self, key: str, pid: int | None = None) -> None:
        """Give back the claim of a process that is known to be gone: `pid` of this machine, or whoever has it."""
        numbers = _numbers(self._root, key)
        path = self._root / claim_json(key, numbers[-1] if numbers else 0)
        facts = _facts(_bytes(path))
        if facts and not facts["released"] and pid in (None, facts["pid"]):
            with suppress(OSError), path.open("r+b") as file:
                file.write(json.dumps({**facts, "released": 1}).encode())

    def _state(self, path: Path) -> str:
        raw = _bytes(path)
        facts = _facts(raw)
        if facts.get("released"):
            return "free"
        living = process.lives(str(facts["host"]), int(facts["pid"]), str(facts["start"])) if facts else None
        if living is not None:
            return "held" if living else "dead"
        return self._watched(path, raw)

    def _watched(self, path: Path, raw: bytes) -> str:
        """An owner who cannot be asked is dead when the file has not changed for long enough under our own eyes."""
        now_s = time.monotonic()
        before, since_s, _ = seen = self._seen.setdefault(path, (raw, now_s, False))
        if before != raw:
            seen = self._seen[path] = (raw, now_s, True)
        elif now_s - since_s >= self._dead_after_s:
            return "dead"
        return "held" if seen[2] else "unsure"


def _made(path: Path, text: bytes) -> bool:
    """Make the claim with all its text at once, where nobody else has."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(text)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without links
            return _made_without_links(path, text)
        return True
    except FileNotFoundError:  # its folder went: the slide is done
        return False
    finally:
        draft.unlink(missing_ok=True)


def _made_without_links(path: Path, text: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _text(beat: int, released: bool, abandoned: int) -> bytes:
    """A claim of this process as JSON of constant length."""
    pid = os.getpid()
    facts = {"host": process.host(), "pid": pid, "start": process.started(pid), "beat": f"{beat:012d}"}
    return json.dumps({**facts, "released": int(released), "abandoned": abandoned}).encode()


def _facts(raw: bytes) -> dict[str, Any]:
    """What a claim says; nothing where it is being written, or was never one."""
    try:
        facts = json.loads(raw)
        return facts if isinstance(facts, dict) and facts.keys() >= FIELDS else {}
    except ValueError:
        return {}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _numbers(root: Path, key: str) -> list[int]:
    """Numbers of the claims on a slide, ascending."""
    first = claim_json(key, 0)
    prefix, place = first[:-6].rpartition("/")[2], root / first.rpartition("/")[0]
    try:
        names = [name.removeprefix(prefix) for name in os.listdir(place) if name.startswith(prefix)]
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit())
