"""Settings: frozen, typed, every field with its bounds; `parsing` reads them."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def _with_group(pattern: str) -> str:
    try:
        if re.compile(pattern).groups:
            return pattern
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    raise ValueError("has no group in parentheses that is the patient")


PatientPattern = Annotated[str, AfterValidator(_with_group)]  # its first group is the patient


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys; true, false, inf and nan are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_meant(cls, value: Any, field: ValidationInfo) -> Any:
        kinds = str(cls.model_fields[str(field.field_name)].annotation)
        if isinstance(value, bool) and "bool" not in kinds and ("int" in kinds or "float" in kinds):
            raise ValueError("should be a number, not true or false")
        return value


class GraphSettings(Settings):
    """How a tile becomes an entity graph (method: SLIC, colour merging, contacts, windows)."""

    mpp: Annotated[float, Field(gt=0.05, lt=20.0)] = 0.5
    tile_px: Annotated[int, Field(ge=64, le=1024)] = 256
    segments: Annotated[int, Field(ge=4, le=1000)] = 64
    compactness: Annotated[float, Field(gt=0)] = 20.0
    blur_sigma_px: Annotated[float, Field(ge=0, le=5)] = 1.0
    iterations: Positive = 10
    merge_threshold: Annotated[float, Field(ge=0, le=1)] = 0.04
    min_area_px: Positive = 150
    min_vertices: Annotated[int, Field(ge=2)] = 6
    window_px: Annotated[int, Field(ge=8, le=128)] = 48
    stored_px: Literal[16, 32, 48, 64] = 32
    band_px: Literal[3, 5, 7] = 5
    entities: Literal["tissue", "tissue+nuclei"] = "tissue"
    near_um: Annotated[float, Field(gt=0, le=100)] = 15.0  # nuclei whose centres lie nearer than this are joined
    near_most: Annotated[int, Field(ge=0, le=32)] = 4  # most nuclei that a nucleus is joined to
    nucleus_window_px: Annotated[int, Field(ge=8, le=128)] = 32
    fill_rgb: tuple[int, int, int] = (207, 195, 207)


class AutoencoderSettings(Settings):
    """Stage 1: the KL auto-encoder of entity windows."""

    channels: Annotated[int, Field(ge=8, le=256)] = 32
    latent_channels: Annotated[int, Field(ge=1, le=256)] = 16
    kl_weight: Annotated[float, Field(ge=0)] = 1e-6
    mask_weight: Annotated[float, Field(ge=0)] = 0.3


class DiffusionSettings(Settings):
    """Stage 2: the masked graph diffusion model; each field is one of the paper's choices or ablations."""

    hidden: Annotated[int, Field(ge=16, le=1024)] = 128
    layers: Annotated[int, Field(ge=1, le=8)] = 3
    heads: Annotated[int, Field(ge=1, le=16)] = 4
    steps: Annotated[int, Field(ge=2, le=4000)] = 1000
    vertex_mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.6
    edge_mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.6
    target: Literal["x0", "eps", "step"] = "x0"
    noise: Literal["random", "fixed"] = "random"
    fixed_step: Annotated[int, Field(ge=0)] = 500
    schedule: Literal["sigmoid", "zero-terminal-snr", "mask-only"] = "sigmoid"
    skips: bool = True
    edges: bool = True
    encoder: Literal["residual", "plain"] = "residual"
    features: Literal["latent", "descriptors", "both"] = "both"
    position: bool = True
    kl_weight: Annotated[float, Field(ge=0)] = 0.0
    readout: Annotated[int, Field(ge=0, le=256)] = 0  # directions that views agree on; 0: the last level as it is
    arrangement: Annotated[int, Field(ge=0, le=256)] = (
        0  # of these, the first whose layout over the tile is embedded too
    )
    by_kind: bool = False  # superpixels and nuclei are read out apart

    @model_validator(mode="after")
    def _readout_fits(self) -> DiffusionSettings:
        if self.readout > 2 * self.hidden:
            raise ValueError(f"readout = {self.readout} is more than twice hidden = {self.hidden}")
        if self.arrangement > self.readout:
            raise ValueError(f"arrangement = {self.arrangement} is more than readout = {self.readout}")
        if self.by_kind and not self.readout:
            raise ValueError("by_kind needs a readout above 0")
        return self


