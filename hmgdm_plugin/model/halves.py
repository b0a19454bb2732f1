"""Attention inside graphs as in `mixing`, of rows in bfloat16: products of pairs of numbers, weights in bfloat16.

Rows come as words (int32) of two numbers that follow each other. Along keys or queries, as products over these need
them, words are made of two rows. Sums are in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .mixing import FAST, LOG2_E, greatest, up
from .powers import halve, reweigh, weigh
from .tiles import memory, multiply

ASKING, CHUNK = (
    16,
    256,
)  # queries at a time; keys at a time in the backward pass, so that both stay in the fastest cache
LOW, HIGH = np.int32(0xFFFF), np.int32(-0x10000)  # halves of a word
HALF = np.int32(16)  # bits


@njit(cache=True, nogil=True)
def words(rows: int, columns: int) -> Any:
    """Zeros as `memory`, of words."""
    return memory(rows, columns).view(np.int32)


@njit(cache=True, nogil=True)
def _gather(values: Any, rows: Any, first: int, count: int, at: int, wide: int, to: Any) -> None:
    """Put `wide` words from `at` on of `count` rows side by side in `to`, and zeros in one more row."""
    for number in range(count):
        row = rows[first + number]
        for each in range(wide):
            to[number, each] = values[row, at + each]
    to[count, :wide] = 0


@njit(cache=True, nogil=True)
def _turn(given: Any, count: int, wide: int, to: Any) -> None:
    """The same, transposed, with zeros up to a whole vector."""
    for each in range(wide):
        for number in range(count):
            to[each, number] = given[number, each]
        to[each, count : up(count)] = 0


@njit(cache=True, nogil=True)
def _pair(given: Any, count: int, wide: int, to: Any) -> None:
    """Words of two rows each, (count / 2, 2 wide), from words along rows (count, wide) and a row of zeros."""
    for pair in range((count + 1) // 2):
        for each in range(wide):
            one, two = given[2 * pair, each], given[2 * pair + 1, each]
            to[pair, 2 * each] = (one & LOW) | (two << HALF)
            to[pair, 2 * each + 1] = ((one >> HALF) & LOW) | (two & HIGH)


@njit(cache=True, nogil=True)
def _put(numbers: Any, wide: int, factor: Any, scratch: Any, to: Any) -> None:
    """Put a row of float32 times `factor` in `wide` words at `to`, by way of `scratch`, which is longer."""
    halve(numbers.ctypes.data, 2 * wide, factor, scratch.ctypes.data)
    for each in range(wide):
        to[each] = scratch[each]


@njit(cache=True, nogil=True, fastmath=FAST)
def _dot(one: Any, two: Any, wide: int, scratch: Any) -> Any:
    """Sum of products of two rows of words."""
    for each in range(wide):
        scratch[0, each], scratch[1, each] = one[each] << HALF, one[each] & HIGH
        scratch[2, each], scratch[3, each] = two[each] << HALF, two[each] & HIGH
    numbers, total = scratch.view(np.float32), np.float32(0)
    for each in range(wide):
        total += numbers[0, each] * numbers[2, each] + numbers[1, each] * numbers[3, each]
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def mix_halves(
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
    """As `mixing.mix`; `q`, `k`, `v` and `out` are words of bfloat16 (rows, h / 2), `tops` float32."""
    wide, most = q.shape[1] // heads, up(np.diff(bounds).max() + 1)
    depth, scale = 2 * wide, LOG2_E / np.float32(np.sqrt(2 * wide))
    rows, turned, pairs = words(most, up(wide)), words(wide, most), words(most // 2, up(depth))
    block, powers = words(ASKING + 1, up(wide)), words(ASKING, up(most // 2))
    weights, mixed, scratch = memory(ASKING, most), memory(ASKING, up(depth)), words(1, up(wide))
    for item in range(items[0], items[1]):
        graph, head = item // heads, item % heads
        at, count = head * wide, bounds[graph + 1] - bounds[graph]
        _gather(k, asked, bounds[graph], count, at, wide, rows)
        _turn(rows, count, wide, turned)
        _gather(v, asked, bounds[graph], count, at, wide, rows)
        _pair(rows, count, wide, pairs)
        for first in range(starts[graph], starts[graph + 1], ASKING):
            few = min(ASKING, starts[graph + 1] - first)
            _gather(q, asking, first, few, at, wide, block)
            multiply(weights, block, turned, few, wide, count, 0)
            for line in range(few):
                top = greatest(weights, line, count, weights.view(np.int32)) * scale
                total = weigh(weights[line].ctypes.data, count, scale, top, powers[line].ctypes.data)
                tops[asking[first + line], head] = top + np.log2(total)
                block[line].view(np.float32)[0] = np.float32(1) / total
            multiply(mixed, powers, pairs, few, (count + 1) // 2, depth, 0)
            for line in range(few):
                row = out[asking[first + line], at : at + wide]
                if count:
                    _put(mixed[line], wide, block[line].view(np.float32)[0], scratch[0], row)
                else:
                    row[:] = 0


@njit(cache=True, nogil=True, fastmath=FAST)
def unmix_halves(
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
    """As `mixing.unmix`, all but `tops` words of bfloat16."""
    wide, most = q.shape[1] // heads, up(np.diff(bounds).max() + 1)
    depth, natural = 2 * wide, np.float32(1) / np.float32(np.sqrt(2 * wide))
    rows, keys = words(most, up(wide)), words(most // 2, up(depth))
    turned, values = words(wide, most), words(wide, most)
    sum_k, sum_v = memory(most, up(depth)), memory(most, up(depth))
    weights, change = memory(ASKING, CHUNK), memory(ASKING, CHUNK)
    both, changes, halves = words(ASKING // 2, CHUNK), words(ASKING // 2, CHUNK), words(ASKING, CHUNK // 2)
    block, given, seen = words(ASKING + 1, up(wide)), words(ASKING + 1, up(wide)), words(ASKING + 1, up(wide))
    asks, gives = words(ASKING // 2, up(depth)), words(ASKING // 2, up(depth))
    back, ends = memory(ASKING, up(depth)), np.zeros((ASKING, 2), np.float32)
    scratch = words(4, up(wide))
    for item in range(items[0], items[1]):
        graph, head = item // heads, item % heads
        at, count = head * wide, bounds[graph + 1] - bounds[graph]
        _gather(v, asked, bounds[graph], count, at, wide, rows)
        _turn(rows, count, wide, values)
        _gather(k, asked, bounds[graph], count, at, wide, rows)
        _turn(rows, count, wide, turned)
        _pair(rows, count, wide, keys)
        sum_k[:count] = 0
        sum_v[:count] = 0
        for first in range(starts[graph], starts[graph + 1], ASKING):
            few = min(ASKING, starts[graph + 1] - first)
            _gather(q, asking, first, few, at, wide, block)
            _gather(grad, asking, first, few, at, wide, given)
            _gather(out, asking, first, few, at, wide, seen)
            _pair(block, few, wide, asks)
            _pair(given, few, wide, gives)
            for line in range(few):
                ends[line, 0] = tops[asking[first + line], head]
                ends[line, 1] = _dot(given[line], seen[line], wide, scratch)
            ends[few:] = 0
            for begin in range(0, count, CHUNK):
                size = min(CHUNK, count - begin)
                multiply(weights, block, turned[:, begin:], few, wide, size, 0)
                multiply(change, given, values[:, begin:], few, wide, size, 0)
                for line in range(0, few, 2):
                    reweigh(
                        weights[line].ctypes.data,
                        change[line].ctypes.data,
                        weights.strides[0],
                        size,
                        natural * LOG2_E,
                        ends[line].ctypes.data,
                        halves[line].ctypes.data,
                        halves.strides[0],
                        both[line // 2].ctypes.data,
                        changes[line // 2].ctypes.data,
                    )
                multiply(back, halves, keys[begin // 2 :], few, (size + 1) // 2, depth, int(begin > 0))
                multiply(sum_k[begin:], changes.T, asks, size, (few + 1) // 2, depth, 1)
                multiply(sum_v[begin:], both.T, gives, size, (few + 1) // 2, depth, 1)
            for line in range(few):
                row = to_q[asking[first + line], at : at + wide]
                if count:
                    _put(back[line], wide, natural, scratch[0], row)
                else:
                    row[:] = 0
        for number in range(count):
            row = asked[bounds[graph] + number]
            _put(sum_k[number], wide, natural, scratch[0], to_k[row, at : at + wide])
            _put(sum_v[number], wide, np.float32(1), scratch[0], to_v[row, at : at + wide])
