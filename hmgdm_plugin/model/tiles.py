"""Products of small matrices in float32, compiled once for all shapes.

A library of matrix products pays for large matrices, or compiles for every new shape. Attention inside small graphs is
many thin products, and no two batches have the same: here a tile of the result stays in the registers of the processor
while the inner dimension runs through. numba has no such thing by itself, so that the tile is written in the language
of its compiler; half to nine tenths of what the processor can do, from some dozen rows on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

FULL = torch.backends.cpu.get_cpu_capability() == "AVX512"
LANES = 16 if FULL else 8  # numbers in a vector
HIGH = 8 if FULL else 4  # rows of a tall tile; a wide one has half as many
WIDE = 4  # vectors in a row of a wide tile, a tall one has half as many: more than the registers hold would be slower
FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)


def _tile(high: int, width: int) -> Any:
    """Function that puts a tile of `high` rows and `width` vectors where it belongs: ``to (+)= coef @ rows``.

    Takes addresses and steps in bytes: of the tile and its rows; of rows and the step between them; of coefficients
    and the steps across and along their rows; the inner dimension; and whether to add to what is there.
    """

    @intrinsic
    def tile(
        context: Any,
        to: Any,
        to_step: Any,
        rows: Any,
        step: Any,
        coef: Any,
        across: Any,
        along: Any,
        depth: Any,
        add: Any,
    ) -> Any:
        return types.void(*[types.intp] * 9), lambda _, builder, __, given: _called(builder, high, width, given)

    return tile


def _called(builder: Any, high: int, width: int, given: Any) -> Any:
    """Call the tile as a function of its own, written where it is not there yet."""
    name, kind = f"tile_{high}_{width}", ir.FunctionType(ir.VoidType(), [each.type for each in given])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")  # else it is compiled again at each of its uses
        inside = ir.IRBuilder(function.append_basic_block())
        _write(inside, high, width, function.args)
        inside.ret_void()
    builder.call(function, given)
    return ir.Constant(ir.IntType(8).as_pointer(), None)


def _write(builder: Any, high: int, width: int, given: Any) -> None:
    """Write the tile with `builder`; `given` are its arguments, see `_tile`."""
    to, to_step, rows, step, coef, across, along, depth, add = given
    lines = [builder.add(to, builder.mul(to_step, to.type(line))) for line in range(high)]
    places = [[_at(builder, line, VECTOR, LANES * 4 * number) for number in range(width)] for line in lines]
    sums = [[cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES)) for _ in line] for line in places]
    pairs = [pair for each in zip(sums, places, strict=True) for pair in zip(*each, strict=True)]
    with builder.if_then(builder.icmp_signed("!=", add, to.type(0))):
        for total, place in pairs:
            builder.store(builder.load(place, align=4), total)
    with cgutils.for_range(builder, depth) as loop:
        row = builder.add(rows, builder.mul(step, loop.index))
        own = [builder.load(_at(builder, row, VECTOR, LANES * 4 * number), align=4) for number in range(width)]
        column = builder.add(coef, builder.mul(along, loop.index))
        for number, line in enumerate(sums):
            factor = _spread(builder, _at(builder, builder.add(column, builder.mul(across, to.type(number))), FLOAT, 0))
            for total, each in zip(line, own, strict=True):
                more = builder.fmul(factor, each, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), more, flags=["contract"]), total)
    for total, place in pairs:
        builder.store(builder.load(total), place, align=4)


def _at(builder: Any, address: Any, kind: Any, shift: int) -> Any:
    """Pointer to a `kind` that lies `shift` bytes behind an address."""
    return builder.inttoptr(builder.add(address, address.type(shift)), kind.as_pointer())


def _spread(builder: Any, place: Any) -> Any:
    """Vector of the number at `place`."""
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, builder.load(place, align=4), INT(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(INT, LANES), [0] * LANES))


_wide, _tall, _thin = _tile(HIGH // 2, WIDE), _tile(HIGH, WIDE // 2), _tile(HIGH, 1)


@njit(cache=True, nogil=True)
def multiply(to: Any, coef: Any, rows: Any, high: int, depth: int, wide: int, add: int) -> None:
    """``to[:high, :wide] (+)= coef[:high, :depth] @ rows[:depth, :wide]``, all float32.

    `high` is rounded up to a multiple of `HIGH`, `wide` to one of `LANES`: the memory has to be there. Numbers of a row
    lie side by side in `to` and `rows`, anyhow in `coef`.
    """
    first, step = to.ctypes.data, to.strides[0]
    source, below = rows.ctypes.data, rows.strides[0]
    across, along = coef.strides
    for line in range(0, high, HIGH):
        place, factors = first + line * step, coef.ctypes.data + line * across
        halfway, half = HIGH // 2 * step, HIGH // 2 * across
        column = 0
        while column + WIDE * LANES <= wide:
            here, own = place + 4 * column, source + 4 * column
            _wide(here, step, own, below, factors, across, along, depth, add)
            _wide(here + halfway, step, own, below, factors + half, across, along, depth, add)
            column += WIDE * LANES
        while column + WIDE // 2 * LANES <= wide:
            _tall(place + 4 * column, step, source + 4 * column, below, factors, across, along, depth, add)
            column += WIDE // 2 * LANES
        while column < wide:
            _thin(place + 4 * column, step, source + 4 * column, below, factors, across, along, depth, add)
            column += LANES


@njit(cache=True, nogil=True)
def memory(rows: int, columns: int) -> Any:
    """Zeros (rows, columns) that begin where a line of the processor's cache does; `columns` a multiple of `LANES`."""
    raw = np.zeros(rows * columns + 16, np.float32)
    gap = (-raw.ctypes.data // 4) % 16
    return raw[gap : gap + rows * columns].reshape(rows, columns)


@njit(cache=True, nogil=True)
def fill(to: Any, coef: Any, rows: Any) -> None:
    """``to[:] = coef @ rows`` of at least `HIGH` rows and `LANES` columns; the last ones are worked out twice."""
    high, wide = to.shape
    lines, columns = high // HIGH * HIGH, wide // LANES * LANES
    low, right = high - HIGH, wide - LANES
    depth = coef.shape[1]
    multiply(to, coef, rows, lines, depth, columns, 0)
    if lines < high:
        multiply(to[low:], coef[low:], rows, HIGH, depth, columns, 0)
    if columns < wide:
        multiply(to[:, right:], coef, rows[:, right:], lines, depth, LANES, 0)
        multiply(to[low:, right:], coef[low:], rows[:, right:], HIGH, depth, LANES, 0)
