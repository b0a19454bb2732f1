"""Quality flags: on real tissue as it is and spoilt, and on ink that is drawn here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from hmgdm_plugin.analysis.plan import planned
from hmgdm_plugin.analysis.quality import quality_of
from hmgdm_plugin.schema.events import Events
from hmgdm_plugin.schema.options import EmbedOptions
from hmgdm_plugin.slide.reader import open_slide
from hmgdm_plugin.slide.tissue import ink_share
from hmgdm_plugin.zoo.load import load


@pytest.mark.parametrize(("blur_px", "flagged"), [(0.0, False), (2.0, True)])
def test_real_tissue_is_in_focus_until_it_is_blurred(
    blur_px: float, flagged: bool, cmu_slide: Path, saved_model: Path, tmp_path: Path
) -> None:
    with open_slide(cmu_slide) as slide:
        pixels = slide.read_box(700, 600, 900, 900, 900, 900)
    Image.fromarray(ndimage.gaussian_filter(pixels, (blur_px, blur_px, 0))).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png", 0.5) as slide:
        model = load(saved_model)
        plan = planned(slide, model, EmbedOptions(slides=(slide.path,)), Events())
        found = quality_of(plan, model.card, None)
        known = model.card.model_copy(update={"novelty": SimpleNamespace(usual_share=0.2)})
        usual, novel = (quality_of(plan, known, share) for share in (0.2, 0.21))
    assert ("out of focus" in found["flags"]) == flagged
    assert "hardly any tissue" in found["flags"]
    assert "pen" not in found["flags"]
    assert found["unlike_training_data"].startswith("not available")
    assert novel["flags"] == [*usual["flags"], "unlike the training data"]
    assert (novel["novel_share"], "unlike_training_data" in novel) == (0.21, False)


@pytest.mark.parametrize(("rgb", "seen"), [((30, 60, 170), True), ((20, 120, 60), True), ((180, 60, 120), False)])
def test_blue_and_green_ink_is_seen_and_eosin_is_not(
    rgb: tuple[int, int, int], seen: bool, stained: NDArray[np.uint8]
) -> None:
    drawn = stained.copy()
    drawn[100:140, 50:700] = rgb
    assert ink_share(stained, 2.0) < 0.002
    assert (ink_share(drawn, 2.0) > 0.02) == seen
