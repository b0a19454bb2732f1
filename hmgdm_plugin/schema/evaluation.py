"""Settings of `hmgdm evaluate`: the yardsticks that every embedding is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .settings import Settings


class YardstickSettings(Settings):
    """One question asked of every embedding: which tiles, which label, how it is judged."""

    name: str
    tiles: Path = Path()  # CSV of labelled tiles
    label: str
    kind: Literal["regression", "classification"]
    transform: Literal["none", "log", "log1p"] = "none"  # of a number, before it is learnt
    unit: str = ""  # of the mean absolute error
    group: Literal["patient", "slide"] = "patient"  # what stays together in a fold, and is drawn for the intervals
    least: Annotated[int, Field(ge=0)] = 0  # classes of fewer groups than this are left out
    folds: Annotated[int, Field(ge=2, le=50)] = 6
    repeats: Annotated[int, Field(ge=1, le=20)] = 5  # reshuffles of the folds, whose answers are averaged
