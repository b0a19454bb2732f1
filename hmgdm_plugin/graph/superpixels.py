"""Superpixels: SLIC (Achanta et al., 2012) on a fixed grid, then connected regions.

Each pixel chooses among the nine centres whose grid cells surround its own. The pixels of a grid cell are laid out in
one row of memory, so that one iteration is three long vector passes over each cell, three centres at a time. The sums
that move the centres follow only the pixels that changed sides. Everything happens in a fixed order, so the same tile
and settings give the same partition, bit for bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Labels = NDArray[np.int32]
_CHUNK = 16


@njit(cache=True, nogil=True)
def _centre(centres, c, x0):  # type: ignore[no-untyped-def]
    """Colour and y of centre `c`, and how far `x0` lies to its right."""
    return centres[c, 0], centres[c, 1], centres[c, 2], centres[c, 3], np.float32(x0) - centres[c, 4]


@njit(cache=True, nogil=True)
def _distance(light, red, blue, y, x, cl, ca, cb, cy, cx, spatial):  # type: ignore[no-untyped-def]
    """Squared distance in colour and place."""
    dl, da, db, dy, dx = light - cl, red - ca, blue - cb, y - cy, x + cx
    return dl * dl + da * da + db * db + spatial * dy * dy + spatial * dx * dx


@njit(cache=True, nogil=True)
def _lay_out(lab, ys, xs, cells, own, sums):  # type: ignore[no-untyped-def]
    """Copy `lab` cell by cell into `cells`, give every pixel its own cell, and sum colours and places."""
    start = c = 0
    for i in range(ys.size - 1):
        for j in range(xs.size - 1):
            light = red = blue = 0.0
            begin = start
            for y in range(ys[i], ys[i + 1]):
                for x in range(xs[j], xs[j + 1]):
                    cells[0, start], cells[1, start], cells[2, start] = lab[0, y, x], lab[1, y, x], lab[2, y, x]
                    own[start] = c
                    light += lab[0, y, x]
                    red += lab[1, y, x]
                    blue += lab[2, y, x]
                    start += 1
            n = start - begin
            sums[c, 0], sums[c, 1], sums[c, 2] = light, red, blue
            sums[c, 3], sums[c, 4] = n * (ys[i] + ys[i + 1] - 1) / 2, n * (xs[j] + xs[j + 1] - 1) / 2
            sums[c, 5] = n
            c += 1


@njit(cache=True, nogil=True)
def _follow(light, red, blue, x0, down, right, own, pick, moved, sums):  # type: ignore[no-untyped-def]
    """Hand the pixels of a cell to the centres in `pick`; pixels that change sides move from sum to sum."""
    count, whole = 0, own.size // _CHUNK * _CHUNK
    for k0 in range(0, whole, _CHUNK):
        differ = np.int32(0)
        for k in range(_CHUNK):
            differ |= pick[k0 + k] ^ own[k0 + k]
        if differ != 0:
            for k in range(k0, k0 + _CHUNK):
                moved[count] = k
                count += pick[k] != own[k]
    for k in range(whole, own.size):
        moved[count] = k
        count += pick[k] != own[k]
    for e in range(count):
        at = np.uint32(moved[e])
        a, b = np.uint32(own[at]), np.uint32(pick[at])
        own[at] = pick[at]
        colour = np.float64(light[at]), np.float64(red[at]), np.float64(blue[at])
        y, x = np.float64(down[at]), np.float64(x0 + right[at])
        sums[a, 0] -= colour[0]
        sums[b, 0] += colour[0]
        sums[a, 1] -= colour[1]
        sums[b, 1] += colour[1]
        sums[a, 2] -= colour[2]
        sums[b, 2] += colour[2]
        sums[a, 3] -= y
        sums[b, 3] += y
        sums[a, 4] -= x
        sums[b, 4] += x
        sums[a, 5] -= 1.0
        sums[b, 5] += 1.0


@njit(cache=True, nogil=True)
def _slic(lab, ys, xs, spatial, iterations, cells, place, best, pick, own, moved, sums, centres, labels):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Labels (H, W) of a grid of centres between `ys` and `xs`; `spatial` weighs squared distance in pixels."""
    rows, cols = ys.size - 1, xs.size - 1
    _lay_out(lab, ys, xs, cells, own, sums)
    down, right = place[0], place[1]
    for _ in range(iterations):
        for c in range(rows * cols):
            if sums[c, 5] > 0:
                for f in range(5):
                    centres[c, f] = sums[c, f] / sums[c, 5]
        start = n = wide = 0
        for i in range(rows):
            for j in range(cols):
                if j == 0 or xs[j + 1] - xs[j] != wide:
                    n, wide = 0, xs[j + 1] - xs[j]
                    for y in range(ys[i], ys[i + 1]):
                        for x in range(wide):
                            down[n], right[n] = y, x
                            n += 1
                light, red, blue = cells[0, start : start + n], cells[1, start : start + n], cells[2, start : start + n]
                for k in range(n):
                    best[k] = np.float32(1e30)
                for row in range(max(i - 1, 0), min(i + 2, rows)):
                    c0, c1, c2 = row * cols + max(j - 1, 0), row * cols + j, row * cols + min(j + 1, cols - 1)
                    v0, a0, b0, y0, x0 = _centre(centres, c0, xs[j])
                    v1, a1, b1, y1, x1 = _centre(centres, c1, xs[j])
                    v2, a2, b2, y2, x2 = _centre(centres, c2, xs[j])
                    n0, n1, n2 = np.int32(c0), np.int32(c1), np.int32(c2)
                    for k in range(n):
                        v, a, b, y, x = light[k], red[k], blue[k], down[k], right[k]
                        d0 = _distance(v, a, b, y, x, v0, a0, b0, y0, x0, spatial)
                        d1 = _distance(v, a, b, y, x, v1, a1, b1, y1, x1, spatial)
                        d2 = _distance(v, a, b, y, x, v2, a2, b2, y2, x2, spatial)
                        least, nearest = best[k], pick[k]
                        nearest = n0 if d0 < least else nearest
                        least = d0 if d0 < least else least
                        nearest = n1 if d1 < least else nearest
                        least = d1 if d1 < least else least
                        nearest = n2 if d2 < least else nearest
                        best[k] = d2 if d2 < least else least
                        pick[k] = nearest
                _follow(light, red, blue, xs[j], down, right, own[start : start + n], pick, moved, sums)
                start += n
    start = 0
    for i in range(rows):
        for j in range(cols):
            for y in range(ys[i], ys[i + 1]):
                for x in range(xs[j], xs[j + 1]):
                    labels[y, x] = own[start]
                    start += 1


