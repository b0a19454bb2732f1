"""How long the entity graph of a tile takes, step by step, beside the obvious way.

    python -m benchmarks.graph [SLIDE] [--tiles 8] [--repeats 5]

Steps are timed as processor time of one thread, the least of some repeats, the mean over tiles: other work on the
machine disturbs that least. The obvious way is scikit-image's SLIC, region adjacency graph and hierarchical merging,
scipy's dilations, masked crops reduced by Pillow, and outlines put together by shapely from scikit-image's contours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks import obvious
from hmgdm_plugin.graph.adjacency import bands, edge_list, regions
from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.colour import blur, planes_of
from hmgdm_plugin.graph.descriptors import describe, planes_for
from hmgdm_plugin.graph.merging import merge
from hmgdm_plugin.graph.outlines import outlines
from hmgdm_plugin.graph.superpixels import slic
from hmgdm_plugin.graph.windows import cut_windows
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.slide.reader import Slide, open_slide
from hmgdm_plugin.slide.tiling import tiles
from hmgdm_plugin.slide.tissue import find_tissue
from hmgdm_plugin.training.labelled import data_root

STEPS = ("superpixels", "merging", "adjacency", "windows", "descriptors", "whole graph", "outlines")
Rgb = NDArray[np.uint8]


def ours(rgb: Rgb, tile: Tile, settings: GraphSettings) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Steps with what does them; each may read what the ones before it left."""
    kept: dict[str, Any] = {}

    def superpixels() -> None:
        kept["planes"] = planes_of(rgb)
        lab = blur(kept["planes"][:3], settings.blur_sigma_px)
        kept["first"] = slic(lab, settings.segments, settings.compactness, settings.iterations)

    def merging() -> None:
        kept["labels"], kept["count"] = merge(rgb, *kept["first"], settings.merge_threshold, settings.min_area_px)

    def adjacency() -> None:
        edges = edge_list(kept["labels"], kept["count"])
        own, shared = regions(kept["labels"], kept["count"]), bands(kept["labels"], edges, kept["count"], 5)
        kept["members"] = own, shared

    def windows() -> None:
        for members in kept["members"]:
            cut_windows(rgb, members, settings.window_px, settings.stored_px, settings.fill_rgb)

    def descriptors() -> None:
        smooth, coded = planes_for(rgb, kept["planes"])
        for members in kept["members"]:
            describe(smooth, coded, members)

    yield from zip(STEPS[:5], (superpixels, merging, adjacency, windows, descriptors), strict=True)
    yield "whole graph", lambda: build(rgb, tile, "slide", settings)
    yield "outlines", lambda: outlines(kept["labels"], kept["count"], tile)


def timed(steps: Iterator[tuple[str, Callable[[], Any]]], repeats: int) -> dict[str, float]:
    """Milliseconds of processor time of each step, the least of `repeats`."""
    found = {}
    for name, step in steps:
        least = float("inf")
        for _ in range(repeats):
            start_ns = time.thread_time_ns()
            step()
            least = min(least, (time.thread_time_ns() - start_ns) / 1e6)
        found[name] = least
    return found


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of each step over tiles."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@njit(nogil=True)
def _plain(light, red, blue, place, evaluations, out):  # type: ignore[no-untyped-def]
    """As many squared distances in colour and place as SLIC takes, and nothing else."""
    for number in range(evaluations):
        c = np.float32(number)
        for k in range(out.size):
            dl, da, db, d = light[k] - c, red[k] - c, blue[k] - c, place[k] - c
            out[k] = min(out[k], dl * dl + da * da + db * db + c * d * d + c * d * d)


def limit_ms(size_px: int, evaluations: int, repeats: int = 9) -> float:
    """Milliseconds that `evaluations` distances per pixel cost in themselves; rows that stay in the first cache."""
    row = np.zeros((5, 2048), np.float32)
    _plain(*row[:4], 1, row[4])
    step = timed(iter([("plain", lambda: _plain(*row[:4], evaluations, row[4]))]), repeats)
    return step["plain"] * size_px**2 / row.shape[1]


def speed(images: list[Rgb], settings: GraphSettings, threads: int) -> float:
    """Whole graphs per second with so many threads."""
    size = images[0].shape[0]
    tile = Tile(0.0, 0.0, float(size), size, settings.mpp)
    with ThreadPoolExecutor(threads) as pool:
        best = 0.0
        for _ in range(3):
            start_s = time.perf_counter()
            list(pool.map(lambda rgb: build(rgb, tile, "slide", settings), images * 4))
            best = max(best, 4 * len(images) / (time.perf_counter() - start_s))
    return best


def steps_table(slide: Slide, size_px: int, count: int, repeats: int) -> str:
    """Milliseconds per tile of each step, ours and the obvious way."""
    settings = GraphSettings(tile_px=size_px, segments=64 * (size_px // 256) ** 2)
    found = list(tiles(slide.frame, settings.mpp, size_px, tissue=find_tissue(slide)))
    images = [np.ascontiguousarray(slide.read(t.x_px, t.y_px, t.side_px, t.size_px)) for t in found]
    images = images[:: max(len(images) // count, 1)][:count]
    tile = Tile(0.0, 0.0, float(size_px), size_px, settings.mpp)
    build(images[0], tile, "slide", settings)
    fast = means([timed(ours(rgb, tile, settings), repeats) for rgb in images])
    few = images[:3] if size_px == 256 else images[:1]
    slow = means([timed(obvious.steps(rgb, settings), 1) for rgb in few])
    alone = slow["superpixels"] + slow["graph of superpixels"]
    slow["merging"] += slow["graph of superpixels"]
    slow["whole graph"] = sum(slow[name] for name in STEPS[:5])
    rows = [f"| {size_px} px, {len(images)} tiles | ours, ms | the obvious way, ms | ratio |", "|---|---|---|---|"]
    rows += [f"| {name} | {fast[name]:.2f} | {slow[name]:.0f} | {slow[name] / fast[name]:.0f} |" for name in STEPS]
    least = limit_ms(size_px, settings.iterations * 9)
    rows.append(
        f"\nscikit-image's SLIC and RAG alone: {alone:.0f} ms, {alone / fast['whole graph']:.0f} times our whole graph."
        f" The distances that SLIC evaluates cost {least:.2f} ms in themselves. Whole graphs per second,"
        f" 1 and 2 workers: {speed(images, settings, 1):.0f} and {speed(images, settings, 2):.0f}.\n"
    )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the steps of entity graphs.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--tiles", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    with open_slide(asked.slide) as slide:
        for size_px in (256, 512):
            print(steps_table(slide, size_px, asked.tiles, asked.repeats))


if __name__ == "__main__":
    main()
