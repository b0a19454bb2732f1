"""Nuclei of a slide against the clock: what each stage costs, and what stardist's own way costs on the same tiles.

    python -m benchmarks.nuclei_speed SLIDE [--model NAME|FOLDER] [--workers 1 2] [--keras FOLDER]

Seconds of stages are processor time of the thread that did the work, so another load on the machine does not count;
nuclei per second are by the clock. `--keras` names a folder of the stardist package's own model (config.json and
weights), run by the package where TensorFlow is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hmgdm_plugin.analysis.counted import Counted
from hmgdm_plugin.analysis.detector import Search, detector, searched
from hmgdm_plugin.qupath.geojson import write_parts
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.zoo.detector import load_stardist

STAGES = ("tissue", "limits", "decode", "network", "haematoxylin", "overlaps", "outlines", "objects")


class _ByThread(Events):
    """Counts processor time of the calling thread instead of time by the clock."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start_s = time.thread_time()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.thread_time() - start_s


def ours(search: Search, workers: int, folder: Path) -> tuple[_ByThread, int, float]:
    """Seconds by stage, nuclei and seconds by the clock of one run that writes its GeoJSON."""
    events, counted = _ByThread(), Counted(search)
    start_s, own_s = time.perf_counter(), time.thread_time()
    found = (feature for block in search.found(events, workers) for feature in counted.features(block))
    write_parts(lambda part: folder / f"{part}.geojson.gz", found, search.slide.frame)
    wall_s, main_s = time.perf_counter() - start_s, time.thread_time() - own_s
    events.seconds["objects"] = main_s - events.seconds["outlines"]
    return events, len(counted), wall_s


def stardists_way(search: Search, model: str) -> tuple[float, int]:
    """Processor seconds and nuclei: the same tiles read, float32, each for itself, as the package's tutorials do."""
    stars, scale, count = load_stardist(model), search.cores.scale, 0
    start_s = time.process_time()
    for place in search.places:
        left, top, right, bottom = search.cores.box(place)
        x, y = search.cores.to_slide([left, top])
        width, height = right - left, bottom - top
        rgb = search.slide.read_box(x, y, width * scale, height * scale, width, height)
        count += len(stars.predict(rgb, search.limits))
    return time.process_time() - start_s, count


def the_package(search: Search, folder: Path, repeats: int) -> tuple[float, float, int]:
    """Processor seconds, seconds by the clock, and nuclei of the stardist package with TensorFlow, on the same tiles.

    The least of some repeats: in the first, TensorFlow compiles.
    """
    import numpy as np
    from stardist.models import StarDist2D

    model, settings = StarDist2D(None, name=folder.name, basedir=str(folder.parent)), search.detector.card.detector
    asked = {"prob_thresh": settings.prob_threshold, "nms_thresh": settings.nms_threshold}
    scale, (low, high) = search.cores.scale, search.limits
    found = []
    for _ in range(repeats):
        used_s, start_s, count = time.process_time(), time.perf_counter(), 0
        for place in search.places:
            left, top, right, bottom = search.cores.box(place)
            x, y = search.cores.to_slide(np.array([left, top]))
            width, height = right - left, bottom - top
            rgb = search.slide.read_box(x, y, width * scale, height * scale, width, height)
            count += len(model.predict_instances((rgb - low) / (high - low), **asked)[1]["prob"])
        found.append((time.process_time() - used_s, time.perf_counter() - start_s, count))
    return min(found)


def report(slide: Path, model: str, workers: list[int], keras: Path | None, repeats: int) -> Iterator[str]:
    """The table, line by line."""
    torch.set_num_threads(1)
    before = _ByThread()
    with open_slide(slide) as opened, tempfile.TemporaryDirectory() as name:
        search = searched(opened, detector(model, "cpu", "auto", before), None, before)
        precision = str(search.detector.stars.dtype).removeprefix("torch.")
        runs = {n: [ours(search, n, Path(name)) for _ in range(repeats)] for n in workers}
        events, count, _ = min(runs[workers[0]], key=lambda run: sum(run[0].seconds.values()))
        seconds = {**before.seconds, **events.seconds}
        total = sum(seconds[stage] for stage in STAGES)
        card = search.detector.card
        yield f"{slide.name}: {len(search.places)} tiles, {count} nuclei, {card.name} {card.version}, {precision}\n"
        yield "| stage | processor s | share |\n|---|---|---|"
        yield from (f"| {stage} | {seconds[stage]:.2f} | {seconds[stage] / total:.0%} |" for stage in STAGES)
        yield f"| together | {total:.2f} | {count / total:.0f} nuclei per processor second |"
        for n in workers:
            best_s = min(wall_s for _, _, wall_s in runs[n])
            yield f"| {n} worker{'s' * (n > 1)}, by the clock | {best_s:.2f} | {count / best_s:.0f} nuclei/s |"
        plain_s, plain = stardists_way(search, str(search.detector.folder))
        yield f"| tile by tile in float32, no objects | {plain_s:.2f} | {count / plain_s:.0f} of these nuclei/s |"
        yield f"\nTile by tile there are {plain} nuclei: those in the margins of two tiles twice."
        if keras is not None and importlib.util.find_spec("tensorflow"):
            theirs_s, clock_s, theirs = the_package(search, keras, repeats)
            yield (
                f"\nThe stardist package with TensorFlow, tile by tile, no objects: {theirs_s:.2f} processor s,"
                f" {clock_s:.2f} s by the clock, {theirs} nuclei."
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the search for nuclei on a slide.")
    parser.add_argument("slide", type=Path)
    parser.add_argument("--model", default="nuclei-stardist-he")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keras", type=Path)
    arguments = parser.parse_args()
    for line in report(arguments.slide, arguments.model, arguments.workers, arguments.keras, arguments.repeats):
        print(line, flush=True)


if __name__ == "__main__":
    main()