@njit(cache=True, nogil=True)
def _connected(labels, begins, parent, number, out):  # type: ignore[no-untyped-def]  # noqa: C901  a kernel: one loop nest
    """Number the 4-connected regions of equal label in scan order into `out` (H, W); returns their count.

    Works on the runs of equal label in each row; `parent` points from a run to an earlier one of its region.
    """
    height, width = labels.shape
    runs = above = 0
    for y in range(height):
        first = runs
        for x in range(width):
            begins[runs], parent[runs] = x, runs
            runs += x == 0 or labels[y, x] != labels[y, x - 1]
        run = first
        while above < first and run < runs:
            if labels[y, begins[run]] == labels[y - 1, begins[above]]:
                a, b = run, above
                while parent[a] != a:
                    parent[a] = parent[parent[a]]
                    a = parent[a]
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                parent[max(a, b)] = min(a, b)
            run_end = begins[run + 1] if run + 1 < runs else width
            above_end = begins[above + 1] if above + 1 < first else width
            run += run_end <= above_end
            above += above_end <= run_end
        above = first
    found = run = 0
    for y in range(height):
        for x in range(width):
            if x == 0 or labels[y, x] != labels[y, x - 1]:
                if parent[run] == run:
                    number[run] = found
                    found += 1
                else:
                    number[run] = number[parent[run]]
                run += 1
            out[y, x] = number[run - 1]
    return found


def connected(labels: Labels) -> tuple[Labels, int]:
    """Number the 4-connected regions of equal label in scan order: (H, W) int32 and their count."""
    out = np.empty_like(labels)
    begins, parent, number = np.empty((3, labels.size + 1), np.int32)
    return out, int(_connected(labels, begins, parent, number, out))


def slic(lab: NDArray[np.float32], segments: int, compactness: float, iterations: int) -> tuple[Labels, int]:
    """Partition a tile into about `segments` connected regions.

    Parameters
    ----------
    lab : (3, H, W) float32
        CIE Lab, blurred as wished.
    segments : int
        Wanted number of superpixels; a grid of about that many is laid.
    compactness : float
        Lab units that weigh as much as one grid step; high values give squares.
    iterations : int
        Passes of assignment and update.

    Returns
    -------
    labels : (H, W) int32
        Regions 0..count-1 in scan order, each 4-connected.
    count : int
    """
    height, width = lab.shape[1:]
    step = max((height * width / segments) ** 0.5, 1.0)
    rows, cols = max(round(height / step), 1), max(round(width / step), 1)
    return connected(_grid_slic(lab, rows, cols, (compactness / step) ** 2, iterations))


def _grid_slic(lab: NDArray[np.float32], rows: int, cols: int, spatial: float, iterations: int) -> Labels:
    """SLIC from a grid of `rows` x `cols` cells: number of the nearest centre (H, W)."""
    height, width = lab.shape[1:]
    ys, xs = np.arange(rows + 1) * height // rows, np.arange(cols + 1) * width // cols
    cell = int(np.diff(ys).max() * np.diff(xs).max())
    labels, own = np.empty((height, width), np.int32), np.empty(height * width, np.int32)
    cells, place = np.empty((3, height * width), np.float32), np.empty((2, cell), np.float32)
    best, pick, moved = np.empty(cell, np.float32), np.zeros(cell, np.int32), np.empty(cell + 1, np.int32)
    sums, centres = np.empty((rows * cols, 6)), np.zeros((rows * cols, 5), np.float32)
    _slic(np.ascontiguousarray(lab), ys, xs, np.float32(spatial), iterations, cells, place, best, pick, own, moved,
          sums, centres, labels)  # fmt: skip
    return labels
