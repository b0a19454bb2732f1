"""What each verb can be asked: the same names on the command line, in `--request FILE.json` and in Python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .settings import Seed, Settings

Mpp = Annotated[float, Field(ge=0.05, le=20.0, allow_inf_nan=False)]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name!r} twice")
    return names


def _as_shard(text: str) -> str:
    if text and not re.fullmatch(r"[1-9]\d{0,5}/[1-9]\d{0,5}", text):
        raise ValueError(f"{text!r} is no part of the slides; 2/8 is the second of eight")
    return text


MAP_TISSUE = 0.5
MapTissue = Annotated[float, Field(ge=0.0, le=1.0)]  # of a tile's area, from which it is coloured and counted
Heads = Annotated[tuple[str, ...], AfterValidator(_each_once)]


class CommonOptions(Settings):
    """Options that every working verb takes."""

    results_dir: Path = Path("hmgdm-results")
    model: str = "hmgdm-small"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Annotated[int, Field(ge=0, le=256)] = 0  # 0: one per core
    seed: Seed = 0
    overwrite: bool = False
    dry_run: bool = False


class SlideOptions(CommonOptions):
    """Options of every verb that works on slides."""

    slides: tuple[Path, ...]
    mpp: Mpp | None = None  # microns per level-0 pixel, where the file does not say
    regions: Path | None = None  # GeoJSON in QuPath's pixels


class NucleiOptions(SlideOptions):
    """`hmgdm nuclei`: slides to the outlines of their nuclei."""

    model: str = "nuclei-stardist-he"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the processor has it
    columns: bool = False  # as for `predict`


class EmbedOptions(SlideOptions):
    """`hmgdm embed`: slides to embeddings."""

    overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    min_tissue: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    nuclei: str = ""  # file or folder, stardist or none; empty: as the model learnt


class PredictOptions(EmbedOptions):
    """`hmgdm predict`: embeddings, predictions per tile and importance per entity."""

    heads: Heads = ()  # empty: the heads that the model's card marks as default
    show: str = ""  # head drawn on the overlay; empty: the first
    map_tissue: MapTissue = MAP_TISSUE
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
    processes: Annotated[int, Field(ge=1, le=64)] = 1  # that train together on this machine
    dry_run: bool = False


class EvaluateOptions(Settings):
    """`hmgdm evaluate`: rows and yardsticks to one table, resumable."""

    settings: Path
    results_dir: Path = Path("hmgdm-evaluate")
    page: Path | None = None  # where the page is written too, such as docs/evidence.md
    resume: bool = False
    only: str = ""  # train and embed this row alone; the others, and the table, are left to another call
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    dry_run: bool = False


class BatchOptions(Settings):
    """`hmgdm batch plan` and `run`: many slides, each as `hmgdm predict` does one."""

    source: Path  # a folder, a CSV with slide_id,path,mpp, or a QuPath project (.qpproj)
    results_dir: Path = Path("hmgdm-batch")
    model: str = "hmgdm-small"
    mpp: Mpp | None = None  # for slides for which neither the source nor the file says it
    regions: Path | None = None  # a folder with a GeoJSON file for each slide, named like its id
    nuclei: str = ""  # as for `predict`; a folder has a file for each slide, named like its id
    heads: Heads = ()
    show: str = ""
    overlap: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    min_tissue: Annotated[float, Field(ge=0.0, le=1.0)] = 0.25
    map_tissue: MapTissue = MAP_TISSUE
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    workers: Annotated[int, Field(ge=0, le=256)] = 0  # slides at a time, a core each; 0: one per core
    seed: Seed = 0
    shard: Annotated[str, AfterValidator(_as_shard)] = ""  # "2/8": the second of eight parts
    engine: Literal["local", "ray"] = "local"
    cpus: Annotated[float, Field(gt=0.0, le=256.0)] = 1.0  # cores, or a share of one, that Ray keeps for a slide
    gpus: Annotated[float, Field(ge=0.0, le=8.0)] = 0.0  # the same of GPUs
    resume: bool = True  # go on where an earlier run in the folder stopped
    retry: bool = False  # try quarantined slides again
    slide_minutes: Annotated[float, Field(ge=0.0, le=100_000.0)] = 0.0  # for one attempt at a slide; 0: no limit


class BatchReportOptions(Settings):
    """`hmgdm batch report`: tables and pictures of a batch."""

    source: Path
    results_dir: Path = Path("hmgdm-batch")


class BatchImportOptions(BatchReportOptions):
    """`hmgdm batch import`: results of a batch into its QuPath project."""

    dry_run: bool = False
