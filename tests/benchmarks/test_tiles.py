from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label as label_of
from skimage.measure import regionprops_table

from benchmarks import tiles
from benchmarks.typed import typed_labels
from hmgdm_plugin.analysis.squares import read_squares
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.training import labelled
from hmgdm_plugin.training.labelled import LabelledTile

ROOT = labelled.data_root()
real = pytest.mark.skipif(not (ROOT / "nuc_monuseg_train").is_dir(), reason=f"no shared data in {ROOT}: set HMGDM_DATA")


@pytest.fixture(name="shared", scope="module")
def _shared():
    return tiles.build(ROOT, ["monuseg", "tnbc"])


@pytest.fixture(name="nuclei")
def _nuclei(tmp_path):
    """Nuclei of 4, 9 and 2 px; the centre of the last lies on x = 8, the first pixel column of the right half."""
    label = np.zeros((16, 16), np.uint16)
    label[1:3, 1:3], label[4:7, 4:7], label[12, 7:9] = 1, 2, 3
    np.savez(tmp_path / "nuclei.npz", label=label)
    return tiles.nucleus_labels(tmp_path / "nuclei.npz", mpp=0.5)


def test_nuclei_by_hand(nuclei):
    whole = nuclei(0.0, 0.0, 16.0)
    by_hand = {"count": 3.0, "density": 3 / (16 * 16 * 0.25e-6), "area": 4 * 0.25, "fraction": 15 / 256}
    assert whole == {**by_hand, "eccentricity": 0.0}  # two squares and a row of two
    assert nuclei(4.0, 12.0, 8.0)["eccentricity"] == 1.0
    assert nuclei(0.0, 0.0, 8.0)["area"] == pytest.approx((4 + 9) / 2 * 0.25)
    assert [nuclei(x, 8.0, 8.0)["count"] for x in (0.0, 8.0)] == [0.0, 1.0]


def test_shapes_are_those_of_another_implementation():
    label = label_of(np.random.default_rng(0).random((60, 60)) > 0.55)
    centres, area, eccentricity = tiles.shapes(label)
    wanted = regionprops_table(label, properties=("centroid", "area", "eccentricity"))
    np.testing.assert_allclose(centres, np.stack([wanted["centroid-1"], wanted["centroid-0"]], axis=1) + 0.5)
    np.testing.assert_array_equal(area, wanted["area"])
    np.testing.assert_allclose(eccentricity, wanted["eccentricity"], atol=1e-6)


def test_an_empty_tile_has_no_area_and_no_label_for_it(nuclei):
    assert nuclei(8.0, 0.0, 4.0) == {"count": 0.0, "density": 0.0, "fraction": 0.0}


def test_density_counts_only_what_lies_in_the_image(nuclei):
    assert nuclei(8.0, 8.0, 16.0)["density"] == pytest.approx(1 / (8 * 8 * 0.25e-6))


def test_types_of_nuclei_by_hand():
    centres = np.array([(1.0, 1.0)] * 6 + [(2.0, 2.0)] * 3 + [(3.0, 3.0), (30.0, 1.0)])
    types = np.array(["a"] * 6 + ["b"] * 3 + ["odd", "a"])
    label = typed_labels(centres, types, ("a", "b", "c"), (64, 64), 0.5)
    found = label(0.0, 0.0, 16.0)
    assert found["type"] == "a"
    assert [found[f"share_{kind}"] for kind in "abc"] == pytest.approx([6 / 9, 3 / 9, 0])
    assert found["count"] == 10.0
    assert label(16.0, 0.0, 16.0).keys() == {"count", "density"}  # one typed nucleus: too few for shares


def test_csv_round_trip(tmp_path, monkeypatch):
    monkeypatch.setenv("HMGDM_DATA", str(tmp_path / "data"))
    inside, outside = tmp_path / "data" / "a" / "x.png", tmp_path / "y.png"
    written = [
        LabelledTile(inside, 0.25, 1 / 3, 0.0, 512.0, "s", "007", "007A", {"count": 3.0, "organ": "lung"}),
        LabelledTile(outside, 0.65, 2.5, 0.1, 196.9, "s", "8", "8", {"benign": 0.0}),
    ]
    labelled.write_csv(written, tmp_path / "tiles.csv")
    assert "\na/x.png,0.25,0.3333333333333333," in (tmp_path / "tiles.csv").read_text().replace("\r", "")
    assert labelled.read_csv(tmp_path / "tiles.csv") == written


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("image,mpp\na.png,0.5\n", "no column 'x_px'"),
        (",".join(labelled.COLUMNS) + "\na.png,half,0,0,9,s,p,q\n", "half"),
    ],
)
def test_a_bad_csv_is_named(tmp_path, text, problem):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=problem) as caught:
        labelled.read_csv(tmp_path / "bad.csv")
    assert "bad.csv" in caught.value.problem


def test_pixels_are_those_of_the_square(tmp_path):
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:30, 20:40] = (200, 100, 50)
    Image.fromarray(image).save(tmp_path / "i.png")
    where = [LabelledTile(tmp_path / "i.png", 0.5, x, 12.0, 16.0, "s", "p", "q", {}) for x in (22.0, 44.0)]
    inside, beside = read_squares(where, size_px=8)
    assert (inside == (200, 100, 50)).all()
    assert (beside == 0).all()


@real
def test_the_shared_data_give_what_their_readme_says(shared):
    assert len(shared) == 480 + 50
    assert len({t.patient for t in shared}) == 30 + 11
    assert sum(t.labels["annotation"] == "instances" for t in shared) == 13 * 16
    assert sum(t.labels["count"] for t in shared if t.source == "tnbc") == 4056
    organs = {(t.labels["organ"], t.patient) for t in shared if t.source == "monuseg"}
    assert sorted(o for o, _ in organs if o in ("lung", "breast", "kidney", "prostate")).count("lung") == 6
    assert all(t.x_px + t.side_px <= 1000 + 1e-9 for t in shared)
    assert 20 < np.median([t.labels["area"] for t in shared]) < 40  # um2: nuclei 5-7 um wide


@real
def test_tiles_with_typed_nuclei_are_grouped_by_image():
    found = tiles.build(ROOT, ["crchisto"])
    assert len({tile.slide for tile in found}) == 100
    assert {tile.patient for tile in found} == {"crchisto"}  # they are not named: never folds by patient
    shares = [[v for k, v in t.labels.items() if k.startswith("share_")] for t in found if "type" in t.labels]
    assert np.allclose(np.sum(shares, axis=1), 1)


@real
def test_no_image_is_there_twice(shared):
    files = {}
    for tile in shared:
        files.setdefault(tile.labels["pixels"], set()).add(Path(tile.image).name)
    assert all(len(names) == 1 for names in files.values())
