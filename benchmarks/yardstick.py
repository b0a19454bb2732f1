"""The yardstick on the shared data: any embeddings of its tiles, judged by patient.

    python -m benchmarks.yardstick --cache DIR [--embedding NAME=FILE.npz …] [--reference statistics]

`FILE.npz` holds `x` (tiles, d) in the order of `benchmarks.tiles.build`; baseline (a), `statistics`, is always there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.squares import SIZE_PX
from benchmarks.tiles import build
from hmgdm_plugin.analysis.squares import read_squares
from hmgdm_plugin.evaluation.judging import evaluate, markdown
from hmgdm_plugin.schema.evaluation import YardstickSettings
from hmgdm_plugin.training.labelled import LabelledTile, data_root
from hmgdm_plugin.training.statistics import names, statistics_of

TASKS = (
    YardstickSettings(name="log count", label="count", kind="regression", transform="log1p", unit="nuclei"),
    YardstickSettings(name="log area", label="area", kind="regression", transform="log", unit="um2"),
    YardstickSettings(name="nuclear fraction", label="fraction", kind="regression", unit="share"),
    YardstickSettings(name="organ", label="organ", kind="classification", least=6),
    YardstickSettings(name="benign", label="benign", kind="classification", folds=4),
)


def table(
    embeddings: Mapping[str, NDArray[np.floating]], tiles: Sequence[LabelledTile], reference: str | None = None
) -> str:
    """The table of `embeddings` (name > (tiles, d)) on every task whose label some tile has."""
    tasks = [task for task in TASKS if any(task.label in tile.labels for tile in tiles)]
    return markdown(evaluate(embeddings, tiles, tasks, reference))


def baseline_statistics(tiles: Sequence[LabelledTile], cache: Path) -> NDArray[np.float32]:
    """Baseline (a) of the tiles, (tiles, 130), computed once and kept in the folder `cache`."""
    what = [(t.labels.get("pixels", str(t.image)), t.x_px, t.y_px, t.side_px) for t in tiles]
    path = cache / f"statistics-{hashlib.sha256(repr((names(), what)).encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial_path, x=statistics_of(read_squares(tiles, SIZE_PX)))
        os.replace(partial_path, path)
    return np.load(path, allow_pickle=False)["x"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge frozen embeddings by patient.")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the statistics, outside the repository")
    parser.add_argument("--embedding", action="append", default=[], metavar="NAME=FILE.npz")
    parser.add_argument("--reference", default="statistics")
    arguments = parser.parse_args()
    tiles = build(data_root())
    embeddings: dict[str, NDArray[np.floating]] = {"statistics": baseline_statistics(tiles, arguments.cache)}
    for name, _, path in (text.partition("=") for text in arguments.embedding):
        embeddings[name] = np.load(path, allow_pickle=False)["x"]
    start = time.perf_counter()
    print(table(embeddings, tiles, arguments.reference))
    print(f"\n{len(embeddings)} embeddings of {len(tiles)} tiles judged in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
