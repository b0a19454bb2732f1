"""How long the main job takes on a slide, cold and warm, and where the time goes.

    python -m benchmarks.predict [SLIDE] [--model NAME|FOLDER]

Cold: a new process whose compiled kernels are not cached yet. Warm: a new process with the cache. Both start Python,
import, load and verify the model, and write every file. The yardstick reads the same tiles with tiffslide and cuts
them with scikit-image's SLIC and adjacency, in this process, without any network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hmgdm_plugin.training.labelled import data_root

STAGES = ("model", "tissue", "decode", "graph", "outlines", "network", "explain", "pictures", "writing")


def run(arguments: list[str], environment: Mapping[str, str]) -> float:
    """Seconds of one `hmgdm` process, start to end."""
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "hmgdm_plugin.cli", *arguments], env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - start_s


def verbs(slide: Path, model: str, folder: Path) -> list[str]:
    """Rows of the table for both verbs, together and apart, each cold and warm."""
    rows = []
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "numba"), "OMP_NUM_THREADS": "1"}
    asked = (("predict --explain", "run.json"), ("predict", "run.json"), ("explain", "run-explain.json"))
    for verb, record in asked:
        for state in ("cold", "warm", "warm"):
            if state == "cold":
                shutil.rmtree(folder / "numba", ignore_errors=True)
            results = folder / f"{verb}-{state}"
            seconds = run(
                [*verb.split(), str(slide), "--model", model, "--results-dir", str(results), "--overwrite"], environment
            )
            facts = json.loads((results / record).read_text("utf-8"))["seconds"]
            tiles = json.loads((folder / "tiles.json").read_text("utf-8"))
            parts = [f"{facts.get(stage, 0.0):.2f}" for stage in STAGES]
            rows.append(f"| {verb}, {state} | {seconds:.1f} | {tiles / seconds:.1f} | {' | '.join(parts)} |")
    return rows


def yardstick(slide: Path, folder: Path) -> str:
    """The obvious way for the same tiles: tiffslide, scikit-image's SLIC and adjacency."""
    import numpy as np
    from skimage.graph import rag_mean_color
    from skimage.segmentation import slic
    from tiffslide import TiffSlide

    from hmgdm_plugin.slide.reader import open_slide
    from hmgdm_plugin.slide.tiling import tiles
    from hmgdm_plugin.slide.tissue import find_tissue

    with open_slide(slide) as opened:
        asked = list(tiles(opened.frame, 0.5, 256, tissue=find_tissue(opened)))
    (folder / "tiles.json").write_text(json.dumps(len(asked)), "utf-8")
    start_s = time.perf_counter()
    with TiffSlide(slide) as raw:
        images = [np.asarray(raw.read_region((int(t.x_px), int(t.y_px)), 0, (256, 256)).convert("RGB")) for t in asked]
    read_s = time.perf_counter()
    for image in images:
        rag_mean_color(image, slic(image, 64, compactness=20, sigma=1, start_label=0))
    end_s = time.perf_counter()
    return (
        f"Yardstick, {len(asked)} tiles: tiffslide {read_s - start_s:.2f} s, "
        f"scikit-image SLIC and adjacency {end_s - read_s:.2f} s (one thread)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the main job on a slide.")
    parser.add_argument("slide", type=Path, nargs="?", default=data_root() / "wsi" / "CMU-1-Small-Region.svs")
    parser.add_argument("--model", default="hmgdm-small")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        obvious = yardstick(asked.slide, folder)
        rows = verbs(asked.slide, asked.model, folder)
        help_s = min(run(["--help"], os.environ) for _ in range(3))
    print(f"| {asked.slide.name} | seconds | tiles/s | {' | '.join(STAGES)} |")
    print("|---|" + "---|" * (len(STAGES) + 2))
    print("\n".join(rows))
    print(f"\nSeconds inside a stage are summed over threads, so that they may exceed the whole. {obvious}.")
    print(f"hmgdm --help: {help_s:.2f} s. Cores: {os.cpu_count()}.")


if __name__ == "__main__":
    main()
