"""Labelled tiles of the shared data at 0.5 um per pixel, 256 px: what every embedding is judged on.

    python -m benchmarks.tiles tiles.csv [--sources monuseg tnbc breakhis crchisto histolytics]

Labels: `count` (nuclei with their centroid in the tile), `density` (per square millimetre), `area` and `eccentricity`
(median um2 and median of those nuclei), `fraction` (share of nuclear pixels), `organ`, `benign`; types of nuclei as in
`benchmarks.typed`. `annotation` says how good the nuclei are: `instances` (true), `watershed` (MoNuSeg's other 17
images), `components` (TNBC: touching nuclei may be one), `centres` (CRCHisto), `model` (histolytics). BreakHis is taken
as 0.65 um per pixel, an estimate.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.squares import Labeller, centre_labels, cut, inside
from benchmarks.typed import crchisto, histolytics
from hmgdm_plugin.training.labelled import LabelledTile, Labels, data_root, rows_of, write_csv


def build(root: Path, sources: Iterable[str] = ("monuseg", "tnbc", "breakhis")) -> list[LabelledTile]:
    """All tiles of the named sources: MoNuSeg 480, TNBC 50, BreakHis 2,608, CRCHisto 400, histolytics 72."""
    return [tile for source in sources for tile in SOURCES[source](root)]


def monuseg(root: Path) -> Iterator[LabelledTile]:
    """16 overlapping tiles of each of the 30 images; true instances where they exist, else the watershed ones."""
    folder = root / "nuc_monuseg_train"
    for row in rows_of(folder / "index.csv"):
        true = row["annotation"] == "instances"
        nuclei = folder / ("labels" if true else "labels_pseudo") / f"{Path(row['file']).stem}.npz"
        fixed: Labels = {"organ": row["organ"], "annotation": "instances" if true else "watershed"}
        slide = "-".join(row["file"].split("-")[:6]).removesuffix(".png")
        image = folder / "images" / row["file"]
        yield from cut(image, 0.25, 4, 4, "monuseg", row["patient"], slide, fixed, nucleus_labels(nuclei, 0.25))


def tnbc(root: Path) -> Iterator[LabelledTile]:
    """One tile of each of the 50 images."""
    folder = root / "nuc_tnbc"
    for row in rows_of(folder / "index.csv"):
        nuclei = nucleus_labels(folder / "labels" / f"{Path(row['file']).stem}.npz", 0.25)
        image = folder / "images" / row["file"]
        yield from cut(image, 0.25, 1, 1, "tnbc", row["patient"], row["patient"], {"annotation": "components"}, nuclei)


def breakhis(root: Path) -> Iterator[LabelledTile]:
    """4 x 2 tiles of each of the 326 images."""
    folder = root / "cls_breakhis100x"
    for row in rows_of(folder / "labels.csv"):
        fixed: Labels = {"benign": float(row["label"] == "benign")}
        yield from cut(folder / "images" / row["file"], 0.65, 4, 2, "breakhis", row["patient"], row["slide"], fixed)


def nucleus_labels(path: Path, mpp: float) -> Labeller:
    """Labeller of tiles from an instance map: count, density, median area and eccentricity, fraction."""
    instances = np.load(path, allow_pickle=False)["label"]
    centres, area_px, eccentricity = shapes(instances)
    area_um2 = area_px * mpp**2
    counted = centre_labels(centres, instances.shape, mpp)

    def label(x_px: float, y_px: float, side_px: float) -> Labels:
        own = inside(centres, x_px, y_px, side_px)
        box = [slice(max(round(v), 0), round(v + side_px)) for v in (y_px, x_px)]
        found: Labels = {"fraction": float((instances[tuple(box)] > 0).mean())}
        if own.any():
            found["area"] = float(np.median(area_um2[own]))
            found["eccentricity"] = float(np.median(eccentricity[own]))
        return {**counted(x_px, y_px, side_px), **found}

    return label


def shapes(instances: NDArray[np.integer]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centroids (n, 2), areas (n,) in pixels and eccentricities (n,) of the instances of a label map, 0 being none.

    Eccentricity is that of the ellipse with the same second moments: 0 round, 1 a line.
    """
    y, x = np.nonzero(instances)
    _, owner = np.unique(instances[y, x], return_inverse=True)
    area = np.bincount(owner).astype(np.float64)
    cx, cy = (np.bincount(owner, v) / area for v in (x, y))
    dx, dy = x - cx[owner], y - cy[owner]
    xx, yy, xy = (np.bincount(owner, v) / area for v in (dx * dx, dy * dy, dx * dy))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    ratio = np.divide(middle - half, middle + half, out=np.ones_like(area), where=middle > 0)
    centres = np.stack([cx, cy], axis=1) + 0.5  # pixel i covers [i, i + 1)
    return centres, area, np.sqrt(1 - ratio.clip(0, 1))


SOURCES = {"monuseg": monuseg, "tnbc": tnbc, "breakhis": breakhis, "crchisto": crchisto, "histolytics": histolytics}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the labelled tiles of the shared data as CSV.")
    parser.add_argument("csv", type=Path)
    parser.add_argument("--sources", nargs="+", default=["monuseg", "tnbc", "breakhis"], choices=sorted(SOURCES))
    arguments = parser.parse_args()
    tiles = build(data_root(), arguments.sources)
    write_csv(tiles, arguments.csv)
    print(f"{len(tiles)} tiles of {len({tile.patient for tile in tiles})} patients in {arguments.csv}")


if __name__ == "__main__":
    main()
