"""The card of a model: what it is, what it learnt from, how well it does, what it must not be used for.

``card.toml`` is the source; ``card.md``, the page for people, is generated from it by `zoo.page`.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import Field, model_validator

from ..schema.errors import InputError
from ..schema.nuclei import DetectorSettings
from ..schema.parsing import read_toml
from ..schema.settings import (
    AutoencoderSettings,
    DiffusionSettings,
    GraphSettings,
    Settings,
)
from .measured import Count, Novelty, NucleiScore, Score

CARD = "card.toml"
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Byte = Annotated[int, Field(ge=0, le=255)]


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


class Interval(Settings):
    """Where the truth lies around the number of a head: within `margin` of it in `share` of the tiles of new patients.

    Measured on the scale of the head's transform: on the logarithm, where it is "log".
    """

    share: Annotated[float, Field(gt=0, lt=1)]
    margin: Annotated[float, Field(ge=0)]

    def around(self, value: float, transform: Literal["none", "log"]) -> tuple[float, float]:
        """Lower and upper end around `value`, in its own unit."""
        if transform == "none":
            return value - self.margin, value + self.margin
        middle = math.log1p(max(value, 0.0))
        return max(math.expm1(middle - self.margin), 0.0), math.expm1(middle + self.margin)


class Head(Settings):
    """One thing the model predicts: a number, a class, or the cluster of a tile.

    `temperature` is what the logits of a classification were divided by, so that its probabilities are true out of
    fold; the weights have it in them already.
    """

    name: Name
    title: str
    kind: Literal["regression", "classification", "clusters"]
    unit: str = ""
    transform: Literal["none", "log"] = "none"
    classes: tuple[HeadClass, ...] = ()
    default: bool = False
    caution: str = ""
    temperature: Annotated[float, Field(gt=0)] | None = None
    interval: Interval | None = None

    @model_validator(mode="after")
    def _classes_fit(self) -> Head:
        names = [each.name for each in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("two classes have the same name")
        if self.kind == "classification" and len(names) < 2:
            raise ValueError("a classification needs two classes or more")
        if self.kind == "regression" and names:
            raise ValueError("a regression has no classes")
        if (self.temperature and self.kind != "classification") or (self.interval and self.kind != "regression"):
            raise ValueError("a temperature is of a classification, an interval of a regression")
        return self


class About(Settings):
    """What every card says, whatever its model does."""

    name: Name
    version: str
    title: str
    description: str
    created: str
    licence: str
    intended_use: str
    limits: tuple[str, ...]
    data: tuple[Data, ...] = ()
    training: Training = Training()


class Card(About):
    """All that a reader, and the code that loads the model, must know about an encoder and its heads."""

    kind: Literal["encoder"] = "encoder"
    descriptors: Annotated[int, Field(ge=1, le=4096)]
    graph: GraphSettings = GraphSettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    head: tuple[Head, ...] = ()
    evaluation: tuple[Score, ...] = ()
    novelty: Novelty | None = None

    @model_validator(mode="after")
    def _heads_differ(self) -> Card:
        names = [head.name for head in self.head]
        if len(set(names)) != len(names):
            raise ValueError("two heads have the same name")
        return self


class NucleiCard(About):
    """All that a reader, and the code that loads the model, must know about a nucleus detector."""

    kind: Literal["nuclei"] = "nuclei"
    detector: DetectorSettings
    evaluation: tuple[NucleiScore, ...] = ()


def read_card(folder: Path) -> Card:
    """Card of the encoder in `folder`.

    Raises
    ------
    InputError
        ``card.toml`` is missing, is not TOML, does not fit `Card`, or is that of a nucleus detector.
    """
    if kind_of(folder) == "nuclei":
        raise InputError(f"{folder}: is a nucleus detector, not an encoder", "give a model such as hmgdm-small")
    return read_toml(folder / CARD, Card)


def read_nuclei_card(folder: Path) -> NucleiCard:
    """Card of the nucleus detector in `folder`.

    Raises
    ------
    InputError
        ``card.toml`` is missing, is not TOML, does not fit `NucleiCard`, or is that of an encoder.
    """
    if (folder / CARD).is_file() and kind_of(folder) != "nuclei":
        raise InputError(f"{folder}: is not a nucleus detector", "give a model such as nuclei-stardist-he")
    return read_toml(folder / CARD, NucleiCard)


def read_any_card(folder: Path) -> Card | NucleiCard:
    """Card of the model in `folder`, whatever it does; raises as `read_card`."""
    return read_nuclei_card(folder) if kind_of(folder) == "nuclei" else read_card(folder)


def kind_of(folder: Path) -> str:
    """What the model in `folder` says it is; "encoder" where it does not say, or its card cannot be read."""
    try:
        return str(tomllib.loads((folder / CARD).read_text("utf-8")).get("kind", "encoder"))
    except (OSError, ValueError):
        return "encoder"


def as_toml(card: Card | NucleiCard) -> str:
    """`card` as the text of ``card.toml``."""
    return tomli_w.dumps(card.model_dump(mode="json", exclude_none=True))
