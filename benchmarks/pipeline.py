"""What the pipeline makes of two cores: its stages alone, all of them together, and the most that is possible.

    python -m benchmarks.pipeline [SLIDE] [--times 5] [--model NAME|FOLDER] [--repeats 3]

The slide is repeated `--times` times across and down, in a temporary folder, so that start and end weigh little. Each
stage runs alone over all tiles, block by block, with as many threads as there are cores; the network with one.

Stages that overlap can be no faster than the slowest of them alone, nor than all processor time shared evenly among
the cores; where stages alone keep every core busy, the second is the bound. The seconds of the clock mean something
only where nothing else runs; processor time and its share on the busiest thread do under any load.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hmgdm_plugin.analysis.encode import TILES_PER_BATCH, encode_tiles
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import Slide, open_slide
from hmgdm_plugin.slide.tiling import tiles
from hmgdm_plugin.slide.tissue import find_tissue
from hmgdm_plugin.training.labelled import data_root
from hmgdm_plugin.zoo.load import LoadedModel, load

BLOCK = 8 * TILES_PER_BATCH
TIFF_TILE_PX = 256


def repeated(source: Path, target: Path, across: int, down: int) -> None:
    """Write `source` beside and below itself, so many times each way, as a tiled JPEG TIFF."""
    import tifffile

    with open_slide(source) as slide:
        frame = slide.frame
        rgb = slide.read_box(0.0, 0.0, frame.width_px, frame.height_px, frame.width_px, frame.height_px)
    shape = frame.height_px * down, frame.width_px * across, 3

    def pieces() -> Iterator[NDArray[np.uint8]]:
        for y in range(0, shape[0], TIFF_TILE_PX):
            rows = rgb[np.arange(y, y + TIFF_TILE_PX) % frame.height_px]
            for x in range(0, shape[1], TIFF_TILE_PX):
                yield np.ascontiguousarray(rows[:, np.arange(x, x + TIFF_TILE_PX) % frame.width_px])

    tifffile.imwrite(
        target, pieces(), shape=shape, dtype=np.uint8, tile=(TIFF_TILE_PX, TIFF_TILE_PX), photometric="rgb",
        compression="jpeg", compressionargs={"level": 85}, resolution=(1e4 / frame.mpp,) * 2, metadata=None,
        resolutionunit="CENTIMETER",
    )  # fmt: skip


class Clock:
    """Seconds by the clock, of all processors, and of the main thread, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, NDArray[np.float64]] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self._now()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, np.zeros(3)) + self._now() - start

    @staticmethod
    def _now() -> NDArray[np.float64]:
        return np.array([time.perf_counter(), time.process_time(), time.thread_time()])


def alone(slide: Slide, asked: list[Tile], model: LoadedModel, cores: int) -> dict[str, NDArray[np.float64]]:
    """Seconds of each stage, nothing beside it."""
    import torch

    from hmgdm_plugin.schema.graph import batched

    clock, settings = Clock(), model.card.graph
    with ThreadPoolExecutor(cores) as pool, torch.no_grad():
        for first in range(0, len(asked), BLOCK):
            block = asked[first : first + BLOCK]
            with clock("decode"):
                images = list(pool.map(lambda t: slide.read(t.x_px, t.y_px, t.side_px, t.size_px), block))
            with clock("graph"):
                graphs = list(pool.map(lambda rgb, t: build(rgb, t, slide.name, settings)[0], images, block))
            with clock("network"):
                for start in range(0, len(graphs), TILES_PER_BATCH):
                    latent = model.features(batched(graphs[start : start + TILES_PER_BATCH]))
                    embedding = model.encoder.embed(latent)
                    embedding.tokens(), embedding.pooled()
                    if model.novelty is not None:
                        model.novelty(latent)
    return clock.seconds


def together(slide: Slide, asked: list[Tile], model: LoadedModel) -> NDArray[np.float64]:
    """Seconds of the pipeline over all tiles."""
    clock = Clock()
    with clock("pipeline"):
        for _ in encode_tiles(slide, asked, model, Events()):
            pass
    return clock.seconds["pipeline"]


def least(run: Callable[[], Any], so_far: Any) -> Any:
    """The shorter by the clock of two runs, stage by stage."""
    found = run()
    if so_far is None:
        return found
    if isinstance(found, dict):
        return {stage: min(found[stage], so_far[stage], key=lambda t: float(t[0])) for stage in found}
    return min(found, so_far, key=lambda t: float(t[0]))


def table(slide: Slide, name: str, repeats: int) -> Iterator[str]:
    """Stages alone and together; what the bound is, and how near to it the pipeline comes."""
    import torch

    torch.set_num_threads(1)
    model, cores = load(name), os.cpu_count() or 1
    grid = model.card.graph
    asked = list(tiles(slide.frame, grid.mpp, grid.tile_px, tissue=find_tissue(slide)))
    stages = whole = None
    together(slide, asked[:BLOCK], model)  # kernels are compiled, files and memory are warm
    for _ in range(repeats):
        stages = least(lambda: alone(slide, asked, model, cores), stages)
        whole = least(lambda: together(slide, asked, model), whole)
    work = sum(seconds[1] for seconds in stages.values())
    yield f"| {len(asked)} tiles | seconds | processor s | tiles/s | share of the work |\n|---|---|---|---|---|"
    for stage, (clock_s, used_s, _) in {**stages, "pipeline": whole}.items():
        yield f"| {stage} | {clock_s:.2f} | {used_s:.2f} | {len(asked) / clock_s:.0f} | {used_s / work:.0%} |"
    slowest = max(stages, key=lambda stage: float(stages[stage][0]))
    longest_s, even_s = float(stages[slowest][0]), work / cores
    bound_s = max(longest_s, even_s)
    others_s = (whole[1] - whole[2]) / max(cores - 1, 1)
    yield (
        f"\nSlowest stage alone: {slowest}, {longest_s:.2f} s; all work shared evenly among {cores} cores:"
        f" {even_s:.2f} s; the pipeline {whole[0]:.2f} s. That is {longest_s / whole[0]:.0%} of the rate of the one,"
        f" {even_s / whole[0]:.0%} of the other, {bound_s / whole[0]:.0%} of the bound. Its main thread works"
        f" {whole[2]:.2f} s, the others {others_s:.2f} s: if nothing waited, {bound_s / max(whole[2], others_s):.0%}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the pipeline and its stages.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--model", default="hmgdm-small")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.tif"
        repeated(asked.slide, large, asked.times, asked.times)
        with open_slide(large) as slide:
            for line in table(slide, asked.model, asked.repeats):
                print(line, flush=True)


if __name__ == "__main__":
    main()
