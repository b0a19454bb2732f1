"""Arrangement against composition: tiles whose textures are real, whose amounts agree, and whose layout is the label.

    python -m benchmarks.arrangement FOLDER [--per-class 82] [--seed 0]

Writes `arrangement.csv` and the tiles as PNG files into FOLDER, outside the repository. Textures of a tile come from
one patient of MoNuSeg or TNBC, who is its `patient`; the kinds are labels (`benchmarks.layouts`), each tile having one.
All patients give as many tiles of every class. Which texture lies where is drawn for each tile, but for `order`, where
it is the question.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.layouts import KINDS, SIDE, border_px
from benchmarks.quilt import TEXTURES, Textures
from benchmarks.squares import MPP
from hmgdm_plugin.training.labelled import LabelledTile, Labels, data_root, rows_of, write_csv

CSV = "arrangement.csv"
SOURCES = {"monuseg": "nuc_monuseg_train", "tnbc": "nuc_tnbc"}
MICRONS = 0.25


def patients(root: Path) -> dict[str, list[Path]]:
    """Images of every patient of MoNuSeg and TNBC."""
    found: dict[str, list[Path]] = {}
    for source, name in SOURCES.items():
        for row in rows_of(root / name / "index.csv"):
            found.setdefault(f"{source}:{row['patient']}", []).append(root / name / "images" / row["file"])
    return found


def tiles_of(patient: str, images: list[Path], per_patient: int, folder: Path, seed: int) -> Iterator[LabelledTile]:
    """`per_patient` tiles of every class of every kind, from the textures of one patient."""
    rng = np.random.default_rng((seed, *patient.encode()))
    textures = Textures([_half(path) for path in images], seed)
    for kind, classes in KINDS.items():
        for label, makers in classes.items():
            for number in range(per_patient):
                layout = makers[number % len(makers)](rng)
                picture = textures.laid_out(_turned(layout, rng), _used(kind, int(layout.max()) + 1, rng), rng)
                name = f"{patient}-{kind}-{label}-{number}".replace(":", "-").replace(" ", "-")
                labels: Labels = {kind: label, "pixels": f"#{name}", "border_px": round(border_px(layout), 1)}
                path = folder / "tiles" / f"{name}.png"
                _save(picture, path)
                yield LabelledTile(path, MPP, 0, 0, SIDE, "arrangement", patient, patient, labels)


def write(folder: Path, per_class: int, seed: int, root: Path) -> list[LabelledTile]:
    """All tiles, and the table of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiles").mkdir(exist_ok=True)
    known = patients(root)
    each = max(round(per_class / len(known)), 1)
    found = [tile for patient, images in known.items() for tile in tiles_of(patient, images, each, folder, seed)]
    write_csv(found, folder / CSV)
    return found


def _used(kind: str, count: int, rng: np.random.Generator) -> list[int]:
    """Textures of the labels of a layout: in order where that is the question; of two, the two extremes."""
    textures = range(TEXTURES) if count > 2 else (0, TEXTURES - 1)
    return list(textures) if kind == "order" else [int(texture) for texture in rng.permutation(textures)]


def _turned(layout: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    turned = np.rot90(layout, rng.integers(4))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def _half(path: Path) -> NDArray[np.uint8]:
    """An image of 0.25 microns per pixel at 0.5."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").reduce(round(MPP / MICRONS)))


def _save(picture: NDArray[np.uint8], path: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write tiles that differ by the arrangement of their textures.")
    parser.add_argument("folder", type=Path, help="outside the repository")
    parser.add_argument("--per-class", type=int, default=82)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    tiles = write(arguments.folder, arguments.per_class, arguments.seed, data_root())
    print(f"{len(tiles)} tiles of {len({tile.patient for tile in tiles})} patients in {arguments.folder / CSV}")
    for kind, classes in KINDS.items():
        for label in classes:
            own = [float(tile.labels["border_px"]) for tile in tiles if tile.labels.get(kind) == label]
            print(f"{kind}: {label}: {len(own)} tiles, borders {np.mean(own):.0f} px, deviation {np.std(own):.0f}")


if __name__ == "__main__":
    main()
