"""Labelled tiles of the shared data at 0.5 um per pixel, 256 px: what every embedding is judged on.

    python -m benchmarks.tiles tiles.csv [--sources monuseg tnbc breakhis crchisto]

Labels: `count` (nuclei with their centroid in the tile), `density` (per square millimetre), `area` (median um2 of those
nuclei), `fraction` (share of nuclear pixels), `organ`, `benign`; `annotation` says how good the nuclei are: `instances`
(true), `watershed` (MoNuSeg's other 17 images), `components` (TNBC: touching nuclei may be one), `centres` (CRCHisto).
BreakHis is taken as 0.65 um per pixel, an estimate. CRCHisto names no patients: all of it is one, for evaluation only.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.slide.reader import open_slide

MPP = 0.5
SIZE_PX = 256
COLUMNS = ("image", "mpp", "x_px", "y_px", "side_px", "source", "patient", "slide")
Labels = dict[str, float | str]
Labeller = Callable[[float, float, float], Labels]


@dataclass(frozen=True)
class LabelledTile:
    """A square of an image (level-0 pixels) and what is known about it; `labels["pixels"]` is the image's digest."""

    image: Path
    mpp: float
    x_px: float
    y_px: float
    side_px: float
    source: str
    patient: str
    slide: str
    labels: Labels


