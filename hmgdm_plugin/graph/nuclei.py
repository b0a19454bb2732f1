"""Nuclei of a tile as pixels: outlines or labels to a map, and what joins each nucleus to its surroundings.

A nucleus is joined to the superpixel under most of its pixels, by its rim (the pixels whose neighbourhood holds both
the nucleus and something else), and to near nuclei, by the strip of pixels from centre to centre. Detecting nuclei is
no business of this module: they arrive as outlines or as labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numba import njit
from numpy.typing import NDArray

from ..schema.settings import GraphSettings
from ..schema.space import Tile
from .adjacency import Members, regions
from .outlines import outlines

LEAST_PX = 8  # a smaller remnant of an overlapped or clipped nucleus says nothing


@dataclass(frozen=True, slots=True)
class NucleusMap:
    """Nuclei of one tile.

    Parameters
    ----------
    labels : (S, S) int32
        1..K under the nuclei, 0 elsewhere.
    outlines : (K,) array of shapely geometries
        In level-0 pixels, in the order of the labels.
    """

    labels: NDArray[np.int32]
    outlines: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.outlines)


@dataclass(frozen=True, slots=True)
class Joined:
    """Nuclei as vertices and edges of a graph whose first `count` vertices are superpixels.

    Parameters
    ----------
    members, bands : Members
        Pixels of the K nuclei and of the m edges.
    edges : (2, m) int64
        u < v; nuclei are count..count + K - 1.
    """

    members: Members
    edges: NDArray[np.int64]
    bands: Members


def burned(given: NDArray[np.object_], tile: Tile) -> NucleusMap:
    """Map of the nuclei with outlines `given`, (n,) shapely polygons in level-0 pixels.

    A pixel belongs to a nucleus when its centre lies inside (even-odd, so that crossed outlines have an inside too);
    where outlines overlap it belongs to the first. What is left with fewer than `LEAST_PX` pixels is dropped.
    """
    local = shapely.transform(given, lambda points: (points - (tile.x_px, tile.y_px)) / tile.scale)
    labels, kept = _compacted(drawn(local, (tile.size_px, tile.size_px)), len(given))
    return NucleusMap(labels, given[kept])


def drawn(shapes: NDArray[np.object_], size: tuple[int, int]) -> NDArray[np.int32]:
    """Labels (H, W) of shapely polygons in pixels: k + 1 under number k, the first above, 0 elsewhere."""
    rings, owners = shapely.get_rings(shapes, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    counts = np.bincount(owners[ring_of] if len(points) else ring_of, minlength=len(shapes))
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    starts = np.ones(len(points), np.bool_)  # the last point of a ring starts no side
    starts[np.flatnonzero(np.diff(ring_of, append=-1))] = False
    labels: NDArray[np.int32] = _burn(points, starts, bounds, *size)
    return labels


def labelled(labels: NDArray[np.integer], tile: Tile) -> NucleusMap:
    """Map of the nuclei in `labels` (S, S): any positive numbers, with gaps; the order of numbers stays."""
    numbers, flat = np.unique(np.maximum(labels, 0), return_inverse=True)
    shift = int(numbers[0] != 0)  # a tile full of nuclei has no background
    dense = (flat.reshape(labels.shape) + shift).astype(np.int32)
    dense, kept = _compacted(dense, len(numbers) - 1 + shift)
    if not len(kept):
        return NucleusMap(dense, np.empty(0, object))
    first = int(dense.min())
    traced = outlines(dense - first, len(kept) + 1 - first, tile)
    return NucleusMap(dense, traced[1 - first :])


def joined(nuclei: NucleusMap, labels: NDArray[np.int32], count: int, settings: GraphSettings) -> Joined:
    """Vertices and edges of `nuclei` on the superpixels `labels` (S, S), 0..count-1."""
    total = len(nuclei)
    every = regions(nuclei.labels, total + 1)
    members = Members(every.pixels[every.offsets[1] :], every.offsets[1:] - every.offsets[1])
    centres = _centres_of(members, labels.shape[1])
    pairs = _near(centres, settings.near_um / settings.mpp, settings.near_most)
    rims = _rims(nuclei.labels, members.pixels, members.offsets, settings.band_px // 2)
    strips = _strips(centres[pairs[0]], centres[pairs[1]], settings.band_px / 2, *labels.shape)
    held = np.stack([_holders(members, labels, count), np.arange(count, count + total)])
    edges = np.concatenate([held, pairs + count], axis=1)
    bands = Members(
        np.concatenate([rims[0], strips[0]]), np.concatenate([rims[1], rims[1][-1] + strips[1][1:]]).astype(np.int64)
    )
    return Joined(members, edges.astype(np.int64), bands)


def on_tissue(tissue: NDArray[np.bool_], labels: NDArray[np.int32], nuclei: NucleusMap | None) -> NDArray[np.bool_]:
    """Whether half or more of each superpixel's own pixels lie on `tissue` (S, S); then the nuclei: all of them do.

    Not their share: a field of glass with a rim that the mask takes for tissue would still speak, and loudly.
    """
    free = np.ones_like(tissue) if nuclei is None else nuclei.labels == 0
    pixels = np.bincount(labels[free], minlength=int(labels.max()) + 1)
    own = 2 * np.bincount(labels[free & tissue], minlength=len(pixels)) >= pixels
    return np.concatenate([own, np.ones(0 if nuclei is None else len(nuclei), bool)])


def _compacted(labels: NDArray[np.int32], count: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Labels renumbered without those under `LEAST_PX` pixels, and which of 0..count-1 were kept."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= LEAST_PX
    keep[0] = False
    table = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return table[labels], np.flatnonzero(keep) - 1


def _centres_of(members: Members, width: int) -> NDArray[np.float64]:
    """Centroids (K, 2) x, y in pixels of the tile."""
    sizes = np.diff(members.offsets)
    sums = [np.add.reduceat(v, members.offsets[:-1]) for v in (members.pixels % width, members.pixels // width)]
    return np.stack(sums, axis=1) / sizes[:, None] + 0.5


def _holders(members: Members, labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """The superpixel (K,) under most pixels of each nucleus; the first of several."""
    owner = np.repeat(np.arange(len(members)), np.diff(members.offsets))
    under = np.bincount(owner * count + labels.ravel()[members.pixels], minlength=len(members) * count)
    return under.reshape(len(members), count).argmax(axis=1)


def _near(centres: NDArray[np.float64], radius_px: float, most: int) -> NDArray[np.int64]:
    """Pairs u < v (2, m) of nuclei of which each is among the `most` nearest of the other within `radius_px`."""
    from scipy.spatial import cKDTree

    total = len(centres)
    if total < 2 or most == 0:
        return np.zeros((2, 0), np.int64)
    _, near = cKDTree(centres).query(centres, k=range(1, min(most + 1, total) + 1), distance_upper_bound=radius_px)
    u = np.repeat(np.arange(total), near.shape[1])
    v = near.ravel()
    real = (v < total) & (u != v)
    codes, times = np.unique(np.minimum(u, v)[real] * total + np.maximum(u, v)[real], return_counts=True)
    both = codes[times == 2]
    return np.stack([both // total, both % total]).astype(np.int64)


@njit(cache=True, nogil=True)
def _burn(points, starts, bounds, height, width):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Labels (height, width) int32 of the outlines `points[bounds[i]:bounds[i + 1]]`; the first outline wins."""
    out = np.zeros((height, width), np.int32)
    for i in range(bounds.size - 1):
        first, last = bounds[i], bounds[i + 1]
        if last == first:
            continue
        low, high = points[first:last, 1].min(), points[first:last, 1].max()
        if not (high > 0.0 and low < height):
            continue
        crossings = np.empty(last - first, np.float64)
        for y in range(max(int(np.floor(low - 0.5)), 0), min(int(np.ceil(high + 0.5)), height)):
            level, found = y + 0.5, 0
            for k in range(first, last):
                if not starts[k]:
                    continue
                x0, y0, x1, y1 = points[k, 0], points[k, 1], points[k + 1, 0], points[k + 1, 1]
                if (y0 <= level) != (y1 <= level):
                    crossings[found] = x0 + (level - y0) / (y1 - y0) * (x1 - x0)
                    found += 1
            inside = np.sort(crossings[:found])
            for k in range(0, found - 1, 2):
                left = max(int(np.ceil(max(inside[k], -1.0) - 0.5)), 0)
                right = min(int(np.ceil(min(inside[k + 1], width + 1.0) - 0.5)), width)
                for x in range(left, right):
                    if out[y, x] == 0:
                        out[y, x] = i + 1
    return out


