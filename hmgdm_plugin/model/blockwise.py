"""Norm, GELU and linear layers in float32 on one thread, forward and backward, in one pass over few rows at a time.

What lies between the steps stays in the cache of the core and is worked out again in the backward pass; nothing is
called from Python in between. Products are those of `tiles`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.np.numpy_support import carray

from .rowwise import FAST, centre, prepare, unprepare
from .tiles import FLOAT, HIGH, LANES, multiply, scratch, written

ROWS = 64  # at a time, a multiple of `HIGH`
ROWS_AT, SCALE, SHIFT, CENTRES, TO_ROWS, TO_SCALE, TO_SHIFT, LAYERS = range(8)  # places of addresses
WEIGHT, BIAS, OUT, TO_WEIGHT, TO_BIAS, EACH = range(6)  # those of each layer


@written
def _pointer(context: Any, address: Any) -> Any:
    """Address as a pointer to float32."""
    return types.CPointer(types.float32)(types.int64), lambda _, builder, __, given: builder.inttoptr(
        given[0], FLOAT.as_pointer()
    )


@njit(cache=True, nogil=True)
def _numbers(address: int, rows: int, columns: int) -> Any:
    """The memory at an address as (rows, columns)."""
    return carray(_pointer(address), (rows, columns))


@njit(cache=True, nogil=True)
def _scales(places: Any, width: int, norm: bool) -> Any:
    """Scale and shift of the norm, (2, width)."""
    scales = np.empty((2, width), np.float32)
    if norm:
        scale, shift = _numbers(places[SCALE], 1, width), _numbers(places[SHIFT], 1, width)
        for column in range(width):
            scales[0, column], scales[1, column] = scale[0, column], shift[0, column]
    return scales


@njit(cache=True, nogil=True)
def _turn(weight: Any, out: Any) -> None:
    """Put a weight (n, width), transposed, in `out` (width, n or more); n is a multiple of `LANES`."""
    for top in range(0, len(weight), LANES):
        for column in range(weight.shape[1]):
            for row in range(top, top + LANES):
                out[column, row] = weight[row, column]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def ahead(places: Any, widths: Any, widest: int, count: int, width: int, eps: Any, norm: bool, active: bool) -> None:
    """Fill the output of each layer; `places` are addresses (`LAYERS` of them, then `EACH` of every layer), 0 for none.

    Rows are (count, width), outputs (count, n), weights (n, width); each n of `widths` is a multiple of `LANES` or
    below it, `widest` the largest and no less than `LANES`. `CENTRES` (2, count) is filled where there is a norm.
    """
    rows, centres = _numbers(places[ROWS_AT], count, width), _numbers(places[CENTRES], 2, count)
    scales, nothing = _scales(places, width, norm), scratch(0, width)
    made, last = scratch(ROWS, width), scratch(HIGH, widest)
    turned = scratch(len(widths) * width, widest)
    for layer in range(len(widths)):
        if widths[layer] >= LANES:
            weight = _numbers(places[LAYERS + EACH * layer + WEIGHT], widths[layer], width)
            _turn(weight, turned[layer * width : (layer + 1) * width])
    for first in range(0, count, ROWS):
        few = min(ROWS, count - first)
        if norm:
            centre(rows, first, few, eps, centres)
        prepare(rows, first, few, norm, active, scales, centres, made, nothing)
        for layer in range(len(widths)):
            n, own = widths[layer], LAYERS + EACH * layer
            out, bias = _numbers(places[own + OUT] + 4 * n * first, few, n), _numbers(places[own + BIAS], 1, n)
            if n < LANES:
                _few(made, _numbers(places[own + WEIGHT], n, width), out)
            else:
                _many(made, turned[layer * width : (layer + 1) * width], last, out)
            if places[own + BIAS]:
                for line in range(few):
                    for column in range(n):
                        out[line, column] += bias[0, column]


@njit(cache=True, nogil=True)
def _many(made: Any, turned: Any, last: Any, out: Any) -> None:
    """``out = made @ turned``, by way of `last` (`HIGH`, n or more) where the rows are no multiple of `HIGH`."""
    few, n = out.shape
    whole = few // HIGH * HIGH
    multiply(out, made, turned, whole, len(turned), n, 0)
    if whole < few:
        multiply(last, made[whole:], turned, HIGH, len(turned), n, 0)
        for line in range(whole, few):
            for column in range(n):
                out[line, column] = last[line - whole, column]


@njit(cache=True, nogil=True, fastmath=FAST)
def _few(made: Any, weight: Any, out: Any) -> None:
    """``out = made @ weight.T`` for few columns."""
    for line in range(len(out)):
        for column in range(weight.shape[0]):
            total = np.float32(0)
            for each in range(made.shape[1]):
                total += made[line, each] * weight[column, each]
            out[line, column] = total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def behind(places: Any, widths: Any, widest: int, count: int, width: int, norm: bool, active: bool) -> None:
    """Fill the gradients of rows, norm, weights and biases from those of the outputs, in `OUT`; sizes as in `ahead`.

    But `width` is a multiple of `LANES`.
    """
    rows, centres = _numbers(places[ROWS_AT], count, width), _numbers(places[CENTRES], 2, count)
    to_rows, scales = _numbers(places[TO_ROWS], count, width), _scales(places, width, norm)
    to_scales = np.zeros((2, width), np.float32)
    made, slope, back = scratch(ROWS, width), scratch(ROWS, width), scratch(ROWS, width)
    given = scratch(ROWS, widest)
    for first in range(0, count, ROWS):
        few = min(ROWS, count - first)
        prepare(rows, first, few, norm, active, scales, centres, made, slope)
        for layer in range(len(widths)):
            n, own = widths[layer], places[LAYERS + EACH * layer :]
            grad, weight = _numbers(own[OUT], count, n), _numbers(own[WEIGHT], n, width)
            to_weight = _numbers(own[TO_WEIGHT], n, width)
            if own[TO_BIAS]:
                _sum(grad[first:], few, _numbers(own[TO_BIAS], 1, n), first == 0)
            if n < LANES:
                _few_behind(grad[first:], few, made, weight, back, layer == 0, to_weight, first == 0)
                continue
            for line in range(-(-few // HIGH) * HIGH):
                for column in range(n):
                    given[line, column] = grad[first + line, column] if line < few else np.float32(0)
            multiply(back, given, weight, few, n, width, int(layer > 0))
            multiply(to_weight, given.T, made, n, few, width, int(first > 0))
        unprepare(rows, first, few, norm, active, scales, centres, slope, back, to_scales, to_rows)
    if norm:
        _numbers(places[TO_SCALE], 1, width)[0] = to_scales[0]
        _numbers(places[TO_SHIFT], 1, width)[0] = to_scales[1]


@njit(cache=True, nogil=True, fastmath=FAST)
def _sum(grad: Any, count: int, total: Any, begin: bool) -> None:
    """Put the sum of `count` rows in `total` (1, n), or add it."""
    for column in range(total.shape[1]):
        total[0, column] = np.float32(0) if begin else total[0, column]
    for line in range(count):
        for column in range(total.shape[1]):
            total[0, column] += grad[line, column]


@njit(cache=True, nogil=True, fastmath=FAST)
def _few_behind(
    grad: Any, count: int, made: Any, weight: Any, back: Any, fresh: bool, to_weight: Any, begin: bool
) -> None:
    """What `multiply` does for many columns: ``back (+)= grad @ weight`` and ``to_weight (+)= grad.T @ made``."""
    if begin:
        to_weight[:] = 0
    for line in range(count):
        if fresh:
            back[line] = 0
        for column in range(weight.shape[0]):
            factor = grad[line, column]
            for each in range(weight.shape[1]):
                back[line, each] += factor * weight[column, each]
                to_weight[column, each] += factor * made[line, each]
