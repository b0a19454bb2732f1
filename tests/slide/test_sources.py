"""Every kind of file: which reader, which pixels; and one sentence for those that cannot be read."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.slide.reader import open_slide

TILED: dict[str, Any] = {"tile": (64, 64), "photometric": "rgb", "compression": "deflate"}
PIXELS = np.random.default_rng(5).integers(0, 256, (96, 130, 3), dtype=np.uint8)


def test_pyramidal_tiff(pyramid_slide: Path, stained: NDArray[np.uint8]) -> None:
    with open_slide(pyramid_slide) as slide:
        assert (slide.reader, slide.name, slide.notes) == ("tiffslide", "pyramid", [])
        assert (slide.frame.width_px, slide.frame.height_px, slide.frame.mpp) == (800, 600, 0.5)
        assert slide.frame.bounds == (0, 0, 800, 600)
        assert slide.level_downsamples == (1.0, 2.0, 4.0)
        assert (slide.read_box(0, 0, 800, 600, 800, 600) == stained).all()


def test_ome_tiff_takes_its_pixel_size_from_the_xml(ome_slide: Path, stained: NDArray[np.uint8]) -> None:
    with open_slide(ome_slide) as slide:
        assert (slide.reader, slide.name) == ("tiffslide", "case_1.ome")
        assert slide.frame.mpp == pytest.approx(0.5)  # not the 72 dpi of its tags
        assert slide.level_downsamples == (1.0, 2.0, 4.0)
        assert (slide.read(100, 50, 128, 128) == stained[50:178, 100:228]).all()
        half = stained[:256, 100:356].reshape(128, 2, 128, 2, 3).mean((1, 3))
        assert np.abs(slide.read(100, 0, 256, 128) - half).max() <= 1


def test_planes_and_pages_of_one_colour_each(tmp_path: Path) -> None:
    planes = PIXELS.transpose(2, 0, 1)
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    quarter = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "planes.tif", planes, planarconfig="separate", **quarter, **TILED)
    pages = {**TILED, "photometric": "minisblack", "metadata": {"axes": "CYX", **size}}
    tifffile.imwrite(tmp_path / "pages.ome.tif", planes, **pages)
    for name in ("planes.tif", "pages.ome.tif"):
        with open_slide(tmp_path / name) as slide:
            assert slide.frame.mpp == pytest.approx(0.25)
            assert (slide.read_box(0, 0, 130, 96, 130, 96) == PIXELS).all()


def test_bounds_are_kept_apart_from_the_pixels(bounds_slide: Path, stained: NDArray[np.uint8]) -> None:
    with open_slide(bounds_slide) as slide:
        assert slide.reader == "openslide"
        assert (slide.frame.width_px, slide.frame.height_px) == (1600, 1200)
        assert slide.frame.bounds == (96, 160, 800, 600)
        assert (slide.read(96 + 300, 160 + 200, 100, 100) == stained[200:300, 300:400]).all()
        assert (slide.read(10, 10, 80, 80) == 255).all()  # transparent in openslide
        assert slide.frame.to_qupath(np.array([396.0, 360.0])).tolist() == [300.0, 200.0]


@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_a_slide_whose_last_bytes_are_missing_says_so(tmp_path: Path, stained: NDArray[np.uint8], cut: int) -> None:
    """The slide is whole; what is cut off lies behind it, as an overview does."""
    whole = tmp_path / "whole.tif"
    with tifffile.TiffWriter(whole) as tif:
        tif.write(stained, tile=(128, 128), photometric="rgb", resolution=(20000, 20000), resolutionunit="CENTIMETER")
        tif.write(stained[:64, :64], photometric="rgb", description="label " * 20)
    with open_slide(whole) as slide:
        assert slide.notes == []
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[:-cut])
    with open_slide(tmp_path / "cut.tif") as slide:
        assert "the end of the file is missing" in slide.notes[0]
        assert (slide.read(300, 200, 100, 100) == stained[200:300, 300:400]).all()


@pytest.mark.parametrize("name", ["openslide_boxes_0.dcm", "openslide_boxes_1.dcm"])
def test_dicom(shared_data: Path, name: str) -> None:
    import openslide

    path = shared_data / "wsi" / name
    with open_slide(path) as slide:
        assert (slide.reader, slide.frame.width_px, slide.frame.mpp) == ("openslide", 16, 0.499)
        theirs = np.asarray(openslide.OpenSlide(path).read_region((0, 0), 0, (16, 16)).convert("RGB"))
        assert (slide.read(0, 0, 16, 16) == theirs).all()


def test_dicom_that_openslide_refuses(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"pathml_small_dicom\.dcm: cannot be read .*flavor") as caught:
        open_slide(shared_data / "wsi" / "pathml_small_dicom.dcm", 0.5)
    assert "OME-TIFF" in caught.value.fix


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
def test_ordinary_images_of_any_mode(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.save(path, dpi=(96, 96))
    with open_slide(path, 0.5) as slide:
        assert slide.reader == "image"
        expected = np.asarray(image.convert("RGB"))
        assert (slide.read_box(0, 0, 130, 96, 130, 96) == expected).all()
        assert bool(slide.notes) == (mode in ("L", "LA", "1"))


def test_transparency_is_glass(tmp_path: Path) -> None:
    pixels = np.dstack([PIXELS, np.full((96, 130), 255, np.uint8)])
    pixels[:, :50, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "clear.png")
    with open_slide(tmp_path / "clear.png", 0.5) as slide:
        read = slide.read_box(0, 0, 130, 96, 130, 96)
    assert (read[:, :50] == 255).all()
    assert (read[:, 50:] == PIXELS[:, 50:]).all()


def test_exif_rotation_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(PIXELS).save(tmp_path / "turned.jpg", exif=exif)
    with open_slide(tmp_path / "turned.jpg", 0.5) as slide:
        assert (slide.frame.width_px, slide.frame.height_px) == (130, 96)


def test_an_image_of_one_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (9, 8, 7)).save(tmp_path / "dot.png")
    with open_slide(tmp_path / "dot.png", 0.5) as slide:
        assert slide.thumbnail()[0].tolist() == [[[9, 8, 7]]]
        pixels = slide.read(-1.0, -1.0, 3.0, 3)
        assert (pixels == 255).all(2).sum() == 8
        assert pixels[1, 1].tolist() == [9, 8, 7]


def _deep(path: Path) -> None:
    tifffile.imwrite(path, PIXELS.astype(np.uint16), **TILED)


def _deep_strips(path: Path) -> None:
    tifffile.imwrite(path, PIXELS.astype(np.uint16) * 16, photometric="rgb")


def _channels(path: Path) -> None:
    tifffile.imwrite(
        path, np.zeros((5, 96, 130), np.uint8), tile=(64, 64), photometric="minisblack", planarconfig="separate"
    )


def _palette(path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, PIXELS[..., 0], tile=(64, 64), photometric="palette", colormap=colours)


def _deep_grey(path: Path) -> None:
    Image.fromarray(PIXELS[..., 0].astype(np.uint16)).save(path)


def _cut_tiff(path: Path) -> None:
    tifffile.imwrite(path, PIXELS, **TILED)
    data = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        last = tif.pages.first.dataoffsets[-1]
    path.write_bytes(data[: last + 10])


def _cut_png(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:9000])


def _bomb(path: Path) -> None:
    Image.new("1", (8, 8)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 200_000, 200_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)


def _text(path: Path) -> None:
    path.write_text("a slide, honestly")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("deep.tif", _deep, "uint16 is not an 8-bit RGB image"),
        ("channels.tif", _channels, "is not an 8-bit RGB image"),
        ("palette.tif", _palette, "is not an 8-bit RGB image"),
        ("12 bits in 16.tif", _deep_strips, "more than 8 bits"),
        ("deep.png", _deep_grey, "more than 8 bits"),
        ("cut.tif", _cut_tiff, "cut short|cannot be read"),
        ("cut.png", _cut_png, "truncated|cannot be read"),
        ("bomb.png", _bomb, "decompression bomb"),
        ("text.svs", _text, "cannot be read"),
        ("nothing.tif", _nothing, "cannot be read"),
    ],
)
def test_bad_files_are_one_sentence(tmp_path: Path, name: str, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        open_slide(tmp_path / name, 0.5)
    assert name in caught.value.problem
    assert str(tmp_path) not in caught.value.problem
    assert caught.value.fix


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_slide(tmp_path / "gone.svs")
    with pytest.raises(InputError, match="is a folder"):
        open_slide(tmp_path)


def test_the_corrupt_slide(shared_data: Path) -> None:
    with pytest.raises(InputError, match=r"broken\.svs"):
        open_slide(shared_data / "wsi" / "broken.svs", 0.5)


@pytest.mark.parametrize("kind", ["pyramid_slide", "ome_slide", "bounds_slide"])
def test_flipped_and_cut_bytes_never_escape(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source: Path = request.getfixturevalue(kind)
    data, chance = source.read_bytes(), random.Random(1)
    path, refused = tmp_path / source.name, 0
    for _ in range(40):
        copy = bytearray(data[: chance.randrange(1, len(data))] if chance.random() < 0.3 else data)
        for _ in range(chance.choice((1, 3, 20))):
            copy[chance.randrange(min(len(copy), chance.choice((600, len(copy)))))] = chance.randrange(256)
        path.write_bytes(copy)
        try:
            with open_slide(path, 0.5) as slide:
                slide.read(0.5, 0.5, 200, 50)
                slide.thumbnail(64)
        except InputError:
            refused += 1
    assert refused > 5
