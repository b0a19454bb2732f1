"""Tiles with typed nuclei: which types there are, and how many of each.

Labels: `type` (the commonest of the tile), `share_TYPE` (its share of the typed nuclei), `count`, `density`. Tiles with
fewer than 8 typed nuclei have no type and no shares. Neither set gives folds by patient; both are grouped by slide:

- CRCHistoPhenotypes names no patients (9 gave 100 images): an image is a slide, and a fold may know the patient.
  For evaluation only; nothing of it is trained on for what ships, and nothing of it is published.
- histolytics has typed nuclei (found by a model, 3 types) with pixels for two images only, of ovarian carcinoma: the
  quarters of each are the slides. That shows whether an embedding carries the types where stain and scanner stay the
  same; it says nothing about other patients. Its tissue polygons come without pixels. Its pixel size is not stated:
  0.5 microns are assumed, for which lymphocytes measure 7.7 and tumour nuclei 13 microns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.squares import Labeller, centre_labels, cut, inside
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.training.labelled import LabelledTile, Labels, rows_of

CRCHISTO_TYPES = ("epithelial", "inflammatory", "fibroblast", "others")
HISTOLYTICS_TYPES = ("neoplastic", "inflammatory", "connective")
HISTOLYTICS = {"hgsc_nest": "hgsc_nest", "hgsc_stromal_he": "hgsc_stromal_cells"}  # image > nuclei
HISTOLYTICS_MPP = 0.5
FEWEST = 8

Nuclei = tuple[NDArray[np.float64], NDArray[np.str_]]  # centres (n, 2) in pixels, types (n,)


def crchisto(root: Path) -> Iterator[LabelledTile]:
    """2 x 2 tiles of each of the 100 images; evaluation only, never trained on."""
    folder = root / "nuc_crchisto"
    nuclei = crchisto_nuclei(root)
    for row in rows_of(folder / "index.csv"):
        image = folder / "images" / row["file"]
        shape = int(row["height"]), int(row["width"])
        label = typed_labels(*nuclei[image], CRCHISTO_TYPES, shape, 0.55)
        yield from cut(image, 0.55, 2, 2, "crchisto", "crchisto", image.stem, {"annotation": "centres"}, label)


def histolytics(root: Path) -> Iterator[LabelledTile]:
    """3 x 3 tiles of each quarter of the two images."""
    for image, nuclei in histolytics_nuclei(root).items():
        label = typed_labels(*nuclei, HISTOLYTICS_TYPES, (1500, 1500), HISTOLYTICS_MPP)
        for number, (x, y) in enumerate(((0, 0), (750, 0), (0, 750), (750, 750)), 1):
            block, box = f"{image.stem}-quarter-{number}", (x, y, x + 750, y + 750)
            fixed: Labels = {"annotation": "model"}
            yield from cut(image, HISTOLYTICS_MPP, 3, 3, "histolytics", image.stem, block, fixed, label, box)


def crchisto_nuclei(root: Path) -> dict[Path, Nuclei]:
    """Typed nuclei of every image of CRCHistoPhenotypes, in its pixels."""
    folder = root / "nuc_crchisto"
    found: dict[str, list[tuple[float, float, str]]] = {}
    for row in rows_of(folder / "nuclei.csv"):
        found.setdefault(row["file"], []).append((float(row["x"]), float(row["y"]), row["type"]))
    return {
        folder / "images" / row["file"]: (
            np.array([(x, y) for x, y, _ in found.get(row["file"], [])], np.float64).reshape(-1, 2),
            np.array([kind for _, _, kind in found.get(row["file"], [])], str),
        )
        for row in rows_of(folder / "index.csv")
    }


def histolytics_nuclei(root: Path) -> dict[Path, Nuclei]:
    """Typed nuclei of the two images, in their pixels."""
    folder = root / "pypi_histolytics"
    return {folder / f"{name}.jpg": _polygons(folder / f"{nuclei}.parquet") for name, nuclei in HISTOLYTICS.items()}


def typed_labels(
    centres: NDArray[np.float64], types: NDArray[np.str_], known: tuple[str, ...], shape: tuple[int, int], mpp: float
) -> Labeller:
    """Labeller of tiles from nucleus centres (n, 2) and their types (n,); other types than the `known` only count."""
    counted = centre_labels(centres, shape, mpp)

    def label(x_px: float, y_px: float, side_px: float) -> Labels:
        here = types[inside(centres, x_px, y_px, side_px)]
        numbers = np.array([(here == name).sum() for name in known])
        found = counted(x_px, y_px, side_px)
        if numbers.sum() >= FEWEST:
            found["type"] = known[int(numbers.argmax())]
            shares = (numbers / numbers.sum()).tolist()
            found |= {f"share_{name}": share for name, share in zip(known, shares, strict=True)}
        return found

    return label


def _polygons(path: Path) -> Nuclei:
    """Centroids (n, 2) and classes (n,) of the polygons of a GeoParquet file."""
    import shapely

    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path}: reading parquet needs pyarrow", "pip install pyarrow") from error
    table = parquet.read_table(path, columns=["geometry", "class_name"]).to_pydict()
    centres = shapely.get_coordinates(shapely.centroid(shapely.from_wkb(table["geometry"])))
    return centres, np.array(table["class_name"], str)
