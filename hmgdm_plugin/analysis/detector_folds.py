"""The networks of a detector's training: one for each fold of patients, whom it never saw, and the one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..nuclei.stars import StarDist
from ..schema.events import Events
from ..schema.nuclei import DetectorSettings, NucleiTrainingSettings
from ..schema.run import nuclei_training
from ..training.folds import check_leaks, patient_folds
from ..training.nuclei_table import LabelledImage

FINAL = "final"  # the training that ships; the others are called fold-0, fold-1, …
_LAST = ("weights_last.h5",)


@dataclass(frozen=True)
class Trainings:
    """The trainings of `settings` on `images`, kept in `folder`.

    Parameters
    ----------
    folds : tuple of int
        Fold of each image, -1 where it is nobody's and so is only trained on.
    """

    settings: NucleiTrainingSettings
    images: Sequence[LabelledImage]
    folder: Path
    events: Events
    folds: tuple[int, ...]

    @classmethod
    def of(
        cls, settings: NucleiTrainingSettings, images: Sequence[LabelledImage], folder: Path, events: Events
    ) -> Trainings:
        """Deal the patients of `images`, sources and labels that are not true evenly."""
        own = [k for k, image in enumerate(images) if image.patient]
        patients = [images[k].patient for k in own]
        strata = [f"{images[k].source} {images[k].truth}" for k in own]
        dealt = patient_folds(patients, settings.folds, settings.seed, strata)
        check_leaks(patients, None, None, dealt)
        folds = np.full(len(images), -1, np.int64)
        folds[own] = dealt
        return cls(settings, images, folder, events, tuple(folds.tolist()))

    @property
    def names(self) -> list[str]:
        """All trainings: the folds, then the one that ships."""
        return [*(f"fold-{fold}" for fold in range(self.settings.folds)), FINAL]

    def shown(self, name: str) -> list[LabelledImage]:
        """Images that the training called `name` may see."""
        wanted = [image.truth or not image.patient or not self.settings.only_true for image in self.images]
        every = zip(self.images, self.folds, wanted, strict=True)
        return [image for image, fold, chosen in every if chosen and name != f"fold-{fold}"]

    def held_out(self, name: str) -> list[LabelledImage]:
        """Images of the patients whom the training called `name` never saw."""
        every = zip(self.images, self.folds, strict=True)
        return [image for image, fold in every if name == f"fold-{fold}"]

    def watched(self, images: Sequence[LabelledImage]) -> list[LabelledImage]:
        """Those of a share of the patients with true labels, the same at each call."""
        patients = sorted({image.patient for image in images if image.patient and image.truth})
        count = max(1, round(self.settings.tuning * len(patients)))
        chosen = set(np.random.default_rng(self.settings.seed).permutation(patients)[:count])
        return [image for image in images if image.patient in chosen]

    def trained(self, name: str) -> StarDist:
        """The network called `name`, but for a fold's few patients who only choose its thresholds; trained once."""
        from ..nuclei.fit import fit
        from ..nuclei.keras import read_thresholds, read_weights
        from ..nuclei.network import StarDistNetwork
        from ..training.nuclei_views import changed, views_of

        folder, images, settings = self.folder / nuclei_training(name), self.shown(name), self.settings
        watched = self.watched(images)
        seen = images if name == FINAL else [image for image in images if image not in watched]
        fit(
            folder,
            lambda: views_of(seen, settings),
            ([image.rgb for image in watched], [image.labels for image in watched]),
            settings,
            changed,
            lambda done: self.events.progress(name, done, settings.steps),
            choose=name != FINAL,
            start=settings.start and settings.start / nuclei_training(name),
        )
        network = StarDistNetwork(settings.network)
        network.load_state_dict(read_weights(folder, settings.network, _LAST))
        return StarDist(self.detector(*read_thresholds(folder)), network)

    def widened(self, name: str) -> tuple[StarDist, float]:
        """The network called `name`, its outlines widened by the factor that fits its own tuning patients best."""
        from ..nuclei.stretch import best_factor, stretch

        detector = self.trained(name)
        watched = self.watched(self.shown(name))
        factor = best_factor(detector, ((image.rgb, image.labels) for image in watched))
        stretch(detector.network, factor)
        return detector, factor

    def detector(self, probability: float, overlap: float) -> DetectorSettings:
        """What a detector of these trainings is, with such thresholds."""
        own = self.settings
        return DetectorSettings(mpp=own.mpp, prob_threshold=probability, nms_threshold=overlap, network=own.network)