class TrainingSettings(Settings):
    """How long and how fast either stage trains."""

    batch: Positive = 16  # graphs per step, over all processes
    entities: Annotated[int, Field(ge=0)] = 0  # vertices + edges per step; above 0 it stands in for `batch`
    sorted_batches: Positive = 1  # graphs of so many batches are sorted by size before they are cut apart
    parts: Positive = 1  # a step is worked off in so many parts, one after the other or over processes
    epochs: Positive = 10
    minutes: Annotated[float, Field(ge=0)] = 0.0  # of one core; above 0 it stands in for `epochs`
    lr: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup: Fraction = 0.05
    clip: Annotated[float, Field(gt=0)] = 1.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    evaluations: Annotated[int, Field(ge=0)] = 10  # over the whole run, after one at its start
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0


class SourceSettings(Settings):
    """One set of images or slides to learn from, with what its card must say."""

    path: Path
    name: str
    licence: str
    pattern: str = "*"
    mpp: Annotated[float, Field(gt=0)] | None = None
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.0
    views: Annotated[int, Field(ge=1, le=64)] = 1  # the first as it is, the others turned and re-stained
    nuclei: str = ""  # for entities "tissue+nuclei": stardist, GeoJSON, label image, or a folder with one per image
    patient_pattern: PatientPattern = "(.+)"  # its first group, matched in the file's stem, is the patient

    @field_validator("pattern")
    @classmethod
    def _relative(cls, pattern: str) -> str:
        if not pattern or PurePath(pattern).is_absolute() or ".." in PurePath(pattern).parts:
            raise ValueError("must be a pattern inside path, such as *.svs")
        return pattern


class PretrainSettings(Settings):
    """All of `hmgdm pretrain`: sources, graphs, both stages, seed, name of the model."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
    sources: tuple[SourceSettings, ...]
    seed: Seed = 2024
    windows_per_graph: Positive = 24
    held_out: Fraction = 0.05  # share of the patients that is never learnt from, only evaluated on
    evaluation_graphs: Positive = 64
    mixed_shards: Positive = 64  # shards whose graphs are shuffled together
    graph: GraphSettings = GraphSettings()
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    diffusion: DiffusionSettings = DiffusionSettings()
    stage1: TrainingSettings = TrainingSettings(batch=64, lr=1e-3)
    stage2: TrainingSettings = TrainingSettings()

    @model_validator(mode="after")
    def _nuclei_fit(self) -> PretrainSettings:
        for source in self.sources:
            if bool(source.nuclei) != (self.graph.entities == "tissue+nuclei"):
                what = "nuclei, but" if source.nuclei else "no nuclei, and"
                raise ValueError(f"source {source.name!r} has {what} entities are {self.graph.entities!r}")
        return self


class HeadSettings(Settings):
    """One head to train: which label of the tiles, and what its card says."""

    name: str
    title: str
    label: str
    kind: Literal["regression", "classification"]
    unit: str = ""
    transform: Literal["none", "log"] = "none"
    classes: tuple[str, ...] = ()  # names, in the order of the outputs; tiles of other classes are left out
    values: tuple[str, ...] = ()  # what stands in the table for each class; empty: the names
    colours: tuple[tuple[int, int, int], ...] = ()
    folds: Annotated[int, Field(ge=2)] = 6
    repeats: Annotated[int, Field(ge=1, le=20)] = 3  # reshuffles of the folds, whose answers are averaged
    spread: bool = True  # also read the spread of the entities; without, importance is exact
    gate: bool = True  # learn which entities count; without, each counts by its area
    amounts_only: bool = False  # read how many nuclei there are and what they cover, and no entity itself
    default: bool = True
    caution: str = ""


class CardWords(Settings):
    """What a settings file gives for the card of the model that it makes."""

    version: str = "0.1.0"
    title: str
    description: str
    licence: str
    intended_use: str
    limits: tuple[str, ...] = ()


class HeadsSettings(CardWords):
    """All of `hmgdm train heads`: model, labelled tiles, heads, clusters, and the words of the card."""

    model: Path
    tiles: Path
    detectors: Path | None = None  # JSON, patient > detector that never saw that patient; others: the package's own
    head: tuple[HeadSettings, ...] = ()
    clusters: Annotated[int, Field(ge=0, le=30)] = 8
    seed: Seed = 0
