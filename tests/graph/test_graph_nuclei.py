"""Nuclei as vertices: maps from outlines and labels, who is joined to whom, and superpixels that stay as they are."""

import numpy as np
import pytest
import shapely
import torch

from hmgdm_plugin.graph.build import build
from hmgdm_plugin.graph.nuclei import LEAST_PX, burned, joined, labelled
from hmgdm_plugin.schema.settings import GraphSettings
from hmgdm_plugin.schema.space import Tile
from hmgdm_plugin.zoo.vector import synthetic_tile

SETTINGS = GraphSettings(entities="tissue+nuclei")
SMALL = Tile(100.0, 200.0, 128.0, 64, 0.5)  # two level-0 pixels per pixel


def _boxes(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    """Boxes in pixels of SMALL as outlines in level-0 pixels."""
    return shapely.transform(np.array([shapely.box(*box) for box in boxes]), SMALL.to_slide)


def _nuclei(tile: Tile, *centres: tuple[float, float], radius: float = 6.0):
    discs = [shapely.Point(centre).buffer(radius) for centre in centres]
    return burned(shapely.transform(np.array(discs), tile.to_slide), tile)


def test_a_box_covers_the_pixels_whose_centre_lies_in_it():
    found = burned(_boxes((10, 20, 14, 23)), SMALL)
    assert np.argwhere(found.labels == 1).tolist() == [[y, x] for y in (20, 21, 22) for x in (10, 11, 12, 13)]
    assert (found.labels > 0).sum() == 12


def test_where_outlines_overlap_the_first_wins_and_a_copy_vanishes():
    found = burned(_boxes((10, 10, 20, 20), (10, 10, 20, 20), (15, 15, 25, 25)), SMALL)
    assert len(found) == 2
    assert ((found.labels == 1).sum(), (found.labels == 2).sum()) == (100, 75)
    assert shapely.area(found.outlines).tolist() == [400, 400]


def test_outlines_beyond_the_tile_are_cut_and_those_outside_are_dropped():
    found = burned(_boxes((-5, -5, 5, 5), (60, 60, 1e7, 1e7), (-50, 0, -40, 10), (0, 900, 9, 910)), SMALL)
    assert len(found) == 2
    assert ((found.labels == 1).sum(), (found.labels == 2).sum()) == (25, 16)


def test_crossed_and_thin_outlines_and_rings_with_holes_do_no_harm():
    bow = shapely.Polygon([(10, 10), (30, 30), (30, 10), (10, 30)])
    ring = shapely.box(40, 40, 60, 60).difference(shapely.box(45, 45, 55, 55))
    line = shapely.Polygon([(0, 0), (50, 50), (0, 0)])
    found = burned(shapely.transform(np.array([bow, ring, line, shapely.Polygon()]), SMALL.to_slide), SMALL)
    assert len(found) == 2
    assert (found.labels == 2).sum() == 300
    assert 150 < (found.labels == 1).sum() < 250
    assert len(burned(np.empty(0, object), SMALL)) == 0


def test_labels_may_have_gaps_and_crumbs():
    labels = np.zeros((64, 64), np.uint32)
    labels[10:20, 10:20], labels[30:40, 30:36], labels[50, 50 : 50 + LEAST_PX - 1] = 7, 70_000, 9
    found = labelled(labels, SMALL)
    assert len(found) == 2
    assert ((found.labels == 1).sum(), (found.labels == 2).sum()) == (100, 60)
    assert found.outlines[0].bounds == (120, 220, 140, 240)


def test_a_tile_full_of_nuclei_has_no_background():
    labels = np.ones((64, 64), np.int32)
    labels[:, 32:] = 5
    found = labelled(labels, SMALL)
    assert [each.area for each in found.outlines] == [128 * 64, 128 * 64]
    assert len(joined(found, np.zeros((64, 64), np.int32), 1, SETTINGS).bands) == 2 + 0  # centres 16 um apart
    assert len(labelled(np.zeros((64, 64), np.int32), SMALL)) == 0
    assert len(labelled(np.ones((64, 64), np.int32), SMALL)) == 1


def test_each_nucleus_hangs_on_the_superpixel_under_most_of_it():
    superpixels = np.repeat(np.arange(4, dtype=np.int32), 16)[None].repeat(64, axis=0)  # four columns
    more = joined(_nuclei(SMALL, (8, 10), (17, 40), (40, 32)), superpixels, 4, SETTINGS)
    held = more.edges[:, :3]
    assert held[1].tolist() == [4, 5, 6]
    assert held[0].tolist() == [0, 1, 2]


def test_near_nuclei_are_joined_both_ways_agreed_and_capped():
    centres = [(10, 10), (24, 10), (10, 24), (60, 60)]
    pairs = {
        tuple(pair)
        for pair in joined(_nuclei(SMALL, *centres), np.zeros((64, 64), np.int32), 1, SETTINGS).edges.T[4:].tolist()
    }
    assert pairs == {(1, 2), (1, 3), (2, 3)}
    few = SETTINGS.model_copy(update={"near_most": 1})
    crowd = [(8 + 16 * k, 30) for k in range(4)]
    edges = joined(_nuclei(SMALL, *crowd), np.zeros((64, 64), np.int32), 1, few).edges[:, 4:]
    assert np.bincount(edges.ravel()).max() <= 1
    none = SETTINGS.model_copy(update={"near_most": 0})
    assert joined(_nuclei(SMALL, *crowd), np.zeros((64, 64), np.int32), 1, none).edges.shape == (2, 4)


def test_rims_lie_on_both_sides_of_the_border_and_strips_between_the_centres():
    nuclei = _nuclei(SMALL, (20, 30), (40, 30))
    more = joined(nuclei, np.zeros((64, 64), np.int32), 1, SETTINGS)
    rim = more.bands.pixels[: more.bands.offsets[1]]
    on = nuclei.labels.ravel()[rim] == 1
    assert 0.3 < on.mean() < 0.7
    assert not set(rim) & {30 * 64 + 20}
    strip = more.bands.pixels[more.bands.offsets[2] :]
    assert {30 * 64 + x for x in range(20, 40)} <= set(strip.tolist())
    assert len(strip) < 22 * 7


def test_the_graph_grows_and_its_superpixels_stay():
    tile = Tile(1000.5, 2000.25, 512.0, 256, 0.5)
    rgb = synthetic_tile(256)
    plain, labels = build(rgb, tile, "case", SETTINGS)
    nuclei = _nuclei(tile, (40, 40), (60, 40), (100, 200), (255, 255))
    graph, same = build(rgb, tile, "case", SETTINGS, nuclei)
    n = plain.num_nodes
    assert np.array_equal(labels, same)
    assert graph.num_nodes == n + 4
    assert graph.kind.tolist() == [0] * n + [1] * 4
    assert all(torch.equal(getattr(graph, key)[:n], getattr(plain, key)) for key in ("x", "desc", "pos"))
    old = (graph.edge_index < n).all(0)
    assert all(
        torch.equal(getattr(graph, key)[old], getattr(plain, key))
        for key in ("edge_attr", "edge_desc", "edge_pos", "edge_area")
    )
    assert torch.equal(graph.edge_index[:, old], plain.edge_index)
    assert graph.edge_index.shape[1] == plain.edge_index.shape[1] + 4 + 1
    codes = graph.edge_index[0] * graph.num_nodes + graph.edge_index[1]
    assert (codes.diff() > 0).all()
    assert (graph.edge_index[0] < graph.edge_index[1]).all()
    assert float(graph.area.sum()) == pytest.approx(1, abs=1e-5)
    assert graph.pos[n].tolist() == pytest.approx([1000.5 + 80, 2000.25 + 80], abs=0.1)
    assert graph.x[n:, 3].float().mean() > 20
    assert torch.isfinite(graph.edge_desc.float()).all()


def test_no_nuclei_is_the_plain_graph():
    tile = Tile(0.0, 0.0, 512.0, 256, 0.5)
    plain, _ = build(synthetic_tile(256), tile, "case", SETTINGS)
    empty, _ = build(synthetic_tile(256), tile, "case", SETTINGS, burned(np.empty(0, object), tile))
    assert all(
        torch.equal(getattr(plain, key), getattr(empty, key))
        for key in ("x", "desc", "area", "edge_index", "edge_attr", "kind")
    )
