"""Microns per pixel: believed where a microscope said so, never where a printer would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.slide.pixelsize import of_ome
from hmgdm_plugin.slide.reader import open_slide

TILED: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "deflate"}
PIXELS = np.random.default_rng(5).integers(0, 256, (96, 130, 3), dtype=np.uint8)


def _tagged(tmp_path: Path, per_unit: float, unit: str, tiled: bool = True) -> Path:
    path = tmp_path / "tagged.tif"
    options = TILED if tiled else {"photometric": "rgb"}
    tifffile.imwrite(path, PIXELS, resolution=(per_unit, per_unit), resolutionunit=unit, metadata=None, **options)
    return path


@pytest.mark.parametrize(("per_unit", "unit", "mpp"), [(20000, "CENTIMETER", 0.5), (101600, "INCH", 0.25)])
def test_resolution_tags_of_a_tiled_tiff_are_believed(tmp_path: Path, per_unit: float, unit: str, mpp: float) -> None:
    assert open_slide(_tagged(tmp_path, per_unit, unit)).frame.mpp == pytest.approx(mpp)


@pytest.mark.parametrize(
    ("per_unit", "unit", "tiled"),
    [
        (72, "INCH", True),
        (300, "INCH", True),
        (28.34, "CENTIMETER", True),
        (20000, "NONE", True),
        (20000, "CENTIMETER", False),
    ],
)
def test_printing_resolution_is_no_pixel_size(tmp_path: Path, per_unit: float, unit: str, tiled: bool) -> None:
    path = _tagged(tmp_path, per_unit, unit, tiled)
    with pytest.raises(InputError, match="no microns per pixel") as caught:
        open_slide(path)
    assert "--mpp" in caught.value.fix
    assert open_slide(path, 0.5).frame.mpp == 0.5
    assert open_slide(path, 0.5).notes == []


@pytest.mark.parametrize("dpi", [72, 96, 300, 50800])
def test_dots_per_inch_of_an_image_are_no_pixel_size(tmp_path: Path, dpi: int) -> None:
    for name in ("image.png", "image.jpg"):
        Image.fromarray(PIXELS).save(tmp_path / name, dpi=(dpi, dpi))
        with pytest.raises(InputError, match=f"{name}: no microns per pixel"):
            open_slide(tmp_path / name)


def test_imagej_calibration_is_believed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "ij.tif", PIXELS, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    with open_slide(tmp_path / "ij.tif") as slide:
        assert (slide.reader, slide.frame.mpp) == ("image", pytest.approx(0.25))
        assert (slide.read_box(0, 0, 130, 96, 130, 96) == PIXELS).all()


def test_the_user_wins_and_is_told(cmu_slide: Path) -> None:
    assert open_slide(cmu_slide, 0.5).notes == []  # within 5 %
    assert open_slide(cmu_slide, 0.5).frame.mpp == 0.5
    (note,) = open_slide(cmu_slide, 0.25).notes
    assert "0.25" in note
    assert "0.499" in note


@pytest.mark.parametrize("mpp", [0.0, -1.0, 0.001, 25.0, 352.8, float("nan"), float("inf")])
def test_absurd_pixel_sizes_are_refused(tmp_path: Path, pyramid_slide: Path, mpp: float) -> None:
    with pytest.raises(InputError, match="microns per pixel cannot be"):
        open_slide(pyramid_slide, mpp)
    tifffile.imwrite(tmp_path / "odd.ome.tif", PIXELS, metadata={"axes": "YXS", "PhysicalSizeX": mpp}, **TILED)
    with pytest.raises(InputError, match="microns per pixel"):
        open_slide(tmp_path / "odd.ome.tif")


def test_oblong_pixels_are_noted(tmp_path: Path) -> None:
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.6}
    tifffile.imwrite(tmp_path / "oblong.ome.tif", PIXELS, metadata=metadata, **TILED)
    with open_slide(tmp_path / "oblong.ome.tif") as slide:
        assert slide.frame.mpp == pytest.approx(0.55)
        assert "0.5 x 0.6" in slide.notes[0]


OME = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
IMAGE = '<Image ID="Image:{0}"><Pixels ID="Pixels:{0}" SizeX="{1}" SizeY="{2}" {3}/></Image>'


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ('PhysicalSizeX="0.25" PhysicalSizeY="0.26"', (0.25, 0.26)),
        ('PhysicalSizeX="0.00025" PhysicalSizeXUnit="mm"', (0.25, 0.25)),
        ('PhysicalSizeX="250" PhysicalSizeXUnit="nm" PhysicalSizeY="0.25" PhysicalSizeYUnit="µm"', (0.25, 0.25)),
        ('PhysicalSizeX="1" PhysicalSizeXUnit="pixel"', None),
        ('PhysicalSizeX="wide"', None),
        ("", None),
    ],
)
def test_ome_units(fields: str, expected: tuple[float, float] | None) -> None:
    found = of_ome(OME.format(IMAGE.format(0, 100, 80, fields)), 100, 80)
    assert found == (pytest.approx(expected) if expected else None)


def test_ome_takes_the_image_of_the_slides_size() -> None:
    macro = IMAGE.format(0, 20, 10, 'PhysicalSizeX="50"')
    main = IMAGE.format(1, 100, 80, 'PhysicalSizeX="0.5"')
    assert of_ome(OME.format(macro + main), 100, 80) == (0.5, 0.5)
    assert of_ome("<OME", 100, 80) is None


@pytest.mark.parametrize(("mpp", "said"), [(0.25, 0), (0.65, 0), (0.75, 1), (2.0, 1)])
def test_pixels_larger_than_a_model_learnt_from_are_spoken_of(tmp_path: Path, mpp: float, said: int) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    remarks = open_slide(tmp_path / "a.png", mpp).remarks(0.5)
    assert len(remarks) == said
    assert all(f"a.png: {mpp:g} microns per pixel, the model learnt from 0.5: nuclei are missed" in r for r in remarks)
