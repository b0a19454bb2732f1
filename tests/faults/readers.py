"""Reads files named on standard input with the reader of their kind, and says how each ended.

A line in: ``KIND PATH``. A line out: ``result``, ``refused SENTENCE`` or ``traceback LAST LINES``.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from hmgdm_plugin.schema.errors import HmgdmError


def tiff(path: Path) -> None:
    """As a slide is read: thumbnail, tissue, a tile."""
    from hmgdm_plugin.slide.reader import open_slide
    from hmgdm_plugin.slide.tissue import find_tissue

    with open_slide(path, 0.5) as slide:
        slide.thumbnail(256)
        find_tissue(slide, 256)
        frame = slide.frame
        assert slide.read(frame.width_px / 3, frame.height_px / 3, 200, 96).shape == (96, 96, 3)
        slide.fingerprint()


def geojson(path: Path) -> None:
    """As regions are read."""
    from hmgdm_plugin.qupath.regions import read_regions
    from hmgdm_plugin.schema.space import Frame

    read_regions(path, Frame(2000, 2000, 0.5, (0, 0, 2000, 2000)))


def hdf5(path: Path) -> None:
    """As features of a slide are read."""
    from hmgdm_plugin.survival.slides import neighbours, read_slide

    neighbours(read_slide(path).corner_px)


def toml(path: Path) -> None:
    """As a model's card is read, and settings."""
    from hmgdm_plugin.schema.parsing import read_toml
    from hmgdm_plugin.schema.settings import PretrainSettings
    from hmgdm_plugin.zoo.card import Card

    kind = PretrainSettings if b"[[sources]]" in path.read_bytes() else Card
    read_toml(path, kind)


def safetensors(path: Path) -> None:
    """As a model is loaded, by one who could also change the digests."""
    import shutil

    from hmgdm_plugin.zoo.digest import SUMS, sums_of
    from hmgdm_plugin.zoo.load import WEIGHTS, load

    folder = Path(shutil.copytree(os.environ["HMGDM_TINY"], path.with_suffix(".model"), dirs_exist_ok=True))
    shutil.copy(path, folder / WEIGHTS)
    (folder / SUMS).write_text(sums_of(folder))
    load(folder)


def table(path: Path) -> None:
    """As slides of a batch are listed."""
    from hmgdm_plugin.cohort.listing import slides_of_table
    from hmgdm_plugin.schema.entry import keyed

    keyed(slides_of_table(path))


def project(path: Path) -> None:
    """As a QuPath project is read."""
    from hmgdm_plugin.qupath.listing import slides_of_project
    from hmgdm_plugin.schema.entry import keyed

    keyed(slides_of_project(path))


READERS: dict[str, Callable[[Path], None]] = {
    "tiff": tiff, "geojson": geojson, "hdf5": hdf5, "toml": toml, "safetensors": safetensors,
    "table": table, "project": project,
}  # fmt: skip


def main() -> None:
    """Answer line by line."""
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, resource.RLIM_INFINITY))
    answers = os.fdopen(os.dup(1), "w")
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            kind, path = line.rstrip("\n").split(" ", 1)
            try:
                READERS[kind](Path(path))
                answer = "result"
            except HmgdmError as error:
                answer = f"refused {error}"
            except BaseException:  # noqa: BLE001
                answer = "traceback " + " / ".join(traceback.format_exc().strip().splitlines()[-5:])
            answers.write(answer.encode("utf-8", "replace").decode().replace("\n", " ") + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
