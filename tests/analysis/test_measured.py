"""What is measured on nuclei: counted per tissue, areas in square microns."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch

from hmgdm_plugin.analysis.encode import EncodedTile
from hmgdm_plugin.analysis.measured import AREA, DENSITY, UNITS, Measured, by_tile, measured, parted, together
from hmgdm_plugin.model.batch import LatentBatch
from hmgdm_plugin.schema.graph import EntityGraph
from hmgdm_plugin.schema.space import Tile

MM2 = 0.128**2  # of a tile


def _encoded(sides_px: list[float], tissue: float) -> EncodedTile:
    """A tile of 512 level-0 pixels of 0.25 microns: one superpixel, and square nuclei of these sides."""
    n, none = 1 + len(sides_px), torch.zeros(0, 1)
    kind = torch.tensor([0] + [1] * len(sides_px))
    pairs, of = torch.zeros(2, 0, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)
    latent = LatentBatch(
        torch.zeros(n, 1), none, pairs, none, none, of, of[:0], 1, kind, torch.ones(n), torch.tensor([tissue])
    )
    graph = EntityGraph(none, none, pairs, none, none, none, none, none, none, kind.to(torch.uint8), none)
    outlines = np.array([shapely.box(0, 0, side, side) for side in (512, *sides_px)], object)
    tile, pixels = Tile(0, 0, 512, 256, 0.5), np.zeros((0, 0, 3), np.uint8)
    return EncodedTile(tile, pixels, graph, outlines, latent, torch.zeros(n, 1), torch.zeros(1))


def test_nuclei_are_counted_per_tissue_and_measured_in_microns() -> None:
    found = measured(_encoded([8, 16, 20], 0.5))
    assert found.areas_um2.tolist() == [4, 16, 25]
    assert found.values() == {DENSITY: pytest.approx(3 / (0.5 * MM2)), AREA: 16}


def test_a_tile_without_nuclei_has_none_and_no_area() -> None:
    empty, full = measured(_encoded([], 1.0)), measured(_encoded([8, 8, 12, 12], 0.25))
    assert empty.values() == {DENSITY: 0}
    rows = by_tile([empty, full])
    assert rows.keys() == UNITS.keys()
    np.testing.assert_allclose(rows[DENSITY], [0, 4 / (0.25 * MM2)])
    np.testing.assert_allclose(rows[AREA], [np.nan, 6.5])
    assert together([empty, full]).values()[DENSITY] == pytest.approx(4 / (1.25 * MM2))


def test_a_prediction_far_from_the_count_is_spoken_of() -> None:
    nuclei = np.full(50, 30.0, np.float32)
    tiles = [Measured(MM2, nuclei), Measured(MM2, nuclei), Measured(MM2, nuclei[:0])]
    counted = np.full(3, 50 / MM2)
    assert parted("density", 1.4 * counted, tiles) == parted("density", 0.7 * counted, tiles) == ""
    assert parted("density", 1.8 * counted, tiles).startswith("density: predicted 1.8 times the nuclei found")
    assert parted("density", 0.5 * counted, tiles).startswith("density: predicted 0.5 times")
    assert parted("density", counted, tiles[2:]) == ""
