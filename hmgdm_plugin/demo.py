"""`hmgdm demo`: the main job on a real H&E image that is already on the machine, offline, on a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .predict import predict
from .schema.errors import InputError
from .schema.events import Events
from .schema.options import DemoOptions, PredictOptions

BUNDLED_MPP = 0.5  # the image comes without a pixel size; its nuclei measure as at 20x


def demo(options: DemoOptions, events: Events) -> Mapping[str, Any]:
    """Predict the bundled image (500 x 300 H&E, from the stardist package), or the slide of `options`.

    Raises
    ------
    InputError
        As `predict`; also if the package that brings the image is not installed.
    """
    bundled = options.slide is None
    slide = bundled_image() if options.slide is None else options.slide
    common = options.model_dump(exclude={"slide", "mpp"})
    mpp = BUNDLED_MPP if bundled and options.mpp is None else options.mpp
    return predict(PredictOptions(**common, slides=(slide,), mpp=mpp, overlap=0.5 if bundled else 0.0), events, "demo")


def bundled_image() -> Path:
    """Path of the H&E image that the stardist package carries; the package itself is not imported.

    Raises
    ------
    InputError
        It is not installed.
    """
    spec = find_spec("stardist")
    path = Path(spec.origin).parent / "data" / "images" / "histo.jpg" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError("the demo's image is missing", "pip install stardist, or give --slide")
    return path
