"""Large imports into a real QuPath: how long the window stands still.

    PAQUO_QUPATH_DIR=… python -m benchmarks.viewer FOLDER [--objects 500000 100000] [--pan]

Makes a slide of 32,768 pixels squared and a results folder of each size in FOLDER, once. Then opens QuPath on a virtual
screen, imports each from the menu in the order given (the second takes the place of the first) and prints, for each:
seconds until all is drawn, the longest time that the window answered nothing, and what it did then. With ``--pan`` the
slide is moved all the while, and the longest time that the picture stood still is measured, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray

from hmgdm_plugin.qupath.columns import write_columns
from hmgdm_plugin.qupath.geojson import Feature
from hmgdm_plugin.qupath.ids import object_id, run_tag
from hmgdm_plugin.schema.space import Frame
from hmgdm_plugin.slide.reader import open_slide

from .screen import open_qupath, virtual_screen

REPO = Path(__file__).resolve().parents[1]
SIDE_PX, TILE_PX, POINTS, MPP = 32_768, 256, 24, 0.5


def slide_in(folder: Path) -> Path:
    """A pyramid of noise on JPEG tiles."""
    path = folder / "large.tif"
    if path.exists():
        return path
    noise = np.random.default_rng(0).integers(200, 255, (TILE_PX, TILE_PX, 3), np.uint8)
    partial = path.with_suffix(".partial")
    with tifffile.TiffWriter(partial, bigtiff=True) as file:
        side, per_cm = SIDE_PX, 1e4 / MPP
        while side >= 1024:
            tiles = (noise for _ in range((side // TILE_PX) ** 2))
            file.write(
                tiles,
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                photometric="rgb",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subfiletype=int(side < SIDE_PX),
                metadata=None,
            )
            side, per_cm = side // 2, per_cm / 2
    partial.rename(path)
    return path


def nuclei(count: int) -> Iterator[Feature]:
    """Outlines on a grid over the whole slide, with five measurements each."""
    rng = np.random.default_rng(1)
    columns = int(np.ceil(np.sqrt(count)))
    step = SIDE_PX / columns
    angle = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    unit = np.c_[np.cos(angle), 0.8 * np.sin(angle)]
    tag = run_tag("benchmark")
    for k in range(count):
        radius = step * (0.3 + 0.1 * rng.random())
        ring: NDArray[np.float64] = np.array([k % columns + 0.5, k // columns + 0.5]) * step + radius * unit
        numbers = {"area µm²": 2.5 * radius**2 * MPP**2, "hematoxylin": rng.random(), "roundness": 0.8}
        numbers |= {"probability": 0.9, "eosin": k / count}
        yield Feature(
            object_id(tag, "large", "nucleus", str(k)),
            shapely.Polygon(ring),
            "detection",
            "nucleus",
            "HMGDM: Nucleus",
            (0, 114, 178),
            {f"HMGDM: {name}": value for name, value in numbers.items()},
        )


def results_in(folder: Path, slide: Path, count: int) -> Path:
    """A results folder as `hmgdm nuclei` leaves it, with `count` objects."""
    out = folder / f"results-{count}"
    if (out / "run.json").exists():
        return out
    frame = Frame(SIDE_PX, SIDE_PX, MPP, (0, 0, SIDE_PX, SIDE_PX))
    (out / "columns" / "large").mkdir(parents=True, exist_ok=True)
    write_columns(out / "columns" / "large" / "nuclei.npz", nuclei(count), frame)
    with open_slide(slide) as opened:
        facts = {"path": str(slide), "fingerprint": opened.fingerprint(), "bounds_px": [0, 0, SIDE_PX, SIDE_PX]}
    record = {
        "verb": "nuclei",
        "options": {"regions": None},
        "finished": "2026-01-01T00:00:00",
        "slides": {"large": facts},
    }
    (out / "run.json").write_text(json.dumps(record), "utf-8")
    return out


def main() -> None:
    """Make what is not there yet, open QuPath, print what its driver found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--objects", type=int, nargs="+", default=[500_000, 100_000])
    parser.add_argument("--pan", action="store_true")
    parser.add_argument("--prepare", action="store_true", help="make the files and stop")
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    slide = slide_in(folder)
    results = [results_in(folder, slide, count) for count in asked.objects]
    if asked.prepare:
        return
    shutil.rmtree(folder / "prefs", ignore_errors=True)
    named = {"scripts": REPO / "qupath_scripts", "slide": slide, "out": folder, "pan": asked.pan}
    named |= {"results": ",".join(map(str, results))}
    options = {f"hmgdm.bench.{key}": value for key, value in named.items()}
    options |= {"qupath.startup.script": REPO / "benchmarks" / "viewer.groovy"}
    options |= {"java.util.prefs.userRoot": folder / "prefs"}
    with virtual_screen() as screen, (folder / "log.txt").open("w") as log:
        open_qupath(screen, options, timeout_s=1500, log=log)
    print((folder / "figures.txt").read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
