"""Who finds the nuclei of which patient, where embeddings are judged: a detector that never saw that patient."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..schema.errors import InputError
from ..zoo.card import read_nuclei_card
from ..zoo.digest import verify
from ..zoo.load import find
from .detector import STARDIST as DEFAULT
from .nuclei import STARDIST


@dataclass(frozen=True)
class Finders:
    """A detector's name or folder for some patients; the one that comes with the package for all others."""

    detectors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Finders:
        """Read JSON, patient > detector; relative folders count from the file.

        Raises
        ------
        InputError
            The file does not read so, or names something that is not a whole nucleus detector.
        """
        if path is None:
            return cls()
        try:
            raw = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as JSON", "give JSON, patient > nucleus detector") from error
        if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
            raise InputError(f"{path}: is not a table of names", 'write {"patient": "folder of a detector", …}')
        near = {name: str(path.parent / name) if (path.parent / name).is_dir() else name for name in {*raw.values()}}
        for name in sorted(near.values()):
            read_nuclei_card(find(name))
        return cls({patient: near[name] for patient, name in raw.items()})

    def of(self, patient: str) -> str:
        """The detector for `patient`, whose name may stand behind that of a source and a colon."""
        return self.detectors.get(patient.rpartition(":")[2], STARDIST)

    @cached_property
    def digest(self) -> dict[str, str]:
        """SHA-256 of every patient's detector, "" standing for all others."""
        models = {name: verify(find(name)) for name in {DEFAULT, *self.detectors.values()}}
        return {"": models[DEFAULT], **{patient: models[name] for patient, name in sorted(self.detectors.items())}}
