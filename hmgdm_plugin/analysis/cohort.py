"""Patients of a survival study: feature files joined with the outcome table, and every doubt said."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..schema.errors import InputError
from ..schema.events import Events
from ..schema.studies import SurvivalSettings
from ..survival.fit import Patient, patient_of
from ..survival.outcomes import Outcomes, stem
from ..survival.slides import SlideFeatures, read_slide


@dataclass(frozen=True)
class Cohort:
    """Patients with tiles and outcome, their slides by name, and the unit of their time."""

    patients: list[Patient]
    slides: dict[str, SlideFeatures]
    unit: str


def joined(files: Sequence[Path], outcomes: Outcomes, settings: SurvivalSettings, events: Events) -> Cohort:
    """Read every file whose patient has an outcome.

    Raises
    ------
    InputError
        No file finds its outcome, features differ in length, or two files are of one slide.
    """
    files_of, nameless, without = _by_patient(files, outcomes, settings.patient_pattern)
    for names, what in ((nameless, "not in the outcome table"), (without, "whose patient has no time or event")):
        if names:
            events.note(f"{len(names)} of {len(files)} slides left out, {what}: {_some(names)}")
    if not files_of:
        raise InputError(
            f"none of {len(files)} slides is in the outcome table ({_some([path.stem for path in files])})",
            "correct patient_pattern, whose first group is the patient in a file's name",
        )
    slides: dict[str, SlideFeatures] = {}
    patients = []
    for name in events.track("read", sorted(files_of), len(files_of)):
        own = [read_slide(path) for path in files_of[name]]
        for slide, path in zip(own, files_of[name], strict=True):
            _fits(slide, slides, path)
            slides[slide.name] = slide
        patients.append(patient_of(name, own, outcomes.of_patient[name], settings.risk.neighbours))
    return Cohort(patients, slides, outcomes.unit)


def _by_patient(
    files: Sequence[Path], outcomes: Outcomes, pattern: str
) -> tuple[dict[str, list[Path]], list[str], list[str]]:
    """Files of each patient with an outcome; slides of unknown patients; slides of patients without an outcome."""
    files_of: dict[str, list[Path]] = defaultdict(list)
    nameless: list[str] = []
    without: list[str] = []
    for path in files:
        patient = _patient(path, outcomes, pattern)
        if patient in outcomes.of_patient:
            files_of[patient].append(path)
        else:
            (without if patient in outcomes.without else nameless).append(path.stem)
    return files_of, nameless, without


def _patient(path: Path, outcomes: Outcomes, pattern: str) -> str:
    """Patient of a file: the table's own word on the slide, else its name, else the pattern's first group."""
    name = stem(path.name)
    known = outcomes.of_slide.get(name)
    if known is not None or name in outcomes.of_patient:
        return known or name
    match = re.match(pattern, name)
    return match[1] if match else ""


def _fits(slide: SlideFeatures, slides: dict[str, SlideFeatures], path: Path) -> None:
    if slide.name in slides:
        raise InputError(f"{path}: a second file of slide {slide.name}", "give each slide once")
    first = next(iter(slides.values()), slide)
    if slide.features.shape[1] != first.features.shape[1]:
        raise InputError(
            f"{path}: {slide.features.shape[1]} features per tile, {first.name} has {first.features.shape[1]}",
            "give files of one encoder",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
