"""Reading boxes: where the pixels come from, to a fraction of a pixel, whatever the reader, level and thread."""

from __future__ import annotations

import multiprocessing
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.slide.reader import Slide, open_slide
from hmgdm_plugin.slide.sampling import BLOCK_PX, usable_levels
from hmgdm_plugin.slide.sources import OpenSlideSource

RATIOS = (1.0, 0.998, 1.002, 1 / 3.7, 2.0, 3.7)


def ramp(width: int, height: int) -> NDArray[np.uint8]:
    """Red is 2 x + 1, green 2 y + 1 at every pixel's centre, blue is flat."""
    y, x = np.mgrid[:height, :width]
    return np.stack([2 * (x + 0.5), 2 * (y + 0.5), np.full(x.shape, 77.0)], 2).astype(np.uint8)


@pytest.fixture
def ramp_slide(tmp_path: Path) -> Path:
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp(120, 110)).save(path)
    return path


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("offset", [(20.0, 20.0), (20.5, 21.25), (23.9, 20.01)])
def test_a_ramp_is_read_where_it_is(ramp_slide: Path, ratio: float, offset: tuple[float, float]) -> None:
    size = 18
    with open_slide(ramp_slide, 0.5) as slide:
        pixels = slide.read(*offset, size * ratio, size).astype(float)
    x = offset[0] + (np.arange(size) + 0.5) * ratio
    y = offset[1] + (np.arange(size) + 0.5) * ratio
    assert np.abs(pixels[..., 0] - 2 * x).max() <= 0.6  # a quarter of a pixel off would be 0.5 more
    assert np.abs(pixels[..., 1] - 2 * y[:, None]).max() <= 0.6
    assert (pixels[..., 2] == 77).all()


def test_ratio_one_copies_the_pixels(ramp_slide: Path) -> None:
    with open_slide(ramp_slide, 0.5) as slide:
        assert (slide.read(7, 9, 64, 64) == ramp(120, 110)[9:73, 7:71]).all()


def test_sides_may_have_different_scales(ramp_slide: Path) -> None:
    with open_slide(ramp_slide, 0.5) as slide:
        pixels = slide.read_box(20, 20, 60, 30, 20, 30).astype(float)
    assert pixels.shape == (30, 20, 3)
    assert np.abs(pixels[0, :, 0] - 2 * (20 + (np.arange(20) + 0.5) * 3)).max() <= 0.6
    assert np.abs(pixels[:, 0, 1] - 2 * (20 + np.arange(30) + 0.5)).max() <= 0.6


def test_outside_is_white_and_the_edge_is_not_blurred_with_it(tmp_path: Path) -> None:
    Image.new("RGB", (50, 40), (10, 20, 30)).save(tmp_path / "dark.png")
    with open_slide(tmp_path / "dark.png", 0.5) as slide:
        pixels = slide.read(-8, -6, 64, 64)
        expected = np.full((64, 64, 3), 255)
        expected[6:46, 8:58] = 10, 20, 30
        assert (pixels == expected).all()
        for ratio in RATIOS:
            values = {tuple(value) for value in slide.read(-8.3, -6.6, 64 * ratio, 64).reshape(-1, 3).tolist()}
            assert values <= {(255, 255, 255), (10, 20, 30)}
            assert len(values) == 2
        assert (slide.read(500, 0, 32, 32) == 255).all()
        assert (slide.read(-100, -100, 32, 32) == 255).all()


