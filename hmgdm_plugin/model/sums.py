"""Sums over neighbours of float32 rows on one thread of a processor, compiled: all of one operator in one call.

What they work out is said in `topology`, whose tensors they take as arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FAST = {"contract", "reassoc", "nsz", "arcp"}  # what is not a number has to stay so


@njit(cache=True, nogil=True, fastmath=FAST)
def around_edges(
    last: bool,
    f: Any,
    rows: Any,
    starts: Any,
    ends: Any,
    share: Any,
    weight: Any,
    beside: Any,
    bias: Any,
    out: Any,
) -> None:
    """``out = weight * (H share H^T + 1) f`` of edges (M, h), or the weight before the sums where it is not `last`.

    `beside` (M, h) and `bias` (h,) are added, if they are not empty.
    """
    width = f.shape[1]
    mean = np.zeros((len(starts) - 1, width), np.float32)
    for vertex in range(len(mean)):
        for number in range(starts[vertex], starts[vertex + 1]):
            edge = rows[number]
            factor = share[vertex, 0] if last else share[vertex, 0] * weight[edge, 0]
            for column in range(width):
                mean[vertex, column] += factor * f[edge, column]
    for edge in range(len(f)):
        one, two, factor = ends[2 * edge], ends[2 * edge + 1], weight[edge, 0]
        for column in range(width):
            both = mean[one, column] + mean[two, column]
            out[edge, column] = factor * (f[edge, column] + both) if last else factor * f[edge, column] + both
        _add(out[edge], beside, bias, edge)


@njit(cache=True, nogil=True, fastmath=FAST)
def _add(row: Any, beside: Any, bias: Any, number: int) -> None:
    """Add to a row what stands beside it, and a bias."""
    if len(beside):
        for column in range(len(row)):
            row[column] += beside[number, column]
    if len(bias):
        for column in range(len(row)):
            row[column] += bias[column]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def around_vertices(
    x: Any,
    w: Any,
    rows: Any,
    starts: Any,
    along: Any,
    beside: Any,
    bias: Any,
    scale: Any,
    sent: Any,
    got: Any,
    out: Any,
) -> None:
    """Fill ``scale = (1 + sum of w)^(-1/2)``, ``sent = scale x``, ``got = (A(w) + 1) sent``, ``out = scale got``.

    To `out` is added what `around_edges` adds.
    """
    for vertex in range(len(x)):
        degree = np.float32(1)
        for number in range(starts[vertex], starts[vertex + 1]):
            degree += w[along[number]]
        scale[vertex] = np.float32(1) / np.sqrt(degree)
        for column in range(x.shape[1]):
            sent[vertex, column] = x[vertex, column] * scale[vertex]
    for vertex in range(len(x)):
        _gathered(sent, w, rows, starts, along, vertex, got)
        for column in range(x.shape[1]):
            out[vertex, column] = got[vertex, column] * scale[vertex]
        _add(out[vertex], beside, bias, vertex)


@njit(cache=True, nogil=True, fastmath=FAST)
def _gathered(sent: Any, w: Any, rows: Any, starts: Any, along: Any, vertex: int, got: Any) -> None:
    """Put what a vertex sends and gets in its row of `got`."""
    width = sent.shape[1]
    for column in range(width):
        got[vertex, column] = sent[vertex, column]
    for number in range(starts[vertex], starts[vertex + 1]):
        row, factor = rows[number], w[along[number]]
        for column in range(width):
            got[vertex, column] += factor * sent[row, column]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def back_to_vertices(
    grad: Any,
    w: Any,
    rows: Any,
    starts: Any,
    along: Any,
    links: Any,
    scale: Any,
    sent: Any,
    got: Any,
    to_x: Any,
    to_w: Any,
) -> None:
    """Fill the gradients of x and, if it has numbers, of w, from that of `out` of `around_vertices`."""
    count, width = grad.shape
    back, to_degree = np.empty((count, width), np.float32), np.empty(count, np.float32)
    for vertex in range(count):
        for column in range(width):
            back[vertex, column] = grad[vertex, column] * scale[vertex]
    for vertex in range(count):
        _gathered(back, w, rows, starts, along, vertex, to_x)
        if len(to_w):
            own, others = _dot(grad[vertex], got[vertex]), _dot(to_x[vertex], sent[vertex])
            to_degree[vertex] = np.float32(-0.5) * scale[vertex] ** 3 * (own + others / scale[vertex])
        for column in range(width):
            to_x[vertex, column] *= scale[vertex]
    for link in range(len(to_w)):
        u, v = links[0, link], links[1, link]
        to_w[link] = _dot(back[u], sent[v]) + _dot(sent[u], back[v]) + to_degree[u] + to_degree[v]


@njit(cache=True, nogil=True, fastmath=FAST)
def _dot(one: Any, two: Any) -> Any:
    total = np.float32(0)
    for column in range(len(one)):
        total += one[column] * two[column]
    return total
