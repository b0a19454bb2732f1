"""A folder that the stardist package wrote, read without TensorFlow: its settings, thresholds and weights.

Weights are HDF5, either as Keras 2 wrote them (and Keras 3 still does for stardist), with or without ``:0`` behind
their names, or in the layout of Keras 3. Nothing of it is code, and nothing is executed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..schema.errors import InputError
from ..schema.nuclei import StarDistSettings
from ..schema.parsing import parse
from .network import layers

CONFIG, THRESHOLDS = "config.json", "thresholds.json"
WEIGHTS = ("weights_best.h5", "weights_last.h5")
DEFAULTS = {"prob": 0.5, "nms": 0.4}
AGAIN = "copy the folder again from where it was trained"
FOLDER = "give the folder that stardist wrote, with config.json and weights_best.h5"
FIXED = {  # what the network in torch has no other form of
    "axes": "YXC",
    "backbone": "unet",
    "unet_activation": "relu",
    "unet_last_activation": "relu",
    "unet_batch_norm": False,
    "unet_prefix": "",
}
CLASSES = ("features_class", "prob_class")  # of a model that also classifies; not read
Arrays = dict[str, NDArray[np.float32]]


def read_config(folder: Path) -> StarDistSettings:
    """Network of the StarDist model in `folder`.

    Raises
    ------
    InputError
        It is missing or damaged, is of a 3D or grayscale model, or of a network other than stardist's usual one.
    """
    path = folder / CONFIG
    raw = _json(path)
    if raw.get("n_dim") != 2:
        raise InputError(f"{path}: is not of a 2D model", "give a StarDist2D model of RGB images")
    if raw.get("n_channel_in") != 3:
        found = raw.get("n_channel_in")
        raise InputError(f"{path}: the model takes images of {found} channel(s), not RGB", "give a model of RGB images")
    for key, wanted in FIXED.items():
        if raw.get(key, wanted) != wanted:
            raise InputError(f"{path}: {key} is {raw[key]!r}, only {wanted!r} is supported", "give another model")
    return parse({key: raw[key] for key in StarDistSettings.model_fields if key in raw}, StarDistSettings, str(path))


def read_thresholds(folder: Path) -> tuple[float, float]:
    """Thresholds of probability and overlap; stardist's own defaults where the folder has none.

    Raises
    ------
    InputError
        They cannot be read, or do not lie between 0 and 1.
    """
    path = folder / THRESHOLDS
    raw = {**DEFAULTS, **(_json(path) if path.exists() else {})}
    for key in DEFAULTS:
        if not isinstance(raw[key], float | int) or not 0 < raw[key] < 1:
            raise InputError(f"{path}: {key} is {raw[key]!r}, not between 0 and 1", "correct it, or remove the file")
    return float(raw["prob"]), float(raw["nms"])


def read_weights(folder: Path, settings: StarDistSettings, names: tuple[str, ...] = WEIGHTS) -> dict[str, Tensor]:
    """Weights of the model in `folder`, as `StarDistNetwork.load_state_dict` takes them.

    Parameters
    ----------
    names : tuple of str
        Files of weights to look for; the first that is there is read.

    Raises
    ------
    InputError
        No file of weights, not HDF5, or layers that are missing, too many, of another shape, or not finite.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: no {' or '.join(names)}", FOLDER)
    wanted = list(layers(settings))
    found = _by_layer(_arrays(path), [name for name, _, _ in wanted])
    state: dict[str, Tensor] = {}
    for name, channels_in, channels_out in wanted:
        kernel = (1, 1) if name in ("prob", "dist") else settings.unet_kernel_size
        expected = (*kernel, channels_in, channels_out), (channels_out,)
        state |= _layer(path, name, found.pop(name, {}), expected)
    for name in sorted(found.keys() - set(CLASSES)):
        raise InputError(f"{path}: layer {name!r} is not part of what {CONFIG} describes", AGAIN)
    return state


def _layer(
    path: Path, name: str, found: Arrays, expected: tuple[tuple[int, ...], tuple[int, ...]]
) -> dict[str, Tensor]:
    """Kernel (h, w, in, out) and bias (out,) of one layer, as torch wants them."""
    tensors = {}
    for key, torch_key, shape in zip(("kernel", "bias"), ("weight", "bias"), expected, strict=True):
        array = found.get(key)
        if array is None or array.shape != shape:
            what = "is missing" if array is None else f"is {array.shape}"
            raise InputError(f"{path}: {key} of layer {name!r} {what}, {CONFIG} needs {shape}", AGAIN)
        if not np.isfinite(array).all():
            raise InputError(f"{path}: {key} of layer {name!r} holds numbers that are not finite", AGAIN)
        turned = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        tensors[f"conv.{name}.{torch_key}"] = torch.from_numpy(np.ascontiguousarray(turned, np.float32))
    return tensors


def _by_layer(arrays: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> dict[str, Arrays]:
    """Arrays by layer and kind.

    Layers that Keras numbered on its own take the names of `names` in that order: those of the stem, or, in the layout
    of Keras 3, all.
    """
    found: dict[str, Arrays] = {}
    for name, array in arrays.items():
        parts = [part for part in name.split("/") if part not in ("layers", "vars", "model_weights")]
        kind = {"0": "kernel", "1": "bias"}.get(parts[-1], parts[-1].removesuffix(":0"))
        found.setdefault(parts[0], {})[kind] = array
    numbered = sorted((name for name in found if re.fullmatch(r"conv2d(_\d+)?", name)), key=_number)
    given = dict(zip(numbered, names, strict=False))
    return {given.get(name, name): kinds for name, kinds in found.items()}


def _number(name: str) -> int:
    return int(name.removeprefix("conv2d").removeprefix("_") or 0)


def _arrays(path: Path) -> Arrays:
    """Every array of a file of weights by its path in it, those of the optimiser left out."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return dict(_walk(file))
    except (OSError, KeyError, RuntimeError, ValueError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as Keras weights ({error})", AGAIN) from error


def _walk(group: Any) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for name, each in group.items():
        if name in ("optimizer", "optimizer_weights", "top_level_model_weights"):
            continue
        if hasattr(each, "shape"):
            yield each.name.strip("/"), np.asarray(each[()], np.float32)
        else:
            yield from _walk(each)


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", FOLDER) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error})", AGAIN) from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: is not a JSON object", AGAIN)
    return raw
