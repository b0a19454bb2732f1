"""Memory of a worker over many slides, out of the samples that the fault suite keeps: a table by tenths, and a picture.

    HMGDM_FAULTS_KEEP=FOLDER python -m tests.faults.full -k every_good
    python -m benchmarks.memory FOLDER/memory.csv [PICTURE.png]

What must not grow is the level on which the curve runs once every kind of slide has been seen.
"""

from __future__ import annotations

import argparse
import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgdm_plugin.report.lines import curves


def columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Seconds, slides done, MB of the worker and of the process above it."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def table(samples: dict[str, NDArray[np.float64]]) -> list[str]:
    """Most and median memory while each tenth of the slides was done."""
    slides = samples["slides"]
    edges = np.linspace(0, slides.max(), 11)
    lines = ["| slides | worker, MB at most | median | process above it, MB at most |", "|---|---|---|---|"]
    for low, high in pairwise(edges):
        own = (slides >= low) & (slides < high) & (samples["worker_mb"] > 0)
        worker, above = samples["worker_mb"][own], samples["parent_mb"][own]
        if own.any():
            lines.append(
                f"| {low:.0f} to {high:.0f} | {worker.max():.0f} | {np.median(worker):.0f} | {above.max():.0f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory over many slides.")
    parser.add_argument("samples", type=Path)
    parser.add_argument("picture", type=Path, nargs="?")
    asked = parser.parse_args()
    samples = columns(asked.samples)
    print("\n".join(table(samples)))
    busy = samples["worker_mb"] > 0
    done, worker = samples["slides"][busy], samples["worker_mb"][busy]
    later = done >= done.max() / 10
    slope = np.polyfit(done[later], worker[later], 1)[0]
    print(f"From a tenth of the slides on: {1000 * slope:+.1f} MB per 1,000 slides by a line through all samples.")
    if asked.picture:
        series = {"worker": worker.tolist(), "process above it": samples["parent_mb"][busy].tolist()}
        curves(asked.picture, done.tolist(), series, "Memory over a batch", "slides done", "MB")


if __name__ == "__main__":
    main()
