"""`--processes N`: the same command N times on this machine, as one run that speaks with one voice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..schema.errors import Cancelled, HmgdmError, InputError
from ..schema.events import Events
from .world import MEETING

Child = subprocess.Popen[str]
_KINDS = {2: InputError, 130: Cancelled}


def launch(verb: str, request: str, processes: int, events: Events) -> Mapping[str, Path]:
    """Run `hmgdm VERB` in `processes` processes; what the first one says is said again, all end when one fails.

    Parameters
    ----------
    verb : str
    request : str
        The options as JSON.
    processes : int
    events : Events

    Returns
    -------
    mapping
        The result of the first process.

    Raises
    ------
    HmgdmError
        A process failed; of the class that belongs to its exit code.
    """
    with tempfile.TemporaryDirectory(prefix="hmgdm-") as name:
        folder = Path(name)
        (folder / "request.json").write_text(request, "utf-8")
        group: list[Child] = []
        try:
            group += [_started(verb, folder, rank, processes) for rank in range(processes)]
            threading.Thread(target=_watch, args=(group,), daemon=True).start()
            last = _relayed(group[0], events)
            for each in group:
                each.wait()
        finally:
            for each in group:
                each.terminate()
        if any(each.returncode for each in group):
            raise _sentence(folder, group, [last, *(_last_word(folder, rank) for rank in range(1, processes))])
        return {key: Path(value) for key, value in last["result"].items()}


def _started(verb: str, folder: Path, rank: int, processes: int) -> Child:
    command = [sys.executable, "-m", "hmgdm_plugin.cli", verb, "--events", "--request", str(folder / "request.json")]
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    env = {**os.environ, **{key: str(value) for key, value in ranks.items()}, MEETING: str(folder / "meeting")}
    with (folder / f"{rank}.txt").open("w") as said, (folder / f"{rank}-errors.txt").open("w") as errors:
        out = said if rank else subprocess.PIPE
        return subprocess.Popen(command, env=env, stdout=out, stderr=errors, text=True, encoding="utf-8")


def _watch(group: Sequence[Child]) -> None:
    """End all as soon as one has failed: the others would wait for it."""
    while any(each.poll() is None for each in group):
        if any(each.returncode for each in group):
            time.sleep(1.0)  # to say why by themselves
            for each in group:
                each.terminate()
            return
        time.sleep(0.1)


def _relayed(first: Child, events: Events) -> dict[str, Any]:
    """Say again what the first process says; returns its last word."""
    last: dict[str, Any] = {}
    for line in first.stdout or ():
        last = json.loads(line)
        if last.get("stage") == "note":
            events.note(last["message"])
        elif "stage" in last:
            events.progress(last["stage"], last["done"], last["total"], last["message"])
    return last


def _last_word(folder: Path, rank: int) -> dict[str, Any]:
    lines = (folder / f"{rank}.txt").read_text("utf-8").splitlines()
    return json.loads(lines[-1]) if lines else {}


def _tracebacks(folder: Path, group: Sequence[Child]) -> Iterator[str]:
    for rank, each in enumerate(group):
        if each.returncode:
            yield (folder / f"{rank}-errors.txt").read_text("utf-8", "replace")


def _sentence(folder: Path, group: Sequence[Child], words: Sequence[dict[str, Any]]) -> HmgdmError:
    """The error that explains the most: a sentence of our own, else a process that was ended, else a traceback."""
    said = [(each, word) for each, word in zip(group, words, strict=True) if each.returncode and "error" in word]
    own = [pair for pair in said if not pair[1]["error"].startswith(("unforeseen", "another process"))]
    killed = [rank for rank, each in enumerate(group) if each.returncode < 0 and "error" not in words[rank]]
    if own:
        child, word = own[0]
        return _KINDS.get(child.returncode, HmgdmError)(word["error"], word["fix"])
    if killed:
        number = -group[killed[0]].returncode
        return HmgdmError(f"process {killed[0]} was ended by signal {number}", "pass --resume to go on")
    sys.stderr.write(next((text for text in _tracebacks(folder, group) if text), ""))
    word = said[0][1] if said else {"error": "a process failed without a word", "fix": "pass --resume to go on"}
    return HmgdmError(word["error"], word["fix"])
