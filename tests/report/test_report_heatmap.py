"""The heat map file, read back by tifffile."""

import json

import numpy as np
import pytest
import tifffile

from hmgdm_plugin.report.pictures import heatmap_tiff
from hmgdm_plugin.schema.errors import InputError
from hmgdm_plugin.schema.space import Frame, Tile

FRAME = Frame(9000, 9000, 0.25, (1000, 500, 8000, 8000))


def grid(step=512.0):
    places = [(4, 7), (4, 8), (5, 9), (6, 7)]  # (row, col), with gaps, not from zero
    return [Tile(100 + c * step, 50 + r * step, 512.0, 256, 0.5, r, c) for r, c in places]


def test_values_places_and_facts(tmp_path):
    path = tmp_path / "h.tif"
    a, b = np.array([0.1, 0.2, np.nan, 0.4]), np.array([1, 2, 3, 4])
    heatmap_tiff(path, grid(), {"p(tumour)": a, "Kerndichte µ": b}, {"Kerndichte µ": "1/mm²"}, FRAME)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 2
        first, second = (page.asarray() for page in tiff.pages)
        facts = json.loads(tiff.pages[0].description)
        resolution = tiff.pages[0].tags["XResolution"].value
        unit = tiff.pages[0].tags["ResolutionUnit"].value
        assert json.loads(tiff.pages[1].description) == {"quantity": "Kerndichte µ"}
    wanted = np.full((3, 3), np.nan, np.float32)
    wanted[[0, 0, 1, 2], [0, 1, 2, 0]] = a
    np.testing.assert_array_equal(first, wanted)
    assert first.dtype == np.float32
    assert np.isfinite(second).sum() == 4
    assert facts["quantities"] == ["p(tumour)", "Kerndichte µ"]
    assert facts["units"] == {"p(tumour)": "", "Kerndichte µ": "1/mm²"}
    assert facts["origin_px"] == [100 + 7 * 512, 50 + 4 * 512]
    assert facts["qupath_origin_px"] == [100 + 7 * 512 - 1000, 50 + 4 * 512 - 500]
    assert (facts["cell_px"], facts["cell_um"]) == (512, 128)
    assert (resolution[0] / resolution[1], unit) == (pytest.approx(10_000 / 128), 3)


def test_overlapping_grid_has_a_pixel_per_tile(tmp_path):
    heatmap_tiff(tmp_path / "o.tif", grid(256.0), {"v": [1, 2, 3, 4]})
    with tifffile.TiffFile(tmp_path / "o.tif") as tiff:
        facts = json.loads(tiff.pages[0].description)
        assert tiff.pages[0].shape == (3, 3)
    assert (facts["cell_px"], facts["cell_um"]) == (256, 64)
    assert facts["origin_px"] == [100 + 7 * 256 + 128, 50 + 4 * 256 + 128]


def test_same_input_same_bytes_and_no_tiles(tmp_path):
    for name in ("a.tif", "b.tif"):
        heatmap_tiff(tmp_path / name, grid(), {"v": [1, 2, 3, 4]})
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    with pytest.raises(InputError, match="no tiles"):
        heatmap_tiff(tmp_path / "c.tif", [], {"v": []})