def test_reducing_averages_every_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    with open_slide(tmp_path / "noise.png", 0.5) as slide:
        assert slide.read(0, 0, 256, 16).std() < 0.1 * noise.std()  # nearest neighbours would keep all of it


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.99, 4.0, 4.7, 8.0])
def test_levels_agree_with_level_zero(tmp_path: Path, scale: float) -> None:
    width, height = 125, 115  # not divisible: stored as 62 x 57 and 31 x 28
    levels = [ramp(width, height)]
    for _ in range(2):
        h, w = (side // 2 * 2 for side in levels[-1].shape[:2])
        levels.append(levels[-1][:h, :w].reshape(h // 2, 2, w // 2, 2, 3).mean((1, 3)).astype(np.uint8))
    with tifffile.TiffWriter(tmp_path / "levels.tif") as tif:
        for number, level in enumerate(levels):
            tif.write(level, tile=(16, 16), photometric="rgb", subfiletype=int(number > 0), metadata=None)
    with open_slide(tmp_path / "levels.tif", 0.5) as slide:
        assert slide.level_downsamples == (1.0, 2.0, 4.0)
        size = int(80 / scale)
        pixels = slide.read(40.5, 30.0, size * scale, size).astype(float)
        assert (slide.read(width - 3 * scale, 0, 3 * scale, 3) != 255).all()  # covered to the last pixel
    x = 40.5 + (np.arange(size) + 0.5) * scale
    inside = x < width - 2 * scale
    assert np.abs(pixels[:, inside, 0] - 2 * x[inside]).max() <= 1.6  # levels are rounded, too


def test_levels_of_another_shape_are_left_out() -> None:
    sizes = [(1000, 800), (500, 400), (251, 200), (120, 120), (62, 50)]
    found = usable_levels(sizes)
    assert [number for number, _ in found] == [0, 1, 2, 4]
    assert [downsample for _, downsample in found] == [1.0, 2.0, pytest.approx(3.992, abs=1e-3), 16.0]


def test_large_boxes_are_read_in_blocks(tmp_path: Path) -> None:
    width, height = BLOCK_PX + 1000, 300
    stripes = np.zeros((height, width, 3), np.uint8)
    stripes[..., 0] = np.linspace(0, 250, width)[None]
    tifffile.imwrite(tmp_path / "wide.tif", stripes, tile=(256, 256), photometric="rgb", compression="deflate")
    with open_slide(tmp_path / "wide.tif", 0.5) as slide:
        whole = slide.read_box(0, 0, width, height, 637, 30)
        assert np.abs(whole[..., 0] - np.linspace(0, 250, 637)).max() < 2  # no seam at the block's edge
        parts = [slide.read_box(0, 0, width / 637 * 400, height, 400, 30)]
        parts.append(slide.read_box(width / 637 * 400, 0, width / 637 * 237, height, 237, 30))
        assert np.abs(np.concatenate(parts, 1).astype(int) - whole).max() <= 1


def test_memory_does_not_follow_the_size_of_a_box(tmp_path: Path) -> None:
    side = 3 * BLOCK_PX
    glass = np.full((512, 512, 3), 255, np.uint8)
    tiles = iter([glass, *[None] * ((side // 512) ** 2 - 1)])  # None: never scanned
    with tifffile.TiffWriter(tmp_path / "blank.tif") as tif:
        tif.write(tiles, shape=(side, side, 3), dtype=np.uint8, tile=(512, 512), photometric="rgb", compression="lzw")
    with open_slide(tmp_path / "blank.tif", 0.5) as slide:
        tracemalloc.start()
        thumbnail, scale = slide.thumbnail(128)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert thumbnail.shape == (128, 128, 3)
    assert (thumbnail == 255).all()
    assert scale == side / 128
    assert peak < side * side * 3 * 0.6  # the level as a whole never exists


def test_thumbnail_keeps_proportions(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        thumbnail, scale = slide.thumbnail(300)
        assert thumbnail.shape == (300, 224, 3)
        assert scale == pytest.approx(2967 / 300)
        assert open_slide(cmu_slide, 0.499).thumbnail(10**6)[1] == 1.0


def test_readers_agree_on_a_real_slide(cmu_slide: Path) -> None:
    import openslide
    import tiffslide

    boxes = [(0, 0), (777, 1234), (1963, 2710), (2100, 2900)]
    oracle, other = tiffslide.TiffSlide(cmu_slide), openslide.OpenSlide(cmu_slide)
    with open_slide(cmu_slide) as slide, Slide(cmu_slide, OpenSlideSource(cmu_slide), None) as twin:
        assert (slide.reader, twin.reader) == ("tiffslide", "openslide")
        assert slide.frame == twin.frame
        for x, y in boxes:
            width, height = min(257, 2220 - x), min(257, 2967 - y)
            pixels = slide.read_box(x, y, width, height, width, height)
            assert (pixels == oracle.read_region((x, y), 0, (width, height), as_array=True)).all()
            theirs = np.asarray(other.read_region((x, y), 0, (width, height)).convert("RGB"))
            assert np.abs(pixels.astype(int) - theirs).max() <= 4  # two JPEG decoders
            assert np.abs(slide.read(x + 0.3, y, 300, 200).astype(int) - twin.read(x + 0.3, y, 300, 200)).max() <= 4


def test_threads_read_the_same_bytes(cmu_slide: Path) -> None:
    boxes = [(x * 1.7, y * 1.3) for y in range(0, 2000, 400) for x in range(0, 1500, 300)]
    with open_slide(cmu_slide) as slide:
        alone = [slide.read(x, y, 129.3, 128).tobytes() for x, y in boxes]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda box: slide.read(*box, 129.3, 128).tobytes(), boxes * 4))
    assert together == alone * 4


def _read_in_child(slide: Slide, queue: multiprocessing.Queue[bytes]) -> None:
    queue.put(slide.read(100, 200, 300, 64).tobytes())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same_bytes(pyramid_slide: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    with open_slide(pyramid_slide) as slide:
        expected = slide.read(100, 200, 300, 64).tobytes()
        if method == "spawn":  # what spawn does, without its second of imports
            assert pickle.loads(pickle.dumps(slide)).read(100, 200, 300, 64).tobytes() == expected
            return
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=_read_in_child, args=(slide, queue))
        child.start()
        assert queue.get(timeout=30) == expected
        child.join(30)
        assert child.exitcode == 0
        assert slide.read(100, 200, 300, 64).tobytes() == expected


def test_a_closed_slide_says_so(pyramid_slide: Path) -> None:
    slide = open_slide(pyramid_slide)
    slide.close()
    with pytest.raises(ValueError, match="closed"):
        slide.read(0, 0, 10, 10)


def test_fingerprint_is_of_the_content(tmp_path: Path, pyramid_slide: Path) -> None:
    data = bytearray(pyramid_slide.read_bytes())
    same, other = tmp_path / "same.tif", tmp_path / "other.tif"
    same.write_bytes(data)
    data[-1] ^= 1
    other.write_bytes(data)
    prints = [open_slide(path, 0.5).fingerprint() for path in (pyramid_slide, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 64


def test_damage_found_while_reading_is_one_sentence(tmp_path: Path, cmu_slide: Path) -> None:
    data = bytearray(cmu_slide.read_bytes())
    with tifffile.TiffFile(cmu_slide) as tif:
        start = tif.pages.first.dataoffsets[0]
    data[start : start + 200] = bytes(200)
    path = tmp_path / "damaged.svs"
    path.write_bytes(data)
    with open_slide(path) as slide, pytest.raises(InputError, match=r"damaged\.svs: cannot be read"):
        slide.read(0, 0, 100, 100)
