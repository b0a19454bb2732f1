"""Ends of colour scales: what hardly differs looks alike, in the report, the window and QuPath."""

import numpy as np
import pytest

from hmgdm_plugin.gui.results import Group
from hmgdm_plugin.report.canvas import importance_scale
from hmgdm_plugin.schema.shades import scale, shades, signed


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([7.0, 7.1], (6.697, 7.403)),
        ([1.0, 100.0], (2.98, 98.02)),
        ([2.5, np.nan, np.inf], (2.375, 2.625)),
        ([0.0, 0.0], (-0.5, 0.5)),
        ([-7.1, -7.0], (-7.403, -6.697)),
        ([], (0.0, 1.0)),
    ],
)
def test_a_narrow_range_does_not_get_the_whole_scale(values, ends):
    assert shades(values) == pytest.approx(ends, abs=0.005)


def test_tiles_that_hardly_differ_have_nearly_one_colour_in_the_window():
    def apart(low, high):
        group = Group(classes=[None, None], measurements=[{"m": low}, {"m": high}])
        first, last = (np.array(rgb) for rgb in group.colours("m"))
        return np.abs(first - last).max()

    assert apart(7.0, 7.1) < 40 < 180 < apart(7.0, 10.0)


@pytest.mark.parametrize(
    ("values", "two"),
    [([0.0, 0.0], False), ([0.0] * 99 + [5000.0], False), ([5.0] * 99 + [-0.1], True), ([-7.1, -7.0], True)],
)
def test_zero_lies_in_the_middle_wherever_a_value_is_below_it(values, two):
    """Decided alike for the window and the report; tests/scripts asks QuPath's side."""
    low, high = scale([*values, np.nan, -np.inf])
    assert signed(values) == two == (low == -high and np.min(values) < 0)
    assert Group(measurements=[{"m": value} for value in values]).span("m") == (low, high, two)
    drawn = importance_scale(np.array(values))[0].get_clim()
    assert drawn == pytest.approx((low if two else 0.0, high))
