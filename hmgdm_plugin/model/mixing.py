"""Softmax attention inside graphs, one graph and head after the other, compiled: no padding, no mask, no block.

The weights of a few queries at a time stay in the cache of a core and are worked out again in the backward pass
(Dao et al. 2022). Logits are in units of log 2, so that weights are powers of 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from .tiles import FLOAT, LANES, memory, multiply, written

BLOCK = 16  # queries at a time
FAST = {"contract", "reassoc", "nsz", "arcp"}  # what is not a number has to stay so
LOG2_E, LN_2 = np.float32(1.4426950408889634), np.float32(0.6931471805599453)
LEAST = np.float32(-126.0)  # below the greatest logit: no more than 0 to float32
SIGN = np.int32(0x7FFFFFFF)
SERIES = tuple(np.float32(LN_2**n / f) for n, f in enumerate((1, 1, 2, 6, 24, 120, 720)))  # of 2 ** r


@njit(cache=True, nogil=True, fastmath=FAST)
def greatest(numbers: Any, row: int, count: int, bits: Any) -> Any:
    """Greatest of the first `count` of a row, compared as whole numbers: those are compared many at a time."""
    most = np.int32(-SIGN)
    for column in range(count):
        each = bits[row, column]
        most = max(most, each ^ ((each >> np.int32(31)) & SIGN))
    bits[row, count] = most ^ ((most >> np.int32(31)) & SIGN)
    return numbers[row, count]


@written
def _as_number(context: Any, bits: Any) -> Any:
    """The float32 that has these bits."""
    return types.float32(types.int32), lambda _, builder, __, given: builder.bitcast(given[0], FLOAT)


@njit(cache=True, nogil=True, fastmath=FAST)
def power_of_2(x: Any) -> Any:
    """2 to the power of x, within rounding; 0 to float32 below `LEAST`."""
    x = LEAST if x < LEAST else x
    whole = np.floor(x + np.float32(0.5))
    r = x - whole
    even = SERIES[4] + r * (SERIES[5] + r * SERIES[6])
    series = SERIES[0] + r * (SERIES[1] + r * (SERIES[2] + r * (SERIES[3] + r * even)))
    return series * _as_number((np.int32(whole) + np.int32(127)) << np.int32(23))


@njit(cache=True, nogil=True, fastmath=FAST)
def _weigh(numbers: Any, row: int, count: int, shift: Any) -> Any:
    """2 to the power of a row less `shift`, in place, and their sum."""
    total = np.float32(0)
    for column in range(count):
        weight = power_of_2(numbers[row, column] - shift)
        numbers[row, column] = weight
        total += weight
    return total


@njit(cache=True, nogil=True)
def _gather(values: Any, rows: Any, first: int, count: int, at: int, depth: int, to: Any) -> None:
    """Put `depth` numbers from `at` on of `count` rows side by side in `to`."""
    for number in range(count):
        row = rows[first + number]
        for each in range(depth):
            to[number, each] = values[row, at + each]


@njit(cache=True, nogil=True)
def _gather_turned(values: Any, rows: Any, first: int, count: int, at: int, depth: int, to: Any) -> None:
    """The same, transposed, with zeros up to a whole vector."""
    for each in range(depth):
        to[each, count : up(count)] = 0
    for number in range(count):
        row = rows[first + number]
        for each in range(depth):
            to[each, number] = values[row, at + each]


@njit(cache=True, nogil=True)
def up(count: int) -> Any:
    """`count`, rounded up to whole vectors."""
    return -(-count // LANES) * LANES


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def mix(
    q: Any,
    k: Any,
    v: Any,
    asking: Any,
    starts: Any,
    asked: Any,
    bounds: Any,
    heads: int,
    items: Any,
    out: Any,
    tops: Any,
) -> None:
    """Fill `out` (Q, h) with what queries `q` (Q, h) get of `k`, `v` (K, h), and `tops` (Q, heads) with log sums.

    Rows of graph g are ``asking[starts[g] : starts[g + 1]]`` and ``asked[bounds[g] : bounds[g + 1]]``; `items` are the
    first and the last but one of all graphs times heads. Where a graph has no keys, its queries get zeros.
    """
    depth, widest = q.shape[1] // heads, up(np.diff(bounds).max() + 1)
    scale = LOG2_E / np.float32(np.sqrt(depth))
    turned, values = memory(depth, widest), memory(widest, up(depth))
    weights, inverse = memory(BLOCK, widest), np.empty(BLOCK, np.float32)
    block, mixed = memory(BLOCK, up(depth)), memory(BLOCK, up(depth))
    for item in range(items[0], items[1]):
        graph, head = item // heads, item % heads
        at, count = head * depth, bounds[graph + 1] - bounds[graph]
        _gather_turned(k, asked, bounds[graph], count, at, depth, turned)
        _gather(v, asked, bounds[graph], count, at, depth, values)
        for first in range(starts[graph], starts[graph + 1], BLOCK):
            few = min(BLOCK, starts[graph + 1] - first)
            _gather(q, asking, first, few, at, depth, block)
            block *= scale
            multiply(weights, block, turned, few, depth, count, 0)
            for line in range(few):
                top = greatest(weights, line, count, weights.view(np.int32))
                total = _weigh(weights, line, count, top)
                tops[asking[first + line], head] = top + np.log2(total)
                inverse[line] = np.float32(1) / total
            multiply(mixed, weights, values, few, count, depth, 0)
            for line in range(few):
                for each in range(depth):
                    out[asking[first + line], at + each] = mixed[line, each] * inverse[line] if count else 0


@njit(cache=True, nogil=True, fastmath=FAST)
def unmix(
    q: Any,
    k: Any,
    v: Any,
    asking: Any,
    starts: Any,
    asked: Any,
    bounds: Any,
    heads: int,
    items: Any,
    out: Any,
    tops: Any,
    grad: Any,
    to_q: Any,
    to_k: Any,
    to_v: Any,
) -> None:
    """Fill `to_q`, `to_k`, `to_v` from what `mix` took and gave, and the gradient of its `out`."""
    depth, widest = q.shape[1] // heads, up(np.diff(bounds).max() + 1)
    scale, deep = np.float32(1) / np.float32(np.sqrt(depth)), up(depth)
    turned, keys, values = memory(depth, widest), memory(widest, deep), memory(depth, widest)
    sum_k, sum_v = memory(deep, widest), memory(deep, widest)
    weights, change = memory(BLOCK, widest), memory(BLOCK, widest)
    block, given, back = memory(BLOCK, deep), memory(BLOCK, deep), memory(BLOCK, deep)
    for item in range(items[0], items[1]):
        graph, head = item // heads, item % heads
        at, count = head * depth, bounds[graph + 1] - bounds[graph]
        _gather_turned(k, asked, bounds[graph], count, at, depth, turned)
        _gather_turned(v, asked, bounds[graph], count, at, depth, values)
        _gather(k, asked, bounds[graph], count, at, depth, keys)
        sum_k[:, : up(count)] = 0
        sum_v[:, : up(count)] = 0
        for first in range(starts[graph], starts[graph + 1], BLOCK):
            few = min(BLOCK, starts[graph + 1] - first)
            _gather(q, asking, first, few, at, depth, block)
            _gather(grad, asking, first, few, at, depth, given)
            block *= scale * LOG2_E
            multiply(weights, block, turned, few, depth, count, 0)
            multiply(change, given, values, few, depth, count, 0)
            for line in range(few):
                row, mean = asking[first + line], np.float32(0)
                _weigh(weights, line, count, tops[row, head])
                for each in range(depth):
                    mean += given[line, each] * out[row, at + each]
                for column in range(count):
                    change[line, column] = weights[line, column] * (change[line, column] - mean)
            multiply(back, change, keys, few, count, depth, 0)
            multiply(sum_k, block.T, change, depth, few, count, 1)
            multiply(sum_v, given.T, weights, depth, few, count, 1)
            for line in range(few):
                for each in range(depth):
                    to_q[asking[first + line], at + each] = back[line, each] * scale
        for number in range(count):
            row = asked[bounds[graph] + number]
            for each in range(depth):
                to_k[row, at + each] = sum_k[each, number] * LN_2
                to_v[row, at + each] = sum_v[each, number]
