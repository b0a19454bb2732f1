"""The card of a model: what it is, what it learnt from, how well it does, what it must not be used for.

``card.toml`` is the source; ``card.md``, the page for people, is generated from it by `zoo.page`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import Field, model_validator

from ..schema.settings import (
    AutoencoderSettings,
    DiffusionSettings,
    GraphSettings,
    Settings,
    read_toml,
)

CARD = "card.toml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Byte = Annotated[int, Field(ge=0, le=255)]
Count = Annotated[int, Field(ge=0)]


class Data(Settings):
    """One set of images that the model learnt from; 0 patients means that they are not identified."""

    name: str
    licence: str
    images: Count
    patients: Count
    tiles: Count
    use: str


class Training(Settings):
    """What training took, its final numbers, and its curves (name > one value per report)."""

    epochs: Count = 0
    steps: Count = 0
    minutes: Annotated[float, Field(ge=0)] = 0.0
    device: str = ""
    numbers: dict[str, float] = Field(default_factory=dict)
    curves: dict[str, tuple[float, ...]] = Field(default_factory=dict)


class HeadClass(Settings):
    """One class of a head, with the colour that it has in QuPath and in every picture."""

    name: str
    rgb: tuple[Byte, Byte, Byte]


class Head(Settings):
    """One thing the model predicts: a number, a class, or the cluster of a tile."""

    name: Name
    title: str
    kind: Literal["regression", "classification", "clusters"]
    unit: str = ""
    transform: Literal["none", "log"] = "none"
    classes: tuple[HeadClass, ...] = ()
    default: bool = False
    caution: str = ""

    @model_validator(mode="after")
    def _classes_fit(self) -> Head:
        names = [each.name for each in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("two classes have the same name")
        if self.kind == "classification" and len(names) < 2:
            raise ValueError("a classification needs two classes or more")
        if self.kind == "regression" and names:
            raise ValueError("a regression has no classes")
        return self


class Score(Settings):
    """One measured result, with its interval (`low` to `high`, 95 %) and what it was measured on."""

    task: str
    metric: str
    embedding: str
    value: float
    low: float
    high: float
    patients: Count
    tiles: Count
    note: str = ""


class Card(Settings):
    """All that a reader, and the code that loads the model, must know about it."""

    name: Name
    version: str
    title: str
    description: str
    created: str
    licence: str
    intended_use: str
    limits: tuple[str, ...]
    descriptors: Annotated[int, Field(ge=1, le=4096)]
    graph: GraphSettings = GraphSettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    data: tuple[Data, ...] = ()
    training: Training = Training()
    head: tuple[Head, ...] = ()
    evaluation: tuple[Score, ...] = ()

    @model_validator(mode="after")
    def _heads_differ(self) -> Card:
        names = [head.name for head in self.head]
        if len(set(names)) != len(names):
            raise ValueError("two heads have the same name")
        return self


def read_card(folder: Path) -> Card:
    """Card of the model in `folder`.

    Raises
    ------
    InputError
        ``card.toml`` is missing, is not TOML, or does not fit `Card`.
    """
    return read_toml(folder / CARD, Card)


def as_toml(card: Card) -> str:
    """`card` as the text of ``card.toml``."""
    return tomli_w.dumps(card.model_dump(mode="json"))
