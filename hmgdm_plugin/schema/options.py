"""What each verb can be asked: the same names on the command line, in `--request FILE.json` and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .settings import Seed, Settings

Mpp = Annotated[float, Field(ge=0.05, le=20.0)]


class CommonOptions(Settings):
    """Options that every working verb takes."""

    results_dir: Path = Path("hmgdm-results")
    model: str = "hmgdm-small"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Annotated[int, Field(ge=0, le=256)] = 0  # 0: one per core
    seed: Seed = 0
    overwrite: bool = False
    dry_run: bool = False


class EmbedOptions(CommonOptions):
    """`hmgdm embed`: slides to embeddings."""

    slides: tuple[Path, ...]
    mpp: Mpp | None = None  # microns per level-0 pixel, where the file does not say
    regions: Path | None = None  # GeoJSON in QuPath's pixels
    overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    min_tissue: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    nuclei: str = ""  # file or folder, stardist or none; empty: as the model learnt


class PredictOptions(EmbedOptions):
    """`hmgdm predict`: embeddings, predictions per tile and importance per entity."""

    heads: tuple[str, ...] = ()  # empty: the heads that the model's card marks as default
    show: str = ""  # head drawn on the overlay; empty: the first
    columns: bool = False  # also write objects as columns, which QuPath's scripts read fastest
    explain: bool = False  # also what `hmgdm explain` does, for the head shown, in the same pass


class ExplainOptions(EmbedOptions):
    """`hmgdm explain`: which entities and contacts carried the answer of one head."""

    columns: bool = False  # as for `predict`
    head: str = ""  # empty: the first default head
    output: str = ""  # class of a classification head; empty: the predicted one
    without: tuple[str, ...] = ()  # object ids of entities to leave out and score again


class DemoOptions(CommonOptions):
    """`hmgdm demo`: the main job on a bundled image, or on `slide`."""

    slide: Path | None = None
    mpp: Mpp | None = None


class PretrainOptions(Settings):
    """`hmgdm pretrain`: sources to a model folder, resumable."""

    settings: Path
    results_dir: Path = Path("hmgdm-pretrain")
    stage: Literal["all", "graphs", "autoencoder", "diffusion"] = "all"
    resume: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    dry_run: bool = False