def data_root() -> Path:
    """Folder of the shared data: HMGDM_DATA, else `../shared/data` beside the repository."""
    return Path(os.environ.get("HMGDM_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def build(root: Path, sources: Iterable[str] = ("monuseg", "tnbc", "breakhis")) -> list[LabelledTile]:
    """All tiles of the named sources: MoNuSeg 480, TNBC 50, BreakHis 2,608, CRCHisto 400."""
    return [tile for source in sources for tile in SOURCES[source](root)]


def monuseg(root: Path) -> Iterator[LabelledTile]:
    """16 overlapping tiles of each of the 30 images; true instances where they exist, else the watershed ones."""
    folder = root / "nuc_monuseg_train"
    for row in _rows(folder / "index.csv"):
        true = row["annotation"] == "instances"
        nuclei = folder / ("labels" if true else "labels_pseudo") / f"{Path(row['file']).stem}.npz"
        fixed: Labels = {"organ": row["organ"], "annotation": "instances" if true else "watershed"}
        slide = "-".join(row["file"].split("-")[:6]).removesuffix(".png")
        image = folder / "images" / row["file"]
        yield from _cut(image, 0.25, 4, 4, "monuseg", row["patient"], slide, fixed, nucleus_labels(nuclei, 0.25))


def tnbc(root: Path) -> Iterator[LabelledTile]:
    """One tile of each of the 50 images."""
    folder = root / "nuc_tnbc"
    for row in _rows(folder / "index.csv"):
        nuclei = nucleus_labels(folder / "labels" / f"{Path(row['file']).stem}.npz", 0.25)
        image = folder / "images" / row["file"]
        yield from _cut(image, 0.25, 1, 1, "tnbc", row["patient"], row["patient"], {"annotation": "components"}, nuclei)


def breakhis(root: Path) -> Iterator[LabelledTile]:
    """4 x 2 tiles of each of the 326 images."""
    folder = root / "cls_breakhis100x"
    for row in _rows(folder / "labels.csv"):
        fixed: Labels = {"benign": float(row["label"] == "benign")}
        yield from _cut(folder / "images" / row["file"], 0.65, 4, 2, "breakhis", row["patient"], row["slide"], fixed)


def crchisto(root: Path) -> Iterator[LabelledTile]:
    """2 x 2 tiles of each of the 100 images; evaluation only, never trained on."""
    folder = root / "nuc_crchisto"
    points: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(folder / "nuclei.csv"):
        points.setdefault(row["file"], []).append((float(row["x"]), float(row["y"])))
    for row in _rows(folder / "index.csv"):
        centres = np.array(points.get(row["file"], []), np.float64).reshape(-1, 2)
        label = _centre_labels(centres, (int(row["height"]), int(row["width"])), 0.55)
        image = folder / "images" / row["file"]
        yield from _cut(image, 0.55, 2, 2, "crchisto", "crchisto", image.stem, {"annotation": "centres"}, label)


def nucleus_labels(path: Path, mpp: float) -> Labeller:
    """Labeller of tiles from an instance map: count, density, median area, fraction."""
    from skimage.measure import regionprops_table

    instances = np.load(path, allow_pickle=False)["label"]
    table = regionprops_table(instances, properties=("centroid", "area"))  # type: ignore[no-untyped-call]
    centres = np.stack([table["centroid-1"], table["centroid-0"]], axis=1) + 0.5  # pixel i covers [i, i + 1)
    area_um2 = table["area"] * mpp**2
    counted = _centre_labels(centres, instances.shape, mpp)

    def label(x_px: float, y_px: float, side_px: float) -> Labels:
        inside = _inside(centres, x_px, y_px, side_px)
        box = [slice(max(round(v), 0), round(v + side_px)) for v in (y_px, x_px)]
        found: Labels = {"fraction": float((instances[tuple(box)] > 0).mean())}
        if inside.any():
            found["area"] = float(np.median(area_um2[inside]))
        return {**counted(x_px, y_px, side_px), **found}

    return label


def read_pixels(tiles: Iterable[LabelledTile], size_px: int = SIZE_PX) -> Iterator[NDArray[np.uint8]]:
    """The image of each tile, (size_px, size_px, 3) uint8; neighbours of one image share one opened file."""
    for (image, mpp), group in itertools.groupby(tiles, lambda tile: (tile.image, tile.mpp)):
        with open_slide(image, mpp) as slide:
            for tile in group:
                yield slide.read(tile.x_px, tile.y_px, tile.side_px, size_px)


def write_csv(tiles: Sequence[LabelledTile], path: Path) -> None:
    """Write tiles with one column per label; images below the shared data are written relative to it."""
    labels = sorted({name for tile in tiles for name in tile.labels})
    root = data_root().resolve()
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, [*COLUMNS, *labels], restval="")
        table.writeheader()
        for tile in tiles:
            image = tile.image.resolve()
            known = {name: getattr(tile, name) for name in COLUMNS[1:]}
            name = image.relative_to(root) if image.is_relative_to(root) else image
            table.writerow({"image": name.as_posix(), **known, **tile.labels})


def read_csv(path: Path) -> list[LabelledTile]:
    """Read what `write_csv` wrote; relative images lie beside the file or in the shared data.

    Raises
    ------
    InputError
        A column is missing or a number does not read.
    """
    return [_tile_of(row, path) for row in _rows(path)]


def _tile_of(row: dict[str, str], path: Path) -> LabelledTile:
    missing = [name for name in COLUMNS if row.get(name) is None]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r}", f"give the columns {', '.join(COLUMNS)}")
    beside = path.parent / row["image"]
    image = beside if beside.exists() else data_root() / row["image"]
    labels = {name: _value(text) for name, text in row.items() if name not in COLUMNS and text}
    try:
        mpp, x_px, y_px, side_px = (float(row[name]) for name in ("mpp", "x_px", "y_px", "side_px"))
    except ValueError as error:
        raise InputError(f"{path}: {row['image']}: {error}", "give mpp, x_px, y_px and side_px as numbers") from error
    return LabelledTile(image, mpp, x_px, y_px, side_px, row["source"], row["patient"], row["slide"], labels)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _cut(
    image: Path, mpp: float, across: int, down: int, source: str, patient: str, slide: str, fixed: Labels,
    label: Labeller = lambda x_px, y_px, side_px: {},
) -> Iterator[LabelledTile]:  # fmt: skip
    """Evenly spaced tiles that just fill the image."""
    (width, height), digest = _look(image)
    side_px = SIZE_PX * MPP / mpp
    for y_px in np.linspace(0, height - side_px, down).tolist():
        for x_px in np.linspace(0, width - side_px, across).tolist():
            labels = {**fixed, **label(x_px, y_px, side_px), "pixels": f"#{digest}"}
            yield LabelledTile(image, mpp, x_px, y_px, side_px, source, patient, slide, labels)


def _look(path: Path) -> tuple[tuple[int, int], str]:
    """Size and digest of the decoded pixels of an image: two files with the same pixels give themselves away."""
    from PIL import Image

    with Image.open(path) as image:
        return image.size, hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:16]


def _centre_labels(centres: NDArray[np.float64], shape: tuple[int, int], mpp: float) -> Labeller:
    def label(x_px: float, y_px: float, side_px: float) -> Labels:
        count = int(_inside(centres, x_px, y_px, side_px).sum())
        sides = [min(v + side_px, end) - max(v, 0.0) for v, end in ((y_px, shape[0]), (x_px, shape[1]))]
        return {"count": float(count), "density": count / (sides[0] * sides[1] * (mpp / 1000) ** 2)}

    return label


def _inside(centres: NDArray[np.float64], x_px: float, y_px: float, side_px: float) -> NDArray[np.bool_]:
    x, y = centres.T
    return (x >= x_px) & (x < x_px + side_px) & (y >= y_px) & (y < y_px + side_px)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", "set HMGDM_DATA to the shared data") from error


SOURCES = {"monuseg": monuseg, "tnbc": tnbc, "breakhis": breakhis, "crchisto": crchisto}


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
