"""The one place that spells output names, and how a file is written: whole or not at all.

Slide names never become paths unchecked: `safe_name` sees to that.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

RECORD, REPORT, SUMMARY = "run.json", "report.html", "summary.csv"
METRICS_JSON, METRICS_CSV, PREDICTIONS, RESOLVED = "metrics.json", "metrics.csv", "predictions.csv", "settings.toml"
RISK_WEIGHTS, RISK_FACTS = "model/weights.safetensors", "model/risk.json"
HELD_OUT = "held-out.csv"
EVALUATION_PAGE, EVALUATION_CSV, EVALUATION_PNG = "evaluation.md", "evaluation.csv", "evaluation.png"
EXPLAIN_RECORD, EXPLAIN_REPORT = "run-explain.json", "explain.html"
GEOJSON = "geojson"
BATCH, FAILURES, SLIDE, DIFFERENCES = "batch.json", "failures.csv", "slide.json", "differences.csv"
_DISK = {errno.ENOSPC: "the disk is full", errno.EROFS: "the disk is read-only", errno.EDQUOT: "the quota is used up"}


def tiles_geojson(slide: str) -> str:
    """Tiles with their predictions, for QuPath."""
    return f"geojson/{slide}/tiles-part-0001.geojson.gz"


def entities_geojson(slide: str, part: int = 1) -> str:
    """Entities with their importance, for QuPath, in parts of 50,000 at most."""
    return f"geojson/{slide}/entities-part-{part:04d}.geojson.gz"


def explained_geojson(slide: str, part: int = 1) -> str:
    """Entities and contacts with every importance that `explain` computes."""
    return f"geojson/{slide}/explained-part-{part:04d}.geojson.gz"


def nuclei_geojson(slide: str, part: int = 1) -> str:
    """Nuclei with their measurements, in parts of 50,000 at most."""
    return f"geojson/{slide}/nuclei-part-{part:04d}.geojson.gz"


def columns_npz(slide: str, what: str) -> str:
    """`what` (tiles, entities, explained, nuclei) as columns, which QuPath's scripts read fastest."""
    return f"columns/{slide}/{what}.npz"


def features_h5(slide: str) -> str:
    """Tile and entity embeddings."""
    return f"features/{slide}.h5"


def overlay_png(slide: str, what: str) -> str:
    """A picture of `what` (prediction, importance, components, clusters, curves) on the tissue."""
    return f"overlays/{slide}-{what}.png"


def report_html(slide: str) -> str:
    """The report of one slide of several."""
    return f"reports/{slide}.html"


def explain_html(slide: str, several: bool = False) -> str:
    """The page of `explain`, for one slide or one of several."""
    return f"reports/{slide}-explain.html" if several else EXPLAIN_REPORT


def curves_json(slide: str) -> str:
    """Deletion and insertion curves as numbers."""
    return f"overlays/{slide}-curves.json"


def heatmap_tiff(slide: str) -> str:
    """The heat map as float32 values, one page per quantity."""
    return f"overlays/{slide}-heatmap.tif"


def state_json(slide: str) -> str:
    """What became of one slide of a batch."""
    return f"states/{slide}.json"


def claim_json(slide: str, number: int) -> str:
    """Who works on a slide of a batch; the highest number counts."""
    return f"{work_folder(slide)}/claim-{number:06d}"


def slide_folder(slide: str) -> str:
    """The run folder of one slide of a batch."""
    return f"slides/{slide}"


def work_folder(slide: str) -> str:
    """Where a slide of a batch is worked on; gone when it is done."""
    return f"work/{slide}"


BLOCKS = "block-*.safetensors"


def block_file(number: int) -> str:
    """Encoded tiles of a slide that is being worked on."""
    return f"block-{number:05d}.safetensors"


def nuclei_block_file(number: int) -> str:
    """Nuclei found on a slide that is being worked on; one of `BLOCKS` too."""
    return f"block-nuclei-{number:05d}.safetensors"


def slide_log(slide: str) -> str:
    """What went wrong unforeseen on a slide of a batch."""
    return f"logs/{slide}.log"


def contact_sheet(number: int) -> str:
    """Overlays of many slides on one page, from 1."""
    return f"contact-sheets/{number:03d}.png"


GRAPHS, LATENTS = "graphs", "latents"  # folders of shards


def curve_csv(stage: str) -> str:
    """Losses of a stage of pre-training, step by step."""
    return f"{stage}.csv"


def evaluation_csv(stage: str) -> str:
    """What a stage of pre-training reached on fixed graphs, by noise level."""
    return f"{stage}-evaluation.csv"


def curve_png(stage: str) -> str:
    """Both as a picture."""
    return f"{stage}.png"


def figure_png(what: str) -> str:
    """A figure of a study: kaplan-meier, auc, brier, confusion, reliability."""
    return f"figures/{what}.png"


def model_folder(name: str) -> str:
    """A model that a study has made."""
    return f"model/{name}"


def contributions_csv(slide: str) -> str:
    """What each tile of a slide adds to the log-risk of its patient."""
    return f"contributions/{slide}.csv"


def density_tiff(slide: str) -> str:
    """Nuclei per square millimetre as float32 values."""
    return f"overlays/{slide}-nuclear-density.tif"


def nuclei_training(name: str) -> str:
    """Folder of one training of a nucleus detector, as stardist writes it."""
    return f"stardist/{name}"


def safe_name(text: str) -> str:
    """`text` as a file name: letters, digits, ``._-`` only, never hidden, at most 80 characters."""
    return re.sub(r"[^\w.-]+", "_", text).lstrip(".")[:80] or "slide"


@contextmanager
def writing(where: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into one sentence with its fix."""
    try:
        yield
    except BrokenPipeError:  # a reader who left, not a disk
        raise
    except OSError as error:
        where = next((p.parent for p in (where, *where.parents) if p.name.startswith(".partial-")), where)
        reason = _DISK.get(error.errno or 0, os.strerror(error.errno) if error.errno else str(error))
        fix = "free some space or give another --results-dir"
        raise InputError(f"{where}: cannot be written ({reason})", fix) from error


def write_whole(path: Path, text: str) -> None:
    """Write `text` to the disk beside `path`, then rename: after a power cut there is the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
