"""Seams: whatever the tiles, the same nuclei as without any."""

from __future__ import annotations

import numpy as np
import pytest

from hmgdm_plugin.nuclei.seams import Seams
from hmgdm_plugin.nuclei.stars import Candidates, kept

SIDE, THRESHOLD = 640, 0.3


def _crowd(count: int = 4000, clumps: int = 300) -> Candidates:
    """Clumps of overlapping discs of many sizes: what a network says of a dense tissue."""
    rng = np.random.default_rng(3)
    middles = rng.uniform(0, SIDE, (clumps, 2))
    points = (
        (middles[rng.integers(clumps, size=count)] + rng.normal(0, 5, (count, 2))).round().astype(np.int64) // 2 * 2
    )
    points = np.unique(points.clip(0, SIDE - 2), axis=0)
    radius = rng.uniform(4, 14, (len(points), 1)) * rng.uniform(0.8, 1.2, (len(points), 16))
    return Candidates(points, rng.uniform(0.5, 1, len(points)).round(2).astype(np.float32), radius.astype(np.float32))


def _in_tiles(crowd: Candidates, core: int, halo: int, gaps: frozenset[tuple[int, int]] = frozenset()) -> Candidates:
    """Hand `crowd` over in tiles; every core must come back, in order."""
    across = -(-SIDE // core)
    places = [(row, col) for row in range(across) for col in range(across) if (row, col) not in gaps]
    seams: Seams[tuple[int, int]] = Seams(places, core, halo, THRESHOLD)
    owner = crowd.points // core
    came, parts = [], []
    for place in places:
        for found, carried in seams.add(place, crowd.taken((owner == place).all(axis=1)), place):
            assert (found.points // core == carried).all()
            came.append(carried)
            parts.append(found)
    assert came == places
    return Candidates(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("points", "probability", "distances"))
    )


def _sorted(found: Candidates) -> list[list[int]]:
    return sorted(found.points.tolist())


@pytest.mark.parametrize(("core", "halo"), [(640, 80), (320, 80), (160, 80), (96, 80), (128, 128)])
def test_tiles_change_nothing(core: int, halo: int) -> None:
    crowd = _crowd()
    whole, tiled = kept(crowd, THRESHOLD), _in_tiles(crowd, core, halo)
    assert 250 < len(whole) < 1500
    assert _sorted(tiled) == _sorted(whole)
    at = {tuple(point): value for point, value in zip(whole.points.tolist(), whole.probability.tolist(), strict=True)}
    assert all(at[tuple(p)] == v for p, v in zip(tiled.points.tolist(), tiled.probability.tolist(), strict=True))


def test_the_order_of_candidates_does_not_matter() -> None:
    crowd = _crowd()
    mixed = crowd.taken(np.random.default_rng(0).permutation(len(crowd)))
    assert _sorted(kept(mixed, THRESHOLD)) == _sorted(kept(crowd, THRESHOLD))


def test_no_nucleus_comes_twice_even_where_the_halo_is_too_small() -> None:
    crowd = _crowd()
    tiled = _in_tiles(crowd, 64, 16)
    assert len(np.unique(tiled.points, axis=0)) == len(tiled)
    assert len(kept(tiled, THRESHOLD)) >= 0.97 * len(tiled)


def test_gaps_and_empty_tiles_are_no_trouble() -> None:
    crowd = _crowd()
    gaps = frozenset({(0, 0), (1, 2), (3, 3), (2, 1)})
    there = ~np.array([tuple(owner) in gaps for owner in (crowd.points // 160).tolist()])
    crowd = crowd.taken(there)
    assert _sorted(_in_tiles(crowd, 160, 80, gaps)) == _sorted(kept(crowd, THRESHOLD))
    assert len(_in_tiles(crowd.taken(np.zeros(len(crowd), bool)), 160, 80)) == 0


def test_only_about_two_rows_wait() -> None:
    seams: Seams[None] = Seams([(row, col) for row in range(50) for col in range(4)], 64, 32, THRESHOLD)
    nothing = Candidates(np.empty((0, 2), np.int64), np.empty(0, np.float32), np.empty((0, 8), np.float32))
    for row in range(50):
        for col in range(4):
            list(seams.add((row, col), nothing, None))
        assert len(seams._tiles) <= 12
