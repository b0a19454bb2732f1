"""Settings of `hmgdm evaluate`: rows that are compared, the yardsticks that they are held against, one budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .settings import Seed, Settings

Kind = Literal[
    "model", "pretrain", "random", "entities", "statistics", "imagenet", "mae", "diffmae", "simclr", "graphmae"
]
TRAINED = ("pretrain", "mae", "diffmae", "simclr", "graphmae")
ON_PIXELS = ("statistics", "imagenet", "mae", "diffmae", "simclr")
WITH_SEEDS = (*TRAINED, "random")
OF_ANOTHER = ("random", "entities", "graphmae")


class RowSettings(Settings):
    """One embedding to compare; the fields behind `of` belong to some kinds only."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    kind: Kind
    of: str = ""  # random, entities, graphmae: the row whose graphs and features are taken; empty: the reference
    model: Path = Path("hmgdm-small")  # model: a name of the zoo, or a folder
    settings: dict[str, Any] = Field(default_factory=dict)  # pretrain: what differs from the recipe; model: its graph
    readout: Literal["", "mean", "mean+spread", "kinds", "agreed"] = ""  # of entities; see docs/evaluate.md
    fitted: bool = False  # random: its readout is fitted as that of a trained encoder; else that is random too
    paper: str = ""  # the row of the paper's table that this one stands for


class YardstickSettings(Settings):
    """One question asked of every embedding: which tiles, which label, how it is judged."""

    name: str
    tiles: Path = Path()  # CSV of labelled tiles
    label: str = ""
    kind: Literal["regression", "classification"]
    shuffled: bool = False  # real against shuffled neighbourhoods of these tiles, for rows on graphs; needs no label
    transform: Literal["none", "log", "log1p"] = "none"  # of a number, before it is learnt
    unit: str = ""  # of the mean absolute error
    group: Literal["patient", "slide"] = "patient"  # what stays together in a fold, and is drawn for the intervals
    least: Annotated[int, Field(ge=0)] = 0  # classes of fewer groups than this are left out
    folds: Annotated[int, Field(ge=2, le=50)] = 6
    repeats: Annotated[int, Field(ge=1, le=20)] = 5  # reshuffles of the folds, whose answers are averaged
    note: str = ""  # what a reader of the table must know

    @model_validator(mode="after")
    def _asks_something(self) -> YardstickSettings:
        if bool(self.label) == self.shuffled:
            raise ValueError("give either label, or shuffled = true")
        if self.shuffled and self.kind != "classification":
            raise ValueError("shuffled is a classification")
        return self


class EvaluateSettings(Settings):
    """All of `hmgdm evaluate`."""

    title: str = "What the encoder is worth"
    recipe: Path  # TOML of `hmgdm pretrain`: the images that trained rows learn from, and how H-MGDM learns
    reference: str  # the row that all others are compared with
    budget_minutes: Annotated[float, Field(gt=0)] = 5.0  # of one core, for each trained row
    stage1_share: Annotated[float, Field(gt=0, lt=1)] = 0.2  # of it, for the auto-encoder that graph rows share
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 1.0
    readout: Literal["mean", "mean+spread"] = "mean+spread"
    seeds: Annotated[int, Field(ge=1, le=20)] = 1  # of every row that is trained or random
    seed: Seed = 0
    detectors: Path | None = None  # JSON, patient > nucleus detector that never saw them; others: the one that ships
    reading: Path | None = None  # Markdown: what a person makes of the table
    row: tuple[RowSettings, ...]
    yardstick: tuple[YardstickSettings, ...]

    @model_validator(mode="after")
    def _names_fit(self) -> EvaluateSettings:
        for what, names in (("row", [r.name for r in self.row]), ("yardstick", [y.name for y in self.yardstick])):
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{what} {name!r} is given twice")
        rows = {row.name: row for row in self.row}
        for name in (self.reference, *(row.of for row in self.row if row.of)):
            if name not in rows:
                raise ValueError(f"no row is called {name!r}; there is {', '.join(rows)}")
        for row in self.row:
            if row.kind in OF_ANOTHER and self.whose(row).kind not in ("model", "pretrain"):
                raise ValueError(f"row {row.name!r}: {self.whose(row).name!r} has no graphs; give another row as of")
        return self

    def whose(self, row: RowSettings) -> RowSettings:
        """The row whose graphs and features `row` takes."""
        return next(each for each in self.row if each.name == (row.of or self.reference))
