"""One slide of many: what a folder, a table or a project says about it before anybody has opened it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .run import safe_name


@dataclass(frozen=True, slots=True)
class SlideEntry:
    """A slide to be analysed.

    Parameters
    ----------
    slide_id : str
        As its source calls it; never used as a path.
    path : Path
    mpp : float or None
        Microns per level-0 pixel that the source gives.
    entry : str
        Id of the entry in the QuPath project; empty for other sources.
    problem, fix : str
        Why the source's line cannot be used; empty where it can.
    shown_px : tuple of int, optional
        Width and height of what QuPath shows of the file.
    key : str
        Name of the slide's files: safe, and its own even where ids differ in what file systems do not tell apart.
    """

    slide_id: str
    path: Path
    mpp: float | None = None
    entry: str = ""
    problem: str = ""
    fix: str = ""
    shown_px: tuple[int, int] | None = None
    key: str = ""


def keyed(entries: Iterable[SlideEntry]) -> list[SlideEntry]:
    """Entries with their keys: the id where it is a safe name and no other's, else with a digest behind it."""
    listed = list(entries)
    names = [safe_name(entry.slide_id).rstrip(".") or "slide" for entry in listed]
    often = Counter(name.casefold() for name in names)
    return [
        replace(entry, key=name if name == entry.slide_id and often[name.casefold()] == 1 else _digested(name, entry))
        for entry, name in zip(listed, names, strict=True)
    ]


def _digested(name: str, entry: SlideEntry) -> str:
    facts = "\0".join((entry.slide_id, entry.entry, entry.path.name)).encode("utf-8", "surrogatepass")
    return f"{name[:69]}-{hashlib.sha256(facts).hexdigest()[:10]}"
