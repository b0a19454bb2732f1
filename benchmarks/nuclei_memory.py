"""Most memory of `hmgdm nuclei` on slides of every size and shape, and what `--dry-run` said it would be.

    python -m benchmarks.nuclei_memory [SLIDE] [--sizes 1x1 2x2 4x2 2x4] [--workers 2]

The slide is repeated across and down in a temporary folder. Each run is the command itself in a process of its own,
pictures and GeoJSON included; the system says how much memory it held at most, and its processor time. That fewer
copies give the same files as before is what `SHA-256` is for: of the GeoJSON of each run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.pipeline import repeated
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.labelled import data_root


def command(slide: Path, results: Path, workers: int, *more: str) -> tuple[dict[str, Any], float, float]:
    """Run `hmgdm nuclei`: its result, the most megabytes that it held, and processor seconds."""
    line = [sys.executable, "-m", "hmgdm_plugin.cli", "nuclei", str(slide), "--results-dir", str(results), "--events"]
    with subprocess.Popen([*line, "--workers", str(workers), *more], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        last = json.loads(child.stdout.read().splitlines()[-1])
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(last)
    return last["result"], used.ru_maxrss * 1024 / 1e6, used.ru_utime + used.ru_stime


def table(path: Path, sizes: Sequence[str], workers: int) -> Iterator[str]:
    """One line for each size."""
    yield "| slide | pixels | tiles | nuclei | MB at most | dry run said | nuclei per processor second | SHA-256 |"
    yield "|---|---|---|---|---|---|---|---|"
    for size in sizes:
        across, down = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            large, results = Path(folder) / "large.tif", Path(folder) / "results"
            repeated(path, large, across, down)
            with open_slide(large) as slide:
                frame = slide.frame
            said, _, start_s = command(large, results, workers, "--dry-run")
            done, most_mb, used_s = command(large, results, workers)
            files = sorted(Path(done["geojson"]).iterdir())
            digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
        yield (
            f"| {size} | {frame.width_px:,} x {frame.height_px:,} | {said['tiles']} | {int(done['nuclei']):,} |"
            f" {most_mb:.0f} | {said['memory_mb']} | {int(done['nuclei']) / (used_s - start_s):.0f} | {digest[:12]} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Look for memory that grows with the slide.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--sizes", nargs="+", default=["1x1", "2x2", "4x2", "2x4"], help="copies across x down")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    for line in table(asked.slide, asked.sizes, asked.workers):
        print(line, flush=True)


if __name__ == "__main__":
    main()
