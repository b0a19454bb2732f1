"""Outcome tables and feature files as others publish them."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
from openpyxl import Workbook

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.schema.studies import OutcomeSettings
from hmgdm_plugin.survival.outcomes import read_outcomes, stem
from hmgdm_plugin.survival.slides import feature_files, read_slide

CDR = """bcr_patient_barcode,type,OS,OS.time,PFI,PFI.time
TCGA-OR-A5J1,ACC,1.0,1355.0,0,754
TCGA-OR-A5J2,ACC,#N/A,#N/A,1.0,289.0
TCGA-2F-A9KO,BLCA,0,734,0,734
"""
PORPOISE = """cohort,case_id,slide_id,survival_months,censorship,train
BLCA,TCGA-2F-A9KO,TCGA-2F-A9KO-01Z-00-DX1.195576CF.svs,24.11,0.0,1.0
BLCA,TCGA-2F-A9KO,TCGA-2F-A9KO-01Z-00-DX2.00000000.svs,24.11,0.0,1.0
BLCA,TCGA-2F-A9KP,TCGA-2F-A9KP-01Z-00-DX1.3CDF534E.svs,11.96,1.0,1.0
"""


def test_tcga_cdr_is_read_by_endpoint(tmp_path: Path) -> None:
    found = read_outcomes(OutcomeSettings(path=tmp_path), _written(tmp_path / "cdr.csv", CDR))
    assert found.of_patient == {"TCGA-OR-A5J1": (1355.0, True), "TCGA-2F-A9KO": (734.0, False)}
    assert (found.without, found.unit) == (["TCGA-OR-A5J2"], "days")
    only = read_outcomes(OutcomeSettings(path=tmp_path, endpoint="PFI", where={"type": "ACC"}), tmp_path / "cdr.csv")
    assert only.of_patient == {"TCGA-OR-A5J1": (754.0, False), "TCGA-OR-A5J2": (289.0, True)}


def test_the_excel_file_of_tcga_cdr_is_read(tmp_path: Path) -> None:
    """The published workbook: several sheets, a nameless first column of row numbers, #N/A where nothing is known."""
    book = Workbook()
    book.active.title = "Notes"
    sheet = book.create_sheet("TCGA-CDR")
    sheet.append([None, "bcr_patient_barcode", "OS", "OS.time"])
    sheet.append([1, "TCGA-OR-A5J1", 1, 1355])
    sheet.append([2, "TCGA-OR-A5J2", "#N/A", "#N/A"])
    book.save(tmp_path / "TCGA-CDR-SupplementalTableS1.xlsx")
    found = read_outcomes(OutcomeSettings(path=tmp_path), tmp_path / "TCGA-CDR-SupplementalTableS1.xlsx")
    assert found.of_patient == {"TCGA-OR-A5J1": (1355.0, True)}
    assert found.without == ["TCGA-OR-A5J2"]
    broken = _written(tmp_path / "broken.xlsx", "not a workbook")
    with pytest.raises(InputError, match="not an Excel file"):
        read_outcomes(OutcomeSettings(path=broken), broken)


def test_porpoise_counts_censored_as_1_and_names_slides(tmp_path: Path) -> None:
    found = read_outcomes(OutcomeSettings(path=tmp_path), _written(tmp_path / "blca.csv", PORPOISE))
    assert found.of_patient == {"TCGA-2F-A9KO": (24.11, True), "TCGA-2F-A9KP": (11.96, False)}
    assert found.of_slide["TCGA-2F-A9KO-01Z-00-DX2.00000000"] == "TCGA-2F-A9KO"
    assert found.unit == "months"


