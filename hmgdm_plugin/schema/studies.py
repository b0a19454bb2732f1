"""Settings of studies: what `hmgdm train survival` and `hmgdm train classify` read from their TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .settings import PatientPattern, Positive, Seed, Settings

TCGA = r"(TCGA-\w\w-\w{4}).*"  # the patient in the name of a slide of TCGA
Method = Literal["linear", "knn", "finetune"]
Folds = Annotated[int, Field(ge=3, le=50)]  # one to test, one to validate, the rest to train


class OutcomeSettings(Settings):
    """Where the outcome stands in the table; only `endpoint` matters for the layouts of TCGA-CDR and PORPOISE."""

    path: Path
    endpoint: str = "OS"  # TCGA-CDR: OS, DSS, DFI or PFI
    patient: str = ""  # names of the columns, for any other table
    time: str = ""
    event: str = ""
    unit: str = ""  # of the time
    where: dict[str, str] = Field(default_factory=dict)  # only rows with these values, such as type = "KIRC"


class RiskSettings(Settings):
    """The network from tiles to a log-risk, and how it learns."""

    neighbours: Annotated[int, Field(ge=1, le=64)] = 8
    layers: Annotated[int, Field(ge=0, le=8)] = 2  # of messages between neighbours; 0: attention pooling alone
    hidden: Annotated[int, Field(ge=4, le=1024)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    epochs: Positive = 150
    lr: Annotated[float, Field(gt=0)] = 5e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    patience: Positive = 50  # epochs without gain on the validation patients


class SurvivalSettings(Settings):
    """All of `hmgdm train survival`: feature files, outcome table, network, folds."""

    features: tuple[Path, ...]  # .h5 files, or folders of them
    outcome: OutcomeSettings
    patient_pattern: PatientPattern = TCGA  # read in a file's name where the table has no such slide
    slides: Path | None = None  # folder with the slides, to draw the maps on tissue
    risk: RiskSettings = RiskSettings()
    folds: Folds = 5
    seed: Seed = 0
    maps: Annotated[int, Field(ge=0)] = 6  # slides that get a picture of what raised and lowered their risk


class FinetuneSettings(Settings):
    """How the encoder is trained on; it starts from the model's own weights in every fold."""

    epochs: Positive = 15
    batch: Positive = 8
    lr: Annotated[float, Field(gt=0)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    patience: Positive = 5  # epochs without gain on the validation patients


class ClassifySettings(Settings):
    """All of `hmgdm train classify`: examples, model, methods, folds, and the words of the card."""

    examples: Path  # CSV: path, label, patient, mpp; or path, annotations, patient, mpp; or a QuPath project
    patient_pattern: PatientPattern = TCGA  # its first group in an image's name is the patient; for a QuPath project
    model: Path = Path("hmgdm-small")
    classes: tuple[str, ...] = ()  # in this order, others are left out; empty: all that occur, sorted
    methods: tuple[Method, ...] = ("linear", "knn")
    save: Literal["linear", "finetune"] = "linear"  # the method of the model folder
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.0  # of the tiles of an example
    min_tissue: Annotated[float, Field(ge=0, le=1)] = 0.25
    folds: Folds = 5
    seed: Seed = 0
    finetune: FinetuneSettings = FinetuneSettings()
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)] = "class"  # of the prediction
    title: str = "class"
    licence: str = ""  # empty: that of the model
    caution: str = "Not validated on another cohort."

    @model_validator(mode="after")
    def _saved_is_judged(self) -> ClassifySettings:
        if self.save not in self.methods:
            raise ValueError("save must be one of methods")
        return self
