"""`hmgdm train nuclei`: a StarDist network from labelled images, judged on patients that it was not shown.

One network per fold of patients gives the scores; the network that ships has learnt from all images, and takes the
medians of what the folds chose, thresholds and how far outlines reach, each on patients outside what it is judged on.
Run again with the same folder, it goes on where it stopped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .schema.errors import InputError
from .schema.events import Events
from .schema.run import HELD_OUT, nuclei_training, writing
from .schema.settings import read_toml
from .train import beside

if TYPE_CHECKING:
    from .nuclei.matching import Matched
    from .nuclei.stars import StarDist
    from .schema.nuclei import DetectorSettings, NucleiSourceSettings, NucleiTrainingSettings
    from .training.nuclei_table import LabelledImage
    from .zoo.card import Data, NucleiCard

FINAL = "final"  # the training that ships; the others are called fold-0, fold-1, …
Folds = NDArray[np.int64]
LAST = ("weights_last.h5",)


@dataclass
class _Judged:
    """Held-out images that were judged so far, and what each fold chose: both thresholds, the factor of distances."""

    images: list[LabelledImage] = field(default_factory=list)
    counts: list[Matched] = field(default_factory=list)
    chosen: list[tuple[float, float, float]] = field(default_factory=list)


def train_nuclei(settings_path: Path, results_dir: Path, events: Events, only: str = "") -> Mapping[str, Any]:
    """Train, judge and save the nucleus detector of `settings_path`.

    Parameters
    ----------
    only : str
        Train this one network alone, ``fold-0``, ``fold-1``, … or ``final``, so that several can be trained at once; a
        call without it then judges and saves.

    Raises
    ------
    InputError
        TensorFlow is not installed, the settings or the table are wrong, or the model is there already.
    """
    from .nuclei.fit import check_tensorflow
    from .schema.nuclei import NucleiTrainingSettings
    from .training.nuclei_table import read_images

    settings = read_toml(settings_path, NucleiTrainingSettings)
    if settings.start is not None:
        settings = settings.model_copy(update={"start": beside(settings_path, settings.start)})
    target = results_dir / settings.name
    if target.exists():
        raise InputError(f"{target}: exists already", "give another --results-dir")
    check_tensorflow()
    images = read_images(beside(settings_path, settings.images), settings.mpp, settings.nucleus_um, settings.patch_px)
    folds = _folds(images, settings)
    with writing(results_dir):
        results_dir.mkdir(parents=True, exist_ok=True)
    names = [*(f"fold-{fold}" for fold in range(settings.folds)), FINAL]
    if only:
        if only not in names:
            raise InputError(f"--only {only}: there is no such training", f"give one of {', '.join(names)}")
        _trained(only, _shown(only, images, folds, settings), settings, results_dir, events)
        return {"trained": results_dir / nuclei_training(only)}
    judged = _Judged()
    for name in names[: settings.judged or settings.folds]:
        _judge_fold(name, images, folds, settings, results_dir, events, judged)
    return {"model": _final(images, folds, settings, results_dir, events, judged)}


def _shown(
    name: str, images: Sequence[LabelledImage], folds: Folds, settings: NucleiTrainingSettings
) -> list[LabelledImage]:
    """Images that the training called `name` may see."""
    chosen = [image.truth or not image.patient or not settings.only_true for image in images]
    every = zip(images, folds, chosen, strict=True)
    return [image for image, fold, wanted in every if wanted and name != f"fold-{fold}"]


def _folds(images: Sequence[LabelledImage], settings: NucleiTrainingSettings) -> Folds:
    """Fold of each image, -1 where it is nobody's and so is only trained on."""
    from .training.folds import check_leaks, patient_folds

    own = [k for k, image in enumerate(images) if image.patient]
    patients = [images[k].patient for k in own]
    dealt = patient_folds(patients, settings.folds, settings.seed, [_stratum(images[k]) for k in own])
    check_leaks(patients, None, None, dealt)
    folds = np.full(len(images), -1, np.int64)
    folds[own] = dealt
    return folds


def _stratum(image: LabelledImage) -> str:
    return f"{image.source} {image.truth}"


def _judge_fold(
    name: str,
    images: Sequence[LabelledImage],
    folds: Folds,
    settings: NucleiTrainingSettings,
    results_dir: Path,
    events: Events,
    judged: _Judged,
) -> None:
    """Train without the patients of a fold, then judge on those of them whose labels are true."""
    from .nuclei.matching import matched
    from .nuclei.stretch import best_factor, stretch

    shown = _shown(name, images, folds, settings)
    detector = _trained(name, shown, settings, results_dir, events)
    factor = best_factor(detector, ((image.rgb, image.labels) for image in _watched(shown, settings)))
    stretch(detector.network, factor)
    held = [image for image in images if image not in shown and image.truth]
    for image in events.track(f"judge {name}", held, len(held)):
        found = detector.predict(image.rgb)
        judged.images.append(image)
        judged.counts.append(matched(image.labels, found.labels((image.rgb.shape[0], image.rgb.shape[1]))))
    judged.chosen.append((detector.settings.prob_threshold, detector.settings.nms_threshold, factor))


