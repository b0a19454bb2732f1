"""That the layouts differ in arrangement alone: amounts agree exactly, borders as closely as each kind says."""

from functools import cache

import numpy as np
import pytest

from benchmarks.layouts import KINDS, SIDE, border_px
from benchmarks.quilt import TEXTURES, Textures


@cache
def layouts_of(kind):
    """One layout by every maker of every class."""
    rng = np.random.default_rng(1)
    return [maker(rng) for makers in KINDS[kind].values() for maker in makers]


@pytest.mark.parametrize("kind", KINDS)
def test_every_class_of_a_kind_has_the_same_amounts(kind):
    wanted = {"fields": (0.5, 0.5, 0), "fields_even": (0.5, 0.5, 0), "order": (1 / 3,) * 3}
    rim = np.pi * 36**2 / SIDE**2, np.pi * (54**2 - 36**2) / SIDE**2
    wanted["placement"] = (1 - (spots := 12 * np.pi * 13**2 / SIDE**2), spots, 0)
    wanted["rim"] = (1 - sum(rim), *rim)
    for layout in layouts_of(kind):
        shares = np.bincount(layout.ravel(), minlength=TEXTURES) / layout.size
        assert shares == pytest.approx(wanted[kind], abs=0.01)


@pytest.mark.parametrize("kind", ["fields_even", "placement", "rim"])
def test_borders_are_equally_long(kind):
    lengths = [border_px(layout) for layout in layouts_of(kind)]
    assert max(lengths) < 1.08 * min(lengths)


def test_the_middle_texture_touches_both_others_which_never_touch():
    for label, makers in KINDS["order"].items():
        middle = int(label.split()[1])
        others = [k for k in range(3) if k != middle]
        for maker in makers:
            layout = maker(np.random.default_rng(3))
            sides = np.concatenate([np.stack([layout[1:].ravel(), layout[:-1].ravel()]),
                                    np.stack([layout[:, 1:].ravel(), layout[:, :-1].ravel()])], axis=1)  # fmt: skip
            pairs = {tuple(sorted(pair)) for pair in np.unique(sides, axis=1).T.tolist() if pair[0] != pair[1]}
            assert pairs == {tuple(sorted((middle, other))) for other in others}


def test_pictures_hold_the_textures_where_the_layout_says_and_repeat_for_a_seed():
    bright, dark = np.full((100, 100, 3), 220, np.uint8), np.full((100, 100, 3), 60, np.uint8)
    noise = np.random.default_rng(0).integers(-9, 9, size=(100, 100, 3))
    images = [(image + noise).astype(np.uint8) for image in (bright, dark, np.full((100, 100, 3), 140))]
    textures = Textures(images, 0)
    levels = [own.mean() for own in textures.patches]
    layout = np.zeros((SIDE, SIDE), np.uint8)
    layout[:, 100:] = 1
    first, again = (textures.laid_out(layout, [0, 2], np.random.default_rng(5)) for _ in range(2))
    assert (first == again).all()
    assert first[:, :90].mean() == pytest.approx(levels[0], abs=2)
    assert first[:, 110:].mean() == pytest.approx(levels[2], abs=2)
    assert sorted(levels) == pytest.approx([60, 140, 220], abs=2)
