"""Label images: formats, scales, who owns a nucleus on a border, and what is refused."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame, Tile
from hmgdm_plugin.slide.labels import LabelImage

FRAME = Frame(600, 400, 0.5, (0, 0, 600, 400))


def _tile(x, y, side=128.0, mpp=0.5):
    return Tile(x, y, side, round(side * FRAME.mpp / mpp), mpp)


@pytest.fixture(name="labels")
def _labels():
    labels = np.zeros((400, 600), np.uint32)
    labels[20:30, 20:30], labels[60:70, 122:130], labels[60:70, 132:140] = 5, 1_000_000, 7
    return labels


def _tiff(path, labels):
    tifffile.imwrite(path, labels, tile=(64, 64), compression="zlib")
    return path


def test_a_nucleus_belongs_to_the_tile_with_its_centre(tmp_path, labels):
    image = LabelImage(_tiff(tmp_path / "a.tif", labels), FRAME)
    left, right = image.of(_tile(0, 0)), image.of(_tile(128, 0))
    assert np.unique(left).tolist() == [0, 5, 1_000_000]
    assert (left == 1_000_000).sum() == 60  # two of its columns lie in the next tile
    assert np.unique(right).tolist() == [0, 7]
    assert (right[60:70, 4:12] == 7).all()


def test_of_a_label_in_pieces_the_largest_is_the_nucleus_and_its_hole_stays(tmp_path, labels):
    labels[90:92, 90:92] = 5
    labels[24:26, 24:26] = 0
    image = LabelImage(_tiff(tmp_path / "a.tif", labels), FRAME)
    left = image.of(_tile(0, 0))
    assert (left == 5).sum() == 96
    assert left[25, 25] == left[91, 91] == 0
    assert list(image.torn) == [1]


@pytest.mark.parametrize("form", ["png", "npz", "strips", "bool"])
def test_forms(tmp_path, labels, form):
    path, small = (
        tmp_path / f"a.{form.replace('strips', 'tif').replace('bool', 'npz')}",
        np.minimum(labels, 9).astype(np.uint16),
    )
    if form == "png":
        Image.fromarray(small).save(path)
    elif form == "strips":
        tifffile.imwrite(path, small)
    else:
        np.savez(path, small.astype(bool) if form == "bool" else small)
    found = LabelImage(path, FRAME).of(_tile(0, 0))
    assert (found[20:30, 20:30] == (1 if form == "bool" else 5)).all()


def test_another_scale_of_labels_and_of_tiles(tmp_path, labels):
    image = LabelImage(_tiff(tmp_path / "half.tif", labels[::2, ::2]), FRAME)
    fine, coarse = image.of(_tile(0, 0, mpp=0.25)), image.of(_tile(0, 0, mpp=1.0))
    assert (fine.shape, (fine == 5).sum()) == ((256, 256), 400)
    assert (coarse.shape, (coarse == 5).sum()) == ((64, 64), 25)


def test_outside_the_slide_there_are_no_nuclei_and_regions_are_not_nuclei(tmp_path, labels):
    labels[100:300, 300:500] = 11
    image = LabelImage(_tiff(tmp_path / "a.tif", labels), FRAME)
    assert not image.of(_tile(-700, 0)).any()
    assert np.unique(image.of(_tile(-64, -64))).tolist() == [0, 5]
    assert not image.of(_tile(340, 140)).any()
    assert sum(image.large) == 1


def test_a_crop_is_placed_where_the_slide_shows_it(tmp_path, labels):
    frame = Frame(1000, 900, 0.5, (100, 50, 600, 400))
    found = LabelImage(_tiff(tmp_path / "a.tif", labels), frame).of(Tile(100, 50, 128.0, 128, 0.5))
    assert (found[20:30, 20:30] == 5).all()


def test_what_is_no_label_image_of_the_slide_is_refused(tmp_path, labels):
    Image.fromarray(np.zeros((400, 600, 3), np.uint8)).save(tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "float.tif", labels.astype(np.float32))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.tif").write_bytes(_tiff(tmp_path / "a.tif", labels).read_bytes()[:60])
    for name, said in (
        ("rgb.png", "not a label image"),
        ("float.tif", "not a label image"),
        ("none.tif", "no such file"),
        ("text.png", "cannot be read"),
        ("cut.tif", "cannot be read"),
    ):
        with pytest.raises(InputError, match=said):
            LabelImage(tmp_path / name, FRAME)
    with pytest.raises(InputError, match="does not cover the slide"):
        LabelImage(_tiff(tmp_path / "other.tif", labels[:, :300]), FRAME)


def test_nothing_but_zeros_and_numbers_below_zero_are_no_nuclei(tmp_path, labels):
    empty = LabelImage(_tiff(tmp_path / "empty.tif", np.zeros_like(labels)), FRAME)
    assert not empty.of(_tile(0, 0)).any()
    assert not empty.negative
    signed = labels.astype(np.int32)
    signed[40:50, 20:30], signed[0:10, 0:10] = -5, -1
    image = LabelImage(_tiff(tmp_path / "signed.tif", signed), FRAME)
    assert np.array_equal(image.of(_tile(0, 0)), LabelImage(_tiff(tmp_path / "a.tif", labels), FRAME).of(_tile(0, 0)))
    assert image.negative