def _trained(
    name: str, images: Sequence[LabelledImage], settings: NucleiTrainingSettings, results_dir: Path, events: Events
) -> StarDist:
    """The network trained on `images`, but for a few patients of a fold who only choose its thresholds."""
    from .nuclei.fit import fit
    from .nuclei.keras import read_thresholds, read_weights
    from .nuclei.network import StarDistNetwork
    from .nuclei.stars import StarDist
    from .training.nuclei_views import changed, views_of

    folder = results_dir / nuclei_training(name)
    watched = _watched(images, settings)
    shown = images if name == FINAL else [image for image in images if image not in watched]
    fit(
        folder,
        lambda: views_of(shown, settings),
        ([image.rgb for image in watched], [image.labels for image in watched]),
        settings,
        changed,
        lambda done: events.progress(name, done, settings.steps),
        choose=name != FINAL,
        start=settings.start and settings.start / nuclei_training(name),
    )
    network = StarDistNetwork(settings.network)
    network.load_state_dict(read_weights(folder, settings.network, LAST))
    probability, overlap = read_thresholds(folder)
    return StarDist(_detector(settings, probability, overlap), network)


def _watched(images: Sequence[LabelledImage], settings: NucleiTrainingSettings) -> list[LabelledImage]:
    """Images of a share of the patients with true labels, the same at each call."""
    patients = sorted({image.patient for image in images if image.patient and image.truth})
    count = max(1, round(settings.tuning * len(patients)))
    chosen = set(np.random.default_rng(settings.seed).permutation(patients)[:count])
    return [image for image in images if image.patient in chosen]


def _detector(settings: NucleiTrainingSettings, probability: float, overlap: float) -> DetectorSettings:
    from .schema.nuclei import DetectorSettings

    return DetectorSettings(
        mpp=settings.mpp, prob_threshold=probability, nms_threshold=overlap, network=settings.network
    )


def _final(
    images: Sequence[LabelledImage],
    folds: Folds,
    settings: NucleiTrainingSettings,
    results_dir: Path,
    events: Events,
    judged: _Judged,
) -> Path:
    """The network that ships, its card with the scores of the folds."""
    from .nuclei.stretch import stretch
    from .training.nuclei_scores import write_counts
    from .zoo.detector import save_stardist

    network = _trained(FINAL, _shown(FINAL, images, folds, settings), settings, results_dir, events).network
    probability, overlap, factor = (statistics.median(values) for values in zip(*judged.chosen, strict=True))
    stretch(network, factor)
    card = _card(images, settings, results_dir, judged, _detector(settings, probability, overlap))
    write_counts(results_dir / HELD_OUT, judged.images, judged.counts)
    return save_stardist(results_dir / settings.name, card, network)


def _card(
    images: Sequence[LabelledImage],
    settings: NucleiTrainingSettings,
    results_dir: Path,
    judged: _Judged,
    detector: DetectorSettings,
) -> NucleiCard:
    from .nuclei.fit import minutes
    from .training.nuclei_scores import groups_of, scores_of
    from .zoo.card import NucleiCard, NucleiScore, Training

    scores = scores_of(judged.counts, [image.patient for image in judged.images], groups_of(judged.images))
    words = settings.model_dump(
        include={"name", "version", "title", "description", "licence", "intended_use", "limits"}
    )
    names = [FINAL, *(f"fold-{fold}" for fold in range(settings.judged or settings.folds))]
    spent = {name: minutes(results_dir / nuclei_training(name)) for name in names}
    return NucleiCard(
        **words,
        created=time.strftime("%Y-%m-%d"),
        detector=detector,
        data=tuple(_data(source, images) for source in settings.source),
        training=Training(
            epochs=settings.steps // settings.steps_per_epoch,
            steps=settings.steps,
            minutes=round(spent[FINAL], 1),
            device="CPU",
            numbers={f"minutes of {name}": round(value, 1) for name, value in spent.items()}
            | {f"distances of fold-{fold}, factor": each[2] for fold, each in enumerate(judged.chosen)},
        ),
        evaluation=tuple(NucleiScore(**row) for row in scores),
    )


def _data(source: NucleiSourceSettings, images: Sequence[LabelledImage]) -> Data:
    from .zoo.card import Data

    own = [image for image in images if image.source == source.name]
    patients = len({image.patient for image in own if image.patient})
    return Data(
        name=source.name, licence=source.licence, images=len(own), patients=patients, tiles=len(own), use=source.use
    )
