"""What the measure of novelty notices: spoilt tiles, another stain, other tissue; and which distance notices most.

    python -m benchmarks.novelty tiles.csv [--model hmgdm-small]

Writes the tables and the picture of `docs/trust.md`. `tiles.csv` comes from `benchmarks.tiles`. Tiles of the
training data are judged by distances that never saw their patient.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.squares import SIZE_PX
from benchmarks.tiles import build
from hmgdm_plugin.analysis.squares import read_squares
from hmgdm_plugin.analysis.unlike import looks_of
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.training.folds import patient_folds
from hmgdm_plugin.training.intervals import interval, resamples
from hmgdm_plugin.training.labelled import LabelledTile, data_root, read_csv
from hmgdm_plugin.training.metrics import mean_by_patient
from hmgdm_plugin.training.novelty import QUANTILE, distances, fit_novelty, quantile_of
from hmgdm_plugin.training.spoilt import SPOILT
from hmgdm_plugin.zoo.load import LoadedModel, load
from hmgdm_plugin.zoo.page import table

DOCS = Path(__file__).resolve().parents[1] / "docs"
START, END = "<!-- novelty: written by benchmarks/novelty.py -->", "<!-- end -->"
PAGE, PICTURE = DOCS / "trust.md", DOCS / "images" / "novelty.png"
PER_PATIENT, SPOILT_PER_PATIENT = 20, 1
CMU, MPP = "wsi/CMU-1-Small-Region.svs", 0.5
Image = NDArray[np.uint8]
Floats = NDArray[np.float64]


def others(root: Path) -> dict[str, list[Image]]:
    """Images that no part of the model has seen, by what they are."""
    import skimage
    from PIL import Image as Pillow

    ihc = skimage.data.immunohistochemistry()  # type: ignore[no-untyped-call]
    cells = [np.asarray(Pillow.open(p).convert("RGB")) for p in sorted((root / "nuc_dsb2018_stained/images").iterdir())]
    ovary = [
        np.asarray(Pillow.open(root / f"pypi_histolytics/{n}.jpg").convert("RGB"))
        for n in ("hgsc_nest", "hgsc_stromal_he")
    ]
    photos = [getattr(skimage.data, name)() for name in ("astronaut", "coffee", "chelsea")]
    return {
        "H&E, a slide of another laboratory (CMU-1)": slide_tiles(root / CMU),
        "H&E, colon of another laboratory (CRCHisto)": list(read_squares(build(root, ["crchisto"])[::4], SIZE_PX)),
        "H&E, ovary (histolytics)": [tile for image in ovary for tile in cut(image, 0.5, 160)],
        "purple stain, cells (DSB2018)": [tile for image in cells for tile in cut(image, 1.0, SIZE_PX)],
        "IHC (scikit-image), taken as 0.5 µm per pixel": cut(ihc, 1.0, 128),
        "IHC (scikit-image), taken as 0.25 µm per pixel": cut(ihc, 0.5, 128),
        "photographs (scikit-image)": [tile for image in photos for tile in cut(image, 1.0, SIZE_PX)],
    }


def cut(image: Image, scale: float, step_px: int) -> list[Image]:
    """Tiles of an image that is scaled first; smaller images give none."""
    from PIL import Image as Pillow

    picture = Pillow.fromarray(image)
    how = Pillow.Resampling.BOX if scale < 1 else Pillow.Resampling.NEAREST
    pixels = np.asarray(picture.resize((round(picture.width * scale), round(picture.height * scale)), how))
    ends = [range(0, max(length - SIZE_PX, -1) + 1, step_px) for length in pixels.shape[:2]]
    return [pixels[y : y + SIZE_PX, x : x + SIZE_PX] for y in ends[0] for x in ends[1]]


def slide_tiles(path: Path) -> list[Image]:
    """Tiles of a slide that hold tissue."""
    from hmgdm_plugin.slide.tiling import tiles
    from hmgdm_plugin.slide.tissue import find_tissue

    with open_slide(path) as slide:
        found = tiles(slide.frame, MPP, SIZE_PX, 0.0, find_tissue(slide), 0.5, None)
        return [slide.read(tile.x_px, tile.y_px, tile.side_px, SIZE_PX) for tile in found]


def some_of(tiles: Sequence[LabelledTile], count: int, seed: int = 0) -> list[int]:
    """At most `count` tiles of every patient, ascending."""
    rng = np.random.default_rng(seed)
    patients = np.array([tile.patient for tile in tiles])
    return sorted(int(k) for p in np.unique(patients) for k in rng.permutation(np.flatnonzero(patients == p))[:count])


def seen(images: Iterable[Image], model: LoadedModel) -> NDArray[np.float32]:
    """Looks of images."""
    return np.stack([looks_of(image, model) for image in images])


def novelty_of(model: LoadedModel, looks: NDArray[np.float32]) -> Floats:
    """What the shipped model says of looks."""
    assert model.novelty is not None
    return distances(model.novelty, looks) / float(model.novelty.limit)


def unseen(model: LoadedModel) -> str:
    """Table: images that no part of the model has seen, and one slide of them spoilt in every way."""
    groups = others(data_root())
    slide = next(iter(groups.values()))
    rng = np.random.default_rng(0)
    groups |= {f"CMU-1, {how}": [spoil(rgb, rng) for rgb in slide[::4]] for how, spoil in SPOILT.items()}
    rows = []
    for name, images in groups.items():
        novelty = novelty_of(model, seen(images, model))
        rows.append((name, len(images), f"{100 * (novelty > 1).mean():.0f} %", f"{np.median(novelty):.2f}"))
    return table(("images never seen", "tiles", "novel", "median novelty"), rows)


def organs(tiles: Sequence[LabelledTile], looks: NDArray[np.float32]) -> str:
    """Table: tiles of an organ by a distance that saw no patient of it, beside one that saw its other patients."""
    organ = np.array([str(tile.labels.get("organ", "breast")) for tile in tiles])
    patients = np.array([tile.patient for tile in tiles])
    near = novel_when_left_out(looks, patients, patients)
    far = novel_when_left_out(looks, patients, organ)
    rows = []
    for name in np.unique(organ):
        own = organ == name
        shares = [_share(each[own], patients[own]) for each in (near, far)]
        rows.append((name, len(np.unique(patients[own])), int(own.sum()), *shares))
    return table(("organ", "patients", "tiles", "novel, the patient left out", "novel, the organ left out"), rows)


def novel_when_left_out(looks: NDArray[np.float32], patients: NDArray[np.str_], groups: NDArray[np.str_]) -> Floats:
    """Whether each tile is novel to a distance and a limit that never saw its group: 1 or 0."""
    out = np.zeros(len(groups))
    for group in np.unique(groups):
        own = groups == group
        fitted = fit_novelty(looks[~own], patients[~own])
        folds = patient_folds(list(patients[~own]), 5, 0)
        limit = _limit(looks[~own], patients[~own], folds)
        out[own] = distances(fitted, looks[own]) > limit
    return out


def _limit(looks: NDArray[np.float32], patients: NDArray[np.str_], folds: NDArray[np.int64]) -> float:
    """Limit from tiles that the distance had not seen, fold by fold."""
    found = np.zeros(len(looks))
    for fold in np.unique(folds):
        own = folds == fold
        found[own] = distances(fit_novelty(looks[~own], patients[~own]), looks[own])
    return quantile_of(found, patients, QUANTILE)


def _share(novel: Floats, patients: NDArray[np.str_]) -> str:
    found = interval(mean_by_patient(novel, list(patients), resamples(patients)))
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def left_out(model: LoadedModel) -> str:
    """Table from the card: tiles of left-out patients, as they are and spoilt."""
    known = model.card.novelty
    assert known is not None
    alarms = f"{100 * known.false_alarms:.1f} % [{100 * known.low:.1f}, {100 * known.high:.1f}] (false alarms)"
    rows = [("as they are", alarms), *((how, f"{100 * share:.0f} %") for how, share in known.detected.items())]
    return table((f"tiles of {known.patients} left-out patients", "novel"), rows)


def draw(model: LoadedModel, path: Path) -> None:
    """A tile of a slide as it is and spoilt, and IHC, each with its novelty."""
    from matplotlib.figure import Figure

    groups = others(data_root())
    names = list(groups)
    rng, tile = np.random.default_rng(0), groups[names[0]][len(groups[names[0]]) // 2]
    shown = {"as it is": tile, **{how: spoil(tile, rng) for how, spoil in SPOILT.items()}, "IHC": groups[names[4]][4]}
    figure = Figure(figsize=(10, 6.6), dpi=110, layout="constrained")
    for axes, (name, image) in zip(figure.subplots(3, 5).flat, shown.items(), strict=True):
        value = float(novelty_of(model, seen([image], model))[0])
        axes.imshow(image)
        axes.set_title(f"{name}\nnovelty {value:.2f}", size=9, color="#D55E00" if value > 1 else "black")
        axes.set_axis_off()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the novelty of tiles notices.")
    parser.add_argument("tiles", type=Path)
    parser.add_argument("--model", default="hmgdm-small")
    arguments = parser.parse_args()
    model = load(arguments.model)
    tiles = read_csv(arguments.tiles)
    some = [tiles[k] for k in some_of(tiles, PER_PATIENT)]
    looks = seen(read_squares(some, SIZE_PX), model)
    parts = [left_out(model), unseen(model), organs(some, looks)]
    draw(model, PICTURE)
    text = PAGE.read_text("utf-8")
    body = "\n\n".join([START, f"![Tiles and their novelty](images/{PICTURE.name})", *parts, END])
    PAGE.write_text(re.sub(f"{START}.*{END}", lambda _: body, text, flags=re.DOTALL), "utf-8")
    print(body)


if __name__ == "__main__":
    main()
