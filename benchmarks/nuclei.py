"""Labelled images of nuclei as the table that `hmgdm train nuclei` takes: `python -m benchmarks.nuclei nuclei.csv`.

MoNuSeg (13 true maps; the 17 others are watersheds of the official binary masks, only trained on), TNBC, and the
stained images of DSB2018, which have neither patients nor a pixel size and so are only trained on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

from hmgdm_plugin.training.labelled import data_root, rows_of
from hmgdm_plugin.training.nuclei_table import COLUMNS

MPP = 0.25  # of MoNuSeg and TNBC, 40x
Row = tuple[str, str, float | str, str, str, str, int]


def rows(root: Path, watershed: bool) -> Iterator[Row]:
    """Lines of the table, paths relative to `root`."""
    yield from _monuseg(root, watershed)
    yield from _tnbc(root)
    yield from _dsb(root)


def _monuseg(root: Path, watershed: bool) -> Iterator[Row]:
    for row in rows_of(root / "nuc_monuseg_train" / "index.csv"):
        true = row["annotation"] == "instances"
        if true or watershed:
            labels = f"{'labels' if true else 'labels_pseudo'}/{Path(row['file']).stem}.npz"
            image = f"nuc_monuseg_train/images/{row['file']}"
            yield image, f"nuc_monuseg_train/{labels}", MPP, "MoNuSeg", row["patient"], row["organ"], int(true)


def _tnbc(root: Path) -> Iterator[Row]:
    for row in rows_of(root / "nuc_tnbc" / "index.csv"):
        labels = f"nuc_tnbc/labels/{Path(row['file']).stem}.npz"
        yield f"nuc_tnbc/images/{row['file']}", labels, MPP, "TNBC", row["patient"], "breast", 1


def _dsb(root: Path) -> Iterator[Row]:
    for row in rows_of(root / "nuc_dsb2018_stained" / "index.csv"):
        labels = f"nuc_dsb2018_stained/labels/{Path(row['file']).stem}.npz"
        yield f"nuc_dsb2018_stained/images/{row['file']}", labels, "", "DSB2018", "", row["colour_group"], 0


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--no-watershed", action="store_true", help="leave out the maps that a watershed made")
    asked = parser.parse_args()
    with asked.table.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(rows(data_root(), not asked.no_watershed))


if __name__ == "__main__":
    main()
