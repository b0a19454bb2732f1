"""Make the pictures of docs/qupath.md out of snapshots of a real QuPath: `python docs/qupath_pictures.py FOLDER`.

FOLDER is where `pytest tests/qupath/test_qupath_menu.py --basetemp=…` left them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parent / "images"
WHOLE = {"qupath-heat-map": "2-heat-map", "qupath-why": "3-why"}
BESIDE = {"qupath-undone": ("5-undone", "7-imported"), "qupath-opacity": ("2-heat-map", "2-heat-map-faint")}
VIEWER = (404, 72, 1199, 800)  # of a window of 1200 x 800 pixels
SMALL, GAP = (596, 546), 14


def viewer(path: Path) -> Image.Image:
    """The tissue, without what stands around it."""
    return Image.open(path).convert("RGB").crop(VIEWER)


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two views, smaller, in one picture."""
    out = Image.new("RGB", (2 * SMALL[0] + GAP, SMALL[1]), "white")
    for k, each in enumerate((left, right)):
        out.paste(each.resize(SMALL, Image.Resampling.LANCZOS), (k * (SMALL[0] + GAP), 0))
    return out


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description="Make the pictures of docs/qupath.md out of a test's snapshots.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    made = {name: Image.open(folder / f"{shot}.png").convert("RGB") for name, shot in WHOLE.items()}
    made |= {name: beside(*(viewer(folder / f"{shot}.png") for shot in pair)) for name, pair in BESIDE.items()}
    made["qupath-nuclei"] = viewer(folder / "8-nuclei.png")
    for name, picture in made.items():
        picture.save(IMAGES / f"{name}.jpg", quality=85)
        print(IMAGES / f"{name}.jpg")


if __name__ == "__main__":
    main()
