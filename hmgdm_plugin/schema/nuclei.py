"""Settings of a nucleus detector: the network, and all that reading a slide for it must know."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .settings import CardWords, Seed, Settings

Step = Literal[1, 2, 4, 8]
Side = Literal[1, 3, 5, 7]
Pool = Literal[1, 2, 4]
Positive = Annotated[float, Field(gt=0)]
Open = Annotated[float, Field(gt=0, lt=1)]


class StarDistSettings(Settings):
    """The network of a StarDist model of RGB images; names and defaults are those of its ``config.json``."""

    n_rays: Annotated[int, Field(ge=3, le=512)] = 32
    grid: tuple[Step, Step] = (1, 1)
    unet_n_depth: Annotated[int, Field(ge=1, le=6)] = 3
    unet_kernel_size: tuple[Side, Side] = (3, 3)
    unet_n_filter_base: Annotated[int, Field(ge=1, le=512)] = 32
    unet_n_conv_per_depth: Annotated[int, Field(ge=1, le=8)] = 2
    unet_pool: tuple[Pool, Pool] = (2, 2)
    unet_expansion: Annotated[float, Field(ge=1, le=4)] = 2
    net_conv_after_unet: Annotated[int, Field(ge=0, le=2048)] = 128

    @property
    def multiple(self) -> tuple[int, int]:
        """Image sides (rows, columns) must be multiples of this; `predict` pads to it."""
        down, right = (pool**self.unet_n_depth * step for pool, step in zip(self.unet_pool, self.grid, strict=True))
        return down, right

    @property
    def reach_px(self) -> int:
        """An output depends on no pixel farther than this, along either axis.

        So two images give the same where they agree this far around and start a whole `multiple` apart.
        """
        return max(self._reach(axis) for axis in (0, 1))

    def _reach(self, axis: int) -> int:
        """Half of each kernel, and the rest of each pooling window both ways, in pixels of the image."""
        step, half, convs = 1, self.unet_kernel_size[axis] // 2, self.unet_n_conv_per_depth
        reach = half * self.grid[axis] * (self.net_conv_after_unet > 0)
        while step < self.grid[axis]:
            reach += convs * half * step + step
            step *= 2
        for _ in range(self.unet_n_depth):  # down and, by as many convolutions of the same reach, up again
            reach += 2 * convs * half * step + 2 * (self.unet_pool[axis] - 1) * step
            step *= self.unet_pool[axis]
        return reach + convs * half * step


class DetectorSettings(Settings):
    """What a StarDist model needs of an image, and what it calls a nucleus."""

    mpp: Annotated[float, Field(gt=0.05, lt=20.0)]
    prob_threshold: Open = 0.5
    nms_threshold: Open = 0.4
    percentiles: tuple[float, float] = (1.0, 99.8)  # of each channel, become 0 and 1
    tile_px: Annotated[int, Field(ge=64, le=8192)] = 1024  # side of a tile of a slide, at mpp, margins included
    largest_um: Annotated[float, Field(gt=0, le=500)] = 30.0  # diameter of the largest nucleus that it was shown
    network: StarDistSettings = StarDistSettings()

    @model_validator(mode="after")
    def _fits(self) -> DetectorSettings:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError("percentiles must ascend from 0 to 100")
        return self

    @property
    def margin_px(self) -> int:
        """A nucleus whose centre lies this far inside a tile is found as on the whole slide."""
        return self.network.reach_px + math.ceil(self.largest_um / self.mpp)


class NucleiSourceSettings(Settings):
    """One set of labelled images, as the card must name it; `name` is that of the table's column ``source``."""

    name: str
    licence: str
    use: str = "training and held-out evaluation"
    views: Annotated[int, Field(ge=1, le=32)] | None = None  # of each of its images; as for all by default


class NucleiTrainingSettings(CardWords):
    """All of `hmgdm train nuclei`: labelled images, network, how it learns, how it is judged, the words of the card."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
    images: Path  # CSV: image, labels, mpp, source, patient, group, truth
    source: tuple[NucleiSourceSettings, ...] = ()
    start: Path | None = None  # results folder of an earlier training; each network goes on from its namesake there
    mpp: Annotated[float, Field(gt=0.05, lt=20.0)] = 0.5
    nucleus_um: Annotated[float, Field(gt=0, le=100)] = 6.0  # median diameter given to images of unknown pixel size
    network: StarDistSettings = StarDistSettings(grid=(2, 2))
    folds: Annotated[int, Field(ge=2, le=20)] = 3
    judged: Annotated[int, Field(ge=1, le=20)] | None = None  # folds that are trained for; all by default
    only_true: bool = False  # leave out images of patients whose labels are not good enough to judge by
    tuning: Annotated[float, Field(gt=0, le=0.5)] = 0.15  # share of the training patients that choose the thresholds
    views: Annotated[int, Field(ge=1, le=32)] = 4  # of each image: the first as it is, the others scaled and re-stained
    scale: tuple[Positive, Positive] = (0.75, 1.35)
    stain: Annotated[float, Field(ge=0, lt=1)] = 0.2
    patch_px: Annotated[int, Field(ge=32, le=1024)] = 128
    batch: Annotated[int, Field(ge=1, le=256)] = 16
    steps: Annotated[int, Field(ge=1)] = 1000
    steps_per_epoch: Annotated[int, Field(ge=1)] = 100  # after each, a checkpoint
    lr: Annotated[float, Field(gt=0)] = 1e-3
    precision: Literal["float32", "bfloat16"] = "float32"  # of training; weights are float32 in both
    seed: Seed = 0

    @model_validator(mode="after")
    def _patches_fit(self) -> NucleiTrainingSettings:
        if any(self.patch_px % step for step in self.network.multiple):
            raise ValueError(f"patch_px must be a multiple of {max(self.network.multiple)} for this network")
        if self.judged is not None and self.judged > self.folds:
            raise ValueError("judged cannot be more than folds")
        if self.steps % self.steps_per_epoch:
            raise ValueError("steps must be a multiple of steps_per_epoch")
        return self
