"""The report: one HTML file that opens anywhere, asks the network for nothing, runs no script and prints on A4.

One template serves `predict` and `explain`: a section appears when the `Report` has something for it. All text is
escaped, because names of slides and classes come from outside.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..schema.run import writing
from .pixels import decoded

if TYPE_CHECKING:
    from jinja2 import Environment

_LARGE_BYTES = 200_000  # pictures above this are embedded as JPEG: a fifth of the size, no visible difference


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: PNG bytes, and a caption that says in a sentence what to see in it."""

    png: bytes
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One quantity over the tiles of the slide.

    Parameters
    ----------
    quantity : str
        In words: ``nuclear density``.
    median, low, high : float
        Median and quartiles over the tiles.
    unit : str
        ``nuclei/mm²``; empty for none.
    error : str
        What cross-validation found, with its unit: ``± 310 nuclei/mm²``; empty where the card gives none.
    around : str
        Interval of the truth of a tile at the median: ``3 100 to 5 900 (90 %)``; empty where the card gives none.
    """

    quantity: str
    median: float
    low: float
    high: float
    unit: str = ""
    error: str = ""
    around: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the tissue falls into one class or cluster, 0..1, with its colour on the picture."""

    name: str
    share: float
    rgb: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity that carried the answer: its crop, its importance, where it is, and a remark such as its kind."""

    png: bytes
    importance: float
    where: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """The model in short.

    Parameters
    ----------
    name, licence : str
    purpose : str
        What it is meant for, in a sentence.
    trained_on : sequence of str
        Data sets, with patients and licence.
    validated : sequence of (what, number)
        Each number with its interval: ``("nuclear count, R²", "0.65 [0.51, 0.76], 41 patients")``.
    limits : sequence of str
        What it cannot do, in sentences.
    """

    name: str
    licence: str
    purpose: str = ""
    trained_on: Sequence[str] = ()
    validated: Sequence[tuple[str, str]] = ()
    limits: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on the page; what is left out leaves its section out.

    Parameters
    ----------
    title, slide : str
        Heading, and the name of the slide under it.
    summary : str
        The answer in one or two plain sentences.
    thumbnail, main : Picture
        The tissue itself, and beside it the picture that matters most.
    tiles : int
        Number of tiles analysed.
    results : sequence of Result
    novelty, novelty_note : Picture, str
        Tiles that are unlike the training data, and what that means.
    clusters, shares : Picture, sequence of Share
    components : Picture
        The first three principal components as colours.
    importance : Picture
        Entities coloured by importance, in the field where it matters most.
    entities, entities_note : sequence of Entity, str
        What carried the answer, most important first, and how importance was computed.
    curves, curves_note : Picture, str
        Deletion and insertion, and the sentence that says what they mean; see `sentences.faithfulness`.
    notes : sequence of str
        Warnings of the run.
    card : Card
    files : mapping of str to str
        Path in the results folder, and what it holds.
    facts : mapping of str to str
        For the footer: versions, digests, seed, device, time.
    """

    title: str
    slide: str
    summary: str = ""
    thumbnail: Picture | None = None
    main: Picture | None = None
    tiles: int = 0
    results: Sequence[Result] = ()
    novelty: Picture | None = None
    novelty_note: str = ""
    clusters: Picture | None = None
    shares: Sequence[Share] = ()
    components: Picture | None = None
    importance: Picture | None = None
    entities: Sequence[Entity] = ()
    entities_note: str = ""
    curves: Picture | None = None
    curves_note: str = ""
    notes: Sequence[str] = ()
    card: Card | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(path: Path, report: Report) -> None:
    """Write `report` as one HTML file.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    write_page(path, "page.html", report=report)


def write_page(path: Path, template: str, **content: object) -> None:
    """Fill in a template of this folder, all text escaped; raises as `write_report`."""
    text = _environment().get_template(template).render(**content)
    with writing(path):
        path.write_bytes(text.encode("utf-8", "replace"))


@cache
def _environment() -> Environment:
    """Templates and their filters: compiled once for all slides of a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "data_uri": data_uri, "aspect": aspect}
    return environment


def number(value: float) -> str:
    """Three significant digits without powers of ten; n/a for what is not known."""
    if not math.isfinite(value):
        return "n/a"
    if value == 0:
        return "0"
    decimals = max(2 - math.floor(math.log10(abs(value))), 0)
    return f"{value:,.{min(decimals, 6)}f}".replace(",", "\u202f")


def data_uri(png: bytes) -> str:
    """A picture as text to be written into the page; large ones are compressed as JPEG."""
    if len(png) <= _LARGE_BYTES:
        return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(decoded(png)).save(stream, "JPEG", quality=90, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def aspect(png: bytes) -> float:
    """Width of a PNG over its height."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        return image.width / image.height