def test_any_table_with_named_columns_is_read(tmp_path: Path) -> None:
    text = "who,weeks,dead\na,3,true\nb,5,false\n"
    settings = OutcomeSettings(path=tmp_path, patient="who", time="weeks", event="dead", unit="weeks")
    found = read_outcomes(settings, _written(tmp_path / "own.csv", text))
    assert found.of_patient == {"a": (3.0, True), "b": (5.0, False)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("patient,OS\np,1\n", "no column OS.time"),
        ("patient,OS,OS.time\np,2,10\n", "row 2: OS 2 at OS.time 10"),
        ("patient,OS,OS.time\np,1,-3\n", "OS.time -3"),
        ("patient,OS,OS.time\np,1,soon\n", "'soon' is not a number"),
        ("patient,OS,OS.time\np,1,3\np,0,3\n", "another outcome of p"),
        ("patient,OS,OS.time\n,1,3\n", "no patient"),
        ("patient,OS,OS.time\n", "no row"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_outcomes(OutcomeSettings(path=tmp_path), _written(tmp_path / "t.csv", text))


def test_the_real_tables_are_read_as_they_are(shared_data: Path) -> None:
    folder = shared_data / "survival"
    cdr = read_outcomes(OutcomeSettings(path=folder), folder / "tcga_cdr.csv.gz")
    assert cdr.of_patient["TCGA-OR-A5J1"] == (1355.0, True)
    assert len(cdr.of_patient) + len(cdr.without) == 11160
    porpoise = read_outcomes(OutcomeSettings(path=folder), folder / "porpoise_slides_survival.csv.gz")
    assert (len(porpoise.of_slide), len(porpoise.of_patient)) == (6592, 5720)
    shared = porpoise.of_patient.keys() & cdr.of_patient.keys()
    agree = [porpoise.of_patient[name][1] == cdr.of_patient[name][1] for name in shared]
    assert len(shared) > 5000
    assert np.mean(agree) > 0.9  # 1 = censored was turned the right way round


def _written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def test_names_of_slides_keep_their_dots() -> None:
    assert stem("a/TCGA-2F-A9KO-01Z-00-DX1.195576CF-B739.svs") == "TCGA-2F-A9KO-01Z-00-DX1.195576CF-B739"
    assert stem("TCGA-2F-A9KO-01Z-00-DX1.195576CF-B739") == "TCGA-2F-A9KO-01Z-00-DX1.195576CF-B739"


def _file(path: Path, attributes: dict[str, object], tiles: int = 6) -> Path:
    grid = np.stack(np.meshgrid(np.arange(tiles // 2), np.arange(2)), -1).reshape(-1, 2)
    with h5py.File(path, "w") as file:
        file["features"] = np.arange(tiles * 4, dtype=np.float32).reshape(tiles, 4)
        file["coords"] = grid * 512
        file["coords"].attrs.update(attributes)
    return path


def test_files_of_clam_and_trident_are_read_as_they_are(tmp_path: Path) -> None:
    clam = {"patch_size": 256, "patch_level": 1, "downsample": np.array([4.0, 4.0]), "name": "a"}
    assert read_slide(_file(tmp_path / "clam.h5", clam)).side_px == 1024.0
    trident = {"patch_size": 256, "patch_size_level0": 512, "target_magnification": 20, "overlap": 0}
    assert read_slide(_file(tmp_path / "trident.h5", trident)).side_px == 512.0
    bare = read_slide(_file(tmp_path / "bare.h5", {}))
    assert (bare.side_px, bare.mpp, bare.features.shape) == (512.0, None, (6, 4))
    assert [path.name for path in feature_files([tmp_path])] == ["bare.h5", "clam.h5", "trident.h5"]


def test_our_own_files_are_read_as_they_are(tmp_path: Path) -> None:
    from hmgdm_plugin.qupath.features import attributes_of

    attributes = attributes_of(Tile(0, 0, 512.0, 256, 0.5), 1000, 1000, "s", "m")
    found = read_slide(_file(tmp_path / "own.h5", attributes))
    assert (found.name, found.side_px, found.mpp) == ("own", 512.0, 0.25)


def test_features_that_are_no_table_are_said(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "group.h5", "w") as file:
        file.create_group("features")
        file["coords"] = np.zeros((2, 2))
    with pytest.raises(InputError, match="make the file again"):
        read_slide(tmp_path / "group.h5")
    with pytest.raises(InputError, match="cannot be read as HDF5"):
        read_slide(_file(tmp_path / "words.h5", {"patch_size_level0": "large"}))


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "slide.pt").write_bytes(b"cos\nsystem\n")
    for place in (tmp_path / "slide.pt", tmp_path):
        with pytest.raises(InputError, match=r"pickle.*h5_files"):
            feature_files([place])
    with pytest.raises(InputError, match="no such file"):
        feature_files([tmp_path / "absent"])


def test_a_feature_file_that_is_broken_is_said(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(InputError, match="HDF5"):
        read_slide(tmp_path / "text.h5")
    with h5py.File(tmp_path / "half.h5", "w") as file:
        file["features"] = np.zeros((3, 4), np.float32)
    with pytest.raises(InputError, match="no features and coords"):
        read_slide(tmp_path / "half.h5")
    with h5py.File(_file(tmp_path / "nan.h5", {}), "a") as file:
        file["features"][0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        read_slide(tmp_path / "nan.h5")