@njit(cache=True, nogil=True)
def _rims(labels, pixels, offsets, radius):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Rim of every nucleus as member lists; all of the nucleus where it fills the tile."""
    height, width = labels.shape
    count = offsets.size - 1
    out = [np.int32(0) for _ in range(0)]
    bounds = np.zeros(count + 1, np.int64)
    for i in range(count):
        own = i + 1
        y0, y1, x0, x1 = height, 0, width, 0
        for k in range(offsets[i], offsets[i + 1]):
            y, x = pixels[k] // width, pixels[k] % width
            y0, y1, x0, x1 = min(y0, y), max(y1, y), min(x0, x), max(x1, x)
        before = len(out)
        for y in range(max(y0 - radius, 0), min(y1 + radius + 1, height)):
            for x in range(max(x0 - radius, 0), min(x1 + radius + 1, width)):
                mine = other = False
                for yy in range(max(y - radius, 0), min(y + radius + 1, height)):
                    for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
                        if labels[yy, xx] == own:
                            mine = True
                        else:
                            other = True
                    if mine and other:
                        break
                if mine and other:
                    out.append(np.int32(y * width + x))
        if len(out) == before:
            for k in range(offsets[i], offsets[i + 1]):
                out.append(pixels[k])
        bounds[i + 1] = len(out)
    return np.array(out, np.int32), bounds


@njit(cache=True, nogil=True)
def _strips(starts, ends, radius, height, width):  # type: ignore[no-untyped-def]
    """Pixels within `radius` of each segment as member lists, in scan order; at least the pixel under its middle."""
    out = [np.int32(0) for _ in range(0)]
    bounds = np.zeros(len(starts) + 1, np.int64)
    for i in range(len(starts)):
        ax, ay, dx, dy = starts[i, 0], starts[i, 1], ends[i, 0] - starts[i, 0], ends[i, 1] - starts[i, 1]
        length2 = max(dx * dx + dy * dy, 1e-12)
        y0, y1 = min(ay, ay + dy) - radius, max(ay, ay + dy) + radius
        x0, x1 = min(ax, ax + dx) - radius, max(ax, ax + dx) + radius
        for y in range(max(int(y0), 0), min(int(y1) + 1, height)):
            for x in range(max(int(x0), 0), min(int(x1) + 1, width)):
                px, py = x + 0.5 - ax, y + 0.5 - ay
                t = min(max((px * dx + py * dy) / length2, 0.0), 1.0)
                if (px - t * dx) ** 2 + (py - t * dy) ** 2 <= radius * radius:
                    out.append(np.int32(y * width + x))
        bounds[i + 1] = len(out)
    return np.array(out, np.int32), bounds
