"""Layouts of two or three textures in one tile: the same amounts and, where said, the same length of border.

A layout is a map (256, 256) of 0, 1, 2. Each kind asks one question that is answered by where the textures lie:

=============  ==================================================================================================
fields         halves, quarters, stripes or a disc, half of the tile each; borders are as long as the shape makes them
fields_even    quarters, three stripes or a disc, borders made equally long by roughening them
placement      twelve equal spots: clustered, dispersed at random, or regular
order          bands or nested rings of three textures, a third each: which of them touches both others
rim            an island with a rim of a third texture, or with the same amount, and length, in two lumps elsewhere
=============  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIDE = 256
MARGIN = 4.0  # pixels by which a spot keeps away from the tile's edge
SPOTS, SPOT_RADIUS, SPOT_GAP = 12, 13.0, 30.0
ISLAND, RIM, LUMPS = 36.0, 18.0, 2
EVEN_LENGTH = 700.0
ROUGH_PX, ROUGH_SCALE_PX = 3.0, 12.0

Map = NDArray[np.uint8]
Floats = NDArray[np.float64]
Maker = Callable[[np.random.Generator], Map]


def noise(rng: np.random.Generator) -> Floats:
    """Smooth noise (256, 256) of deviation 1."""
    raw = gaussian_filter(rng.normal(size=(SIDE + 64, SIDE + 64)), ROUGH_SCALE_PX)[32:-32, 32:-32]
    return raw / raw.std()


def border_px(layout: Map) -> float:
    """Length of the borders in a layout, whatever their direction."""
    found = 0.0
    for label in np.unique(layout):
        slope = np.gradient(gaussian_filter((layout == label).astype(np.float64), 2.0))
        found += float(np.hypot(*slope).sum())
    return found / 2


def halves(rng: np.random.Generator) -> Map:
    """Two fields side by side."""
    return _shares(_along(rng) + ROUGH_PX * noise(rng), 2)


def quarters(rng: np.random.Generator) -> Map:
    """Two fields on either side of a crossing."""
    return _shares(_crossed(rng) + ROUGH_PX * noise(rng), 2)


def stripes(rng: np.random.Generator) -> Map:
    """Four stripes by turns."""
    return _shares(_waves(rng, 4) + ROUGH_PX * noise(rng), 2)


def disc(rng: np.random.Generator) -> Map:
    """A disc that fills half of the tile."""
    return _shares(_round(rng) + ROUGH_PX * noise(rng), 2)


def even(shape: Callable[[np.random.Generator], Floats]) -> Maker:
    """`shape` with borders roughened until they are as long as those of all other shapes."""

    def make(rng: np.random.Generator) -> Map:
        for _ in range(200):
            score, rough = shape(rng), noise(rng)
            for amplitude in np.arange(ROUGH_PX, 24.0, 0.5):
                layout = _shares(score + amplitude * rough, 2)
                if abs(border_px(layout) / EVEN_LENGTH - 1) < 0.02:
                    return layout
        raise AssertionError("no roughness makes the border that long")

    return make


def spots(how: str) -> Maker:
    """Spots of texture 1 on texture 0, all equal, none touching another."""

    def make(rng: np.random.Generator) -> Map:
        centres = _lattice(rng) if how == "regular" else _apart(rng, 62.0 if how == "clustered" else None)
        y, x = _grid()
        distance = np.min([np.hypot(x - cx, y - cy) for cx, cy in centres], axis=0)
        return (distance < SPOT_RADIUS).astype(np.uint8)

    return make


def between(middle: int, nested: bool) -> Maker:
    """Three textures, a third each, `middle` between the other two, which change places at random."""

    def make(rng: np.random.Generator) -> Map:
        outer = rng.permutation([label for label in range(3) if label != middle])
        score = (_round(rng) if nested else _along(rng)) + ROUGH_PX * noise(rng)
        return np.array([outer[0], middle, outer[1]], np.uint8)[_shares(score, 3)]

    return make


def rim(rng: np.random.Generator) -> Map:
    """An island (1) in texture 0 with a rim (2)."""
    y, x = _grid()
    cx, cy = rng.uniform(ISLAND + RIM + MARGIN, SIDE - ISLAND - RIM - MARGIN, size=2)
    distance = np.hypot(x - cx, y - cy) + ROUGH_PX * noise(rng) / 2
    return np.select([distance < ISLAND, distance < ISLAND + RIM], [1, 2], 0).astype(np.uint8)


def lumps(rng: np.random.Generator) -> Map:
    """The same island without a rim; its texture lies in lumps elsewhere, their area and borders as those of the rim.

    With radius r of `LUMPS` lumps, area and length of the rim's outer border can not both agree exactly: the area does.
    """
    radius = (((ISLAND + RIM) ** 2 - ISLAND**2) / LUMPS) ** 0.5
    while True:
        centres = [rng.uniform(size + MARGIN, SIDE - size - MARGIN, size=2) for size in (ISLAND, *[radius] * LUMPS)]
        sizes = [ISLAND, *[radius] * LUMPS]
        pairs = [(i, j) for i in range(len(sizes)) for j in range(i)]
        if all(np.hypot(*(centres[i] - centres[j])) > sizes[i] + sizes[j] + 2 * MARGIN for i, j in pairs):
            break
    y, x = _grid()
    out, rough = np.zeros((SIDE, SIDE), np.uint8), ROUGH_PX * noise(rng) / 2
    for label, size, (cx, cy) in zip((1, *[2] * LUMPS), sizes, centres, strict=True):
        out[np.hypot(x - cx, y - cy) + rough < size] = label
    return out


def _along(rng: np.random.Generator) -> Floats:
    """Pixels along a random direction through about the middle."""
    y, x = _grid()
    angle = rng.uniform(0, 2 * np.pi)
    return (x - SIDE / 2) * np.cos(angle) + (y - SIDE / 2) * np.sin(angle)


def _crossed(rng: np.random.Generator) -> Floats:
    """Signed distance to a right-angled crossing."""
    y, x = _grid()
    angle = rng.uniform(0, 2 * np.pi)
    a = (x - SIDE / 2) * np.cos(angle) + (y - SIDE / 2) * np.sin(angle)
    b = (y - SIDE / 2) * np.cos(angle) - (x - SIDE / 2) * np.sin(angle)
    return np.sign(a * b) * np.minimum(np.abs(a), np.abs(b))


def _waves(rng: np.random.Generator, count: int) -> Floats:
    """Signed distance to the borders of `count` stripes; of an odd number, the outer two are half as wide."""
    width = SIDE / (count if count % 2 == 0 else count - 1)
    phase = 0.0 if count % 2 == 0 else width / 2
    place = (_along(rng) + phase) % (2 * width)
    return np.where(place < width, 1, -1) * np.minimum(place % width, width - place % width)


def _round(rng: np.random.Generator) -> Floats:
    """Distance from about the middle."""
    y, x = _grid()
    cx, cy = rng.uniform(SIDE / 2 - 6, SIDE / 2 + 6, size=2)
    return np.hypot(x - cx, y - cy)


def _lattice(rng: np.random.Generator) -> Floats:
    """Three rows of four, shaken a little, or four of three."""
    x, y = np.meshgrid((np.arange(4) + 0.5) * SIDE / 4, (np.arange(3) + 0.5) * SIDE / 3)
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + rng.uniform(-6, 6, size=(SPOTS, 2))
    return centres[:, ::-1] if rng.random() < 0.5 else centres


def _apart(rng: np.random.Generator, within: float | None) -> Floats:
    """Random centres at least `SPOT_GAP` apart; within a circle of that radius, if given."""
    low, high = SPOT_RADIUS + MARGIN, SIDE - SPOT_RADIUS - MARGIN
    while True:
        middle = rng.uniform(low + (within or 0), high - (within or 0), size=2)
        found: list[Floats] = []
        for point in rng.uniform(low, high, size=(4000, 2)):
            near = within is None or np.hypot(*(point - middle)) < within
            if near and all(np.hypot(*(point - other)) > SPOT_GAP for other in found):
                found.append(point)
            if len(found) == SPOTS:
                return np.array(found)


def _grid() -> tuple[Floats, Floats]:
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    return y, x


def _shares(score: Floats, parts: int) -> Map:
    """Equal parts of the tile by rising score."""
    rank = np.argsort(np.argsort(score, axis=None, kind="stable"), kind="stable")
    return (rank.reshape(score.shape) * parts // score.size).astype(np.uint8)


KINDS: dict[str, dict[str, tuple[Maker, ...]]] = {
    "fields": {"halves": (halves,), "quarters": (quarters,), "stripes": (stripes,), "disc": (disc,)},
    "fields_even": {
        "quarters": (even(_crossed),),
        "stripes": (even(lambda rng: _waves(rng, 3)),),
        "disc": (even(_round),),
    },
    "placement": {how: (spots(how),) for how in ("clustered", "dispersed", "regular")},
    "order": {f"texture {k} between": (between(k, False), between(k, True)) for k in range(3)},
    "rim": {"rim": (rim,), "lumps": (lumps,)},
}
