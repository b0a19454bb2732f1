"""Many slides: slides per hour with one worker and with two, where the time goes, and what going on after a kill costs.

    python -m benchmarks.batch [SLIDE] [--copies N] [--model NAME|FOLDER]

Copies of a slide are analysed by `hmgdm batch run` in new processes, start and imports included, with compiled kernels.
Processor time does not depend on what else the machine does, and says whether a second worker costs more than it gives.
The second part kills a run in the middle of one slide and takes the time until the same command has finished it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hmgdm_plugin.schema import run
from hmgdm_plugin.training.labelled import data_root

STAGES = ("tissue", "decode", "graph", "outlines", "network", "blocks", "pictures", "writing")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(source: Path, results: Path, model: str, workers: int) -> list[str]:
    """`hmgdm batch run`."""
    words = ["batch", "run", str(source), "--results-dir", str(results), "--model", model, "--workers", str(workers)]
    return [sys.executable, "-m", "hmgdm_plugin.cli", *words]


def seconds_of(words: list[str]) -> float:
    """Seconds of one process, start to end."""
    return timed(words)[0]


def timed(words: list[str]) -> tuple[float, float]:
    """Seconds of one process, start to end, and of processors that it and its workers used."""
    start_s, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start_s, used


def throughput(source: Path, place: Path, model: str, workers: int) -> tuple[str, float]:
    """A row of the table, and its seconds."""
    results = place / f"workers-{workers}"
    seconds, used = timed(command(source, results, model, workers))
    with (results / run.SUMMARY).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    area = sum(float(row["area_mm2"]) for row in rows)
    spent: Counter[str] = Counter()
    for path in results.glob(f"{run.slide_folder('*')}/{run.RECORD}"):
        spent.update(json.loads(path.read_text("utf-8"))["seconds"])
    whole = sum(spent[stage] for stage in STAGES)
    shares = " | ".join(f"{100 * spent[stage] / whole:.0f} %" for stage in STAGES)
    rates = f"{len(rows) / seconds * 3600:.0f} | {area / seconds * 60:.1f}"
    return f"| {workers} | {seconds:.1f} | {used:.1f} | {rates} | {shares} |", seconds


def resumed(slide: Path, place: Path, model: str) -> str:
    """How long one slide takes, and how long after it was killed with half of its blocks done."""
    source = place / "one"
    source.mkdir()
    (source / slide.name).symlink_to(slide)
    tiles = [*command(source, place / "whole", model, 1), "--overlap", "0.5"]  # four times the tiles: several blocks
    whole = seconds_of(tiles)
    again = [*command(source, place / "killed", model, 1), "--overlap", "0.5"]
    process = subprocess.Popen(again, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list((place / "killed").glob(f"{run.work_folder('*')}/block-*"))) < 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rest = seconds_of(again)
    return f"One slide with overlap 0.5: {whole:.1f} s; killed after its second block, finished in {rest:.1f} s more."


def _few(source: Path, folder: Path) -> Path:
    """Two of the slides, for a first run that compiles what is compiled once."""
    folder.mkdir()
    for path in sorted(source.iterdir())[:2]:
        (folder / path.name).symlink_to(path)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description="Time batches.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--copies", type=int, default=24)
    parser.add_argument("--model", default="hmgdm-small")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        source = place / "slides"
        source.mkdir()
        for number in range(asked.copies):
            shutil.copy(asked.slide, source / f"copy {number}{asked.slide.suffix}")
        seconds_of(command(_few(source, place / "few"), place / "warm", asked.model, 2))
        print(f"| workers | seconds | CPU seconds | slides/hour | mm²/minute | {' | '.join(STAGES)} |")
        print("|---|" + "---|" * (len(STAGES) + 4), flush=True)
        seconds = {}
        for workers in (1, 2):
            row, seconds[workers] = throughput(source, place, asked.model, workers)
            print(row, flush=True)
        ratio = f"Two workers are {seconds[1] / seconds[2]:.2f} times as fast as one on {asked.copies} slides."
        print(f"\n{ratio} Cores: {os.cpu_count()}.", flush=True)
        print(resumed(asked.slide.resolve(), place, asked.model))


if __name__ == "__main__":
    main()
