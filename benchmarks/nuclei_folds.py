"""The detectors of the folds, so that nuclei of a patient can be found by one that never saw that patient.

    python -m benchmarks.nuclei_folds SETTINGS.toml RESULTS FOLDER

SETTINGS.toml and RESULTS are those of a finished `hmgdm train nuclei`. FOLDER gets one detector per fold, which
`hmgdm nuclei --model` takes as well, and `detectors.json`, patient > detector: what `hmgdm evaluate` takes as
`detectors`, and `benchmarks.nuclei_help` as `--held-out`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hmgdm_plugin.analysis.detector_folds import FINAL, Trainings
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.nuclei import NucleiTrainingSettings
from hmgdm_plugin.schema.parsing import read_toml
from hmgdm_plugin.train import beside
from hmgdm_plugin.training.nuclei_table import read_images
from hmgdm_plugin.zoo.card import NucleiCard, Training
from hmgdm_plugin.zoo.detector import save_stardist

NAMES = "detectors.json"


def opened(settings_path: Path, results: Path) -> Trainings:
    """The finished trainings of `settings_path` in `results`."""
    settings = read_toml(settings_path, NucleiTrainingSettings)
    images = read_images(beside(settings_path, settings.images), settings.mpp, settings.nucleus_um, settings.patch_px)
    return Trainings.of(settings, images, results, Events())


def write(trainings: Trainings, folder: Path) -> dict[str, str]:
    """Write the detector of each fold into `folder`; patient > detector."""
    found: dict[str, str] = {}
    for name in trainings.names:
        if name == FINAL:
            continue
        stars, factor = trainings.widened(name)
        own = trainings.settings
        card = NucleiCard(
            name=f"{own.name}-{name}",
            version=own.version,
            title=f"{own.title}, {name}",
            description=f"The network of {name}, whose patients were not shown to it; outlines widened {factor}-fold.",
            created="",
            licence=own.licence,
            intended_use="To judge what stands on nuclei, on patients whom the detector does not know.",
            limits=("Trained without a share of the patients.",),
            detector=stars.settings,
            data=(),
            training=Training(epochs=0, steps=own.steps, minutes=0.0, device="CPU", numbers={}, curves={}),
            evaluation=(),
        )
        place = save_stardist(folder / name, card, stars.network)
        found |= dict.fromkeys(sorted({image.patient for image in trainings.held_out(name)}), str(place.resolve()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the detectors of the folds.")
    parser.add_argument("settings", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    found = write(opened(asked.settings, asked.results), asked.folder)
    (asked.folder / NAMES).write_text(json.dumps(found, indent=1), "utf-8")
    print(f"{len(set(found.values()))} detectors of {len(found)} patients: {asked.folder / NAMES}")


if __name__ == "__main__":
    main()
