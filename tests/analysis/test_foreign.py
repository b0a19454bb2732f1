"""Ink and black do not shift what the nucleus detector takes for light and dark."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from hmgdm_plugin.analysis.cores import slide_limits
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tissue import Tissue
from hmgdm_plugin.zoo.vector import synthetic_tile


def test_the_limits_of_a_slide_with_a_black_border_are_those_of_its_tissue(tmp_path):
    rgb, foreign = synthetic_tile(256), np.zeros((256, 256), bool)
    foreign[:, :80] = True
    Image.fromarray(np.where(foreign[..., None], 0, rgb).astype(np.uint8)).save(tmp_path / "a.png")
    detector = SimpleNamespace(settings=SimpleNamespace(mpp=0.5, percentiles=(1.0, 99.8)))
    with open_slide(tmp_path / "a.png", 0.5) as slide:
        limits = slide_limits(slide, Tissue(~foreign, 1.0, foreign), detector)
        spoilt = slide_limits(slide, Tissue(~foreign, 1.0), detector)
    np.testing.assert_allclose(limits, np.percentile(rgb[~foreign], (1.0, 99.8), axis=0), atol=0.01)
    assert (spoilt[0] < limits[0] - 20).all()
