"""Training with the stardist package, whose TensorFlow enters the project here and nowhere else.

What comes out is a folder as stardist writes it: ``config.json``, ``weights_last.h5`` and ``thresholds.json``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema.errors import InputError
from ..schema.nuclei import NucleiTrainingSettings
from .limits import histogram, limits_of

LAST, THRESHOLDS, BACKUP = "weights_last.h5", "thresholds.json", "backup"
LOG, MINUTES = "training.log", "minutes.txt"
NMS = (0.3, 0.4)  # overlaps tried; with each the probability is searched that is best on average over
IOUS = (0.5, 0.7)
WARMUP, FINAL = 0.06, 0.02  # of the steps; of the learning rate
Images = Sequence[NDArray[np.uint8]]
Labels = Sequence[NDArray[np.int32]]
Change = Callable[[Any, Any, np.random.Generator], tuple[Any, Any]]


def check_tensorflow() -> None:
    """Refuse to start what could not be finished.

    Raises
    ------
    InputError
        TensorFlow is not installed.
    """
    if find_spec("tensorflow") is None:
        raise InputError("TensorFlow is not installed", 'run: pip install "hmgdm-plugin[nuclei-training]"')


def normalised(rgb: NDArray[np.uint8], percentiles: tuple[float, float] = (1.0, 99.8)) -> NDArray[np.float32]:
    """An image as the network wants it: its own percentiles become 0 and 1."""
    low, high = limits_of(histogram(rgb), percentiles)
    return (rgb.astype(np.float32) - low) / np.maximum(high - low, 1.0)


def fit(
    folder: Path,
    train: Callable[[], tuple[Images, Labels]],
    watched: tuple[Images, Labels],
    settings: NucleiTrainingSettings,
    change: Change,
    tick: Callable[[int], None],
    choose: bool,
    start: Path | None = None,
) -> None:
    """Train one network into `folder`; goes on from its last checkpoint, or does nothing where it is done.

    Parameters
    ----------
    train : callable
        Gives images, RGB (H, W, 3) uint8, and labels (H, W) int32; no side below a patch.
    watched : (images, labels)
        Their loss is reported during training.
    change : callable
        Augments a normalised patch and its labels, with a random generator.
    tick : callable
        Told the number of finished steps after each epoch.
    choose : bool
        Choose the thresholds on the watched images.
    start : Path, optional
        Folder of a trained network of the same shape that this one goes on from.

    Raises
    ------
    InputError
        There are no weights in `start`.
    """
    if start is not None and not (start / LAST).is_file():
        raise InputError(f"{start}: no {LAST}", "give the results folder of a finished training as start")
    if (folder / LAST).exists() and (not choose or (folder / THRESHOLDS).exists()):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = [normalised(rgb) for rgb in watched[0]], list(watched[1])
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stdout(log):
        if not (folder / LAST).exists():
            model = _model(folder, settings, settings.precision)
            rng = np.random.default_rng(settings.seed)
            model.callbacks += _callbacks(folder, settings, tick)
            seen, truth = train()
            _begin(model, truth, start)
            model.train(
                [normalised(rgb) for rgb in seen],
                truth,
                validation_data=(images, labels),
                augmenter=lambda rgb, own: change(rgb, own, rng),
                seed=settings.seed,
            )
        if choose:
            model = _model(folder, settings, "float32")
            model.load_weights(LAST)
            model.optimize_thresholds(
                images, labels, nms_threshs=NMS, iou_threshs=IOUS, optimize_kwargs={"maxiter": 8, "tol": 0.02}
            )


def minutes(folder: Path) -> float:
    """How long the training into `folder` took, all its parts together."""
    path = folder / MINUTES
    return float(path.read_text("utf-8")) if path.exists() else 0.0


def _model(folder: Path, settings: NucleiTrainingSettings, precision: str) -> Any:
    """The package's model, compiled: Adam, its rate warmed up and then lowered along a cosine.

    With bfloat16, both heads and their losses, sums over many pixels, still work in float32, as do all weights.
    """
    import keras
    from stardist.models import Config2D, StarDist2D

    keras.utils.set_random_seed(settings.seed)
    config = Config2D(
        n_channel_in=3,
        **settings.network.model_dump(),
        train_patch_size=(settings.patch_px, settings.patch_px),
        train_batch_size=settings.batch,
        train_epochs=settings.steps // settings.steps_per_epoch,
        train_steps_per_epoch=settings.steps_per_epoch,
        train_learning_rate=settings.lr,
        train_n_val_patches=settings.batch,
        train_reduce_lr=None,
        train_tensorboard=False,
        train_checkpoint=None,
        train_checkpoint_epoch=None,
        train_checkpoint_last=LAST,
    )
    warm = round(WARMUP * settings.steps)
    rate = keras.optimizers.schedules.CosineDecay(
        settings.lr / 20, settings.steps - warm, alpha=FINAL, warmup_target=settings.lr, warmup_steps=warm
    )
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    model = StarDist2D(config, name=folder.name, basedir=str(folder.parent))
    keras.mixed_precision.set_global_policy("float32")
    for head in ("prob", "dist"):
        model.keras_model.get_layer(head).dtype_policy = keras.DTypePolicy("float32")
    model.prepare_for_training(keras.optimizers.Adam(rate))
    return model


def _begin(model: Any, labels: Labels, start: Path | None) -> None:
    """Weights from `start`; else let the distances begin at the nuclei's median radius, or that is learnt first."""
    if start is not None:
        model.keras_model.load_weights(str(start / LAST))
        return
    areas = np.concatenate([np.bincount(own.reshape(-1))[1:] for own in labels])
    layer = model.keras_model.get_layer("dist")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.full_like(bias, np.sqrt(np.median(areas[areas > 0]) / np.pi))])


def _callbacks(folder: Path, settings: NucleiTrainingSettings, tick: Callable[[int], None]) -> list[Any]:
    """A checkpoint of weights and optimiser after every epoch, removed at the end, and news of progress."""
    import keras

    before, start_s = minutes(folder), time.monotonic()

    def told(epoch: int, logs: Any) -> None:
        (folder / MINUTES).write_text(f"{before + (time.monotonic() - start_s) / 60:.2f}", "utf-8")
        tick((epoch + 1) * settings.steps_per_epoch)

    backup = keras.callbacks.BackupAndRestore(str(folder / BACKUP))
    return [backup, keras.callbacks.LambdaCallback(on_epoch_end=told)]
