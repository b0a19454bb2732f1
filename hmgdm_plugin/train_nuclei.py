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

from .schema.errors import InputError
from .schema.events import Events
from .schema.parsing import read_toml
from .schema.run import HELD_OUT, nuclei_training, writing
from .train import beside

if TYPE_CHECKING:
    from .analysis.detector_folds import Trainings
    from .nuclei.matching import Matched
    from .schema.nuclei import DetectorSettings, NucleiSourceSettings
    from .training.nuclei_table import LabelledImage
    from .zoo.card import Data, NucleiCard


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
    from .analysis.detector_folds import Trainings
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
    trainings = Trainings.of(settings, images, results_dir, events)
    with writing(results_dir):
        results_dir.mkdir(parents=True, exist_ok=True)
    if only:
        if only not in trainings.names:
            raise InputError(f"--only {only}: there is no such training", f"give one of {', '.join(trainings.names)}")
        trainings.trained(only)
        return {"trained": results_dir / nuclei_training(only)}
    judged = _Judged()
    for name in trainings.names[: settings.judged or settings.folds]:
        _judge_fold(name, trainings, judged)
    return {"model": _final(trainings, judged)}


def _judge_fold(name: str, trainings: Trainings, judged: _Judged) -> None:
    """Train without the patients of a fold, then judge on those of them whose labels are true."""
    from .nuclei.matching import matched

    detector, factor = trainings.widened(name)
    held = [image for image in trainings.held_out(name) if image.truth]
    for image in trainings.events.track(f"judge {name}", held, len(held)):
        found = detector.predict(image.rgb)
        judged.images.append(image)
        judged.counts.append(matched(image.labels, found.labels((image.rgb.shape[0], image.rgb.shape[1]))))
    judged.chosen.append((detector.settings.prob_threshold, detector.settings.nms_threshold, factor))


def _final(trainings: Trainings, judged: _Judged) -> Path:
    """The network that ships, its card with the scores of the folds."""
    from .analysis.detector_folds import FINAL
    from .nuclei.stretch import stretch
    from .training.nuclei_scores import write_counts
    from .zoo.detector import save_stardist

    network = trainings.trained(FINAL).network
    probability, overlap, factor = (statistics.median(values) for values in zip(*judged.chosen, strict=True))
    stretch(network, factor)
    card = _card(trainings, judged, trainings.detector(probability, overlap))
    write_counts(trainings.folder / HELD_OUT, judged.images, judged.counts)
    return save_stardist(trainings.folder / trainings.settings.name, card, network)


def _card(trainings: Trainings, judged: _Judged, detector: DetectorSettings) -> NucleiCard:
    from .analysis.detector_folds import FINAL
    from .nuclei.fit import minutes
    from .training.nuclei_scores import groups_of, scores_of
    from .zoo.card import NucleiCard, Training
    from .zoo.measured import NucleiScore

    settings, images = trainings.settings, trainings.images
    scores = scores_of(judged.counts, [image.patient for image in judged.images], groups_of(judged.images))
    words = settings.model_dump(
        include={"name", "version", "title", "description", "licence", "intended_use", "limits"}
    )
    names = [FINAL, *(f"fold-{fold}" for fold in range(settings.judged or settings.folds))]
    spent = {name: minutes(trainings.folder / nuclei_training(name)) for name in names}
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
