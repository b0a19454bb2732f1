"""Products of small matrices in float32 or bfloat16, compiled once for all shapes.

A library of matrix products pays for large matrices, or compiles for every new shape. Attention inside small graphs is
many thin products, and no two batches have the same: here a tile of the result stays in the registers of the processor
while the inner dimension runs through. numba has no such thing by itself, so that the tile is written in the language
of its compiler; half to nine tenths of what the processor can do, from some dozen rows on.

In bfloat16 two numbers that follow each other along the inner dimension share a word of 32 bits (int32), and one
instruction multiplies both and adds them to a sum in float32: half as many steps of the same form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

FULL = torch.backends.cpu.get_cpu_capability() == "AVX512"
LANES = 16 if FULL else 8  # numbers in a vector
HIGH = 8 if FULL else 4  # rows of a tall tile; a wide one has half as many
DEEP = 128  # numbers of the inner dimension at a time: what a column of tiles reads stays in the fastest cache
WIDE = 4  # vectors in a row of a wide tile, a tall one has half as many: more than the registers hold would be slower
HALVES = (
    FULL and torch.cpu._is_avx512_bf16_supported() and not getattr(config, "CPU_NAME", None)
)  # has that instruction
written: Any = intrinsic  # of any arguments but the first
FLOAT, INT = ir.FloatType(), ir.IntType(32)
VECTOR, WORDS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)


class Half(ir.Type):
    """bfloat16, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Half)

    def __hash__(self) -> int:
        return hash(Half)


PAIRS = ir.VectorType(Half(), 2 * LANES)


def _tile(high: int, width: int) -> Any:
    """Function that puts a tile of `high` rows and `width` vectors where it belongs: ``to (+)= coef @ rows``.

    Takes addresses and steps in bytes: of the tile and its rows; of rows and the step between them; of coefficients
    and the steps across and along their rows; the inner dimension; whether to add to what is there; and a number of the
    type of the rows.
    """

    @written
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
        number: Any,
    ) -> Any:
        half = number == types.int32
        return types.void(*[types.intp] * 9, number), lambda _, builder, __, given: _called(
            builder, high, width, half, given[:-1]
        )

    return tile


def _called(builder: Any, high: int, width: int, half: bool, given: Any) -> Any:
    """Call the tile as a function of its own, written where it is not there yet."""
    name, kind = (
        f"tile_{high}_{width}{'_half' if half else ''}",
        ir.FunctionType(ir.VoidType(), [each.type for each in given]),
    )
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    if function.is_declaration:
        function.linkage = "internal"
        function.attributes.add("noinline")  # else it is compiled again at each of its uses
        inside = ir.IRBuilder(function.append_basic_block())
        _write(inside, high, width, half, function.args)
        inside.ret_void()
    builder.call(function, given)
    return ir.Constant(ir.IntType(8).as_pointer(), None)


def _write(builder: Any, high: int, width: int, half: bool, given: Any) -> None:
    """Write the tile with `builder`; `given` are its arguments, see `_tile`."""
    number_kind, kind = (INT, WORDS) if half else (FLOAT, VECTOR)
    to, to_step, rows, step, coef, across, along, depth, add = given
    lines = [builder.add(to, builder.mul(to_step, to.type(line))) for line in range(high)]
    places = [[at(builder, line, VECTOR, LANES * 4 * number) for number in range(width)] for line in lines]
    sums = [[cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES)) for _ in line] for line in places]
    pairs = [pair for each in zip(sums, places, strict=True) for pair in zip(*each, strict=True)]
    with builder.if_then(builder.icmp_signed("!=", add, to.type(0))):
        for total, place in pairs:
            builder.store(builder.load(place, align=4), total)
    with cgutils.for_range(builder, depth) as loop:
        row = builder.add(rows, builder.mul(step, loop.index))
        own = [builder.load(at(builder, row, kind, LANES * 4 * number), align=4) for number in range(width)]
        column = builder.add(coef, builder.mul(along, loop.index))
        for number, line in enumerate(sums):
            place = at(builder, builder.add(column, builder.mul(across, to.type(number))), number_kind, 0)
            factor = spread(builder, builder.load(place, align=4))
            for total, each in zip(line, own, strict=True):
                builder.store(_added(builder, builder.load(total), factor, each, half), total)
    for total, place in pairs:
        builder.store(builder.load(total), place, align=4)


def _added(builder: Any, total: Any, factor: Any, row: Any, half: bool) -> Any:
    """``total + factor * row``."""
    if not half:
        return builder.fadd(total, builder.fmul(factor, row, flags=["contract"]), flags=["contract"])
    kind = ir.FunctionType(VECTOR, [VECTOR, PAIRS, PAIRS])
    dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
    return builder.call(dot, [total, builder.bitcast(factor, PAIRS), builder.bitcast(row, PAIRS)])


def at(builder: Any, address: Any, kind: Any, shift: int) -> Any:
    """Pointer to a `kind` that lies `shift` bytes behind an address."""
    return builder.inttoptr(builder.add(address, address.type(shift)), kind.as_pointer())


def spread(builder: Any, number: Any) -> Any:
    """Vector of a `number` over and over."""
    nothing = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
    first = builder.insert_element(nothing, number, INT(0))
    return builder.shuffle_vector(first, nothing, ir.Constant(WORDS, [0] * LANES))


_wide, _tall, _thin = _tile(HIGH // 2, WIDE), _tile(HIGH, WIDE // 2), _tile(HIGH, 1)


@njit(cache=True, nogil=True)
def multiply(to: Any, coef: Any, rows: Any, high: int, depth: int, wide: int, add: int) -> None:
    """``to[:high, :wide] (+)= coef[:high, :depth] @ rows[:depth, :wide]``, all float32; or `coef` and `rows` words.

    `high` is rounded up to a multiple of `HIGH`, `wide` to one of `LANES`: the memory has to be there. Numbers of a row
    lie side by side in `to` and `rows`, anyhow in `coef`.
    """
    across, along = coef.strides
    size, nothing = (high, depth, wide), rows.dtype.type(0)
    first, source = to.ctypes.data, rows.ctypes.data
    _multiply(first, to.strides[0], source, rows.strides[0], coef.ctypes.data, across, along, size, add, nothing)


@njit(cache=True, nogil=True)
def _multiply(
    first: Any, step: Any, source: Any, below: Any, coef: Any, across: Any, along: Any, size: Any, add: Any, kind: Any
) -> None:
    """The same of addresses, so that it is compiled once for arrays of any layout."""
    high, depth, wide = size
    for begin in range(0, max(depth, 1), DEEP):
        part, more = min(DEEP, depth - begin), int(add or begin > 0)
        factors, column = coef + begin * along, 0
        while column < wide:
            own, here = source + begin * below + 4 * column, first + 4 * column
            vectors = min(-((column - wide) // LANES), WIDE)
            for line in range(0, high, HIGH // 2 if vectors >= WIDE else HIGH):
                place, rest = here + line * step, factors + line * across
                if vectors >= WIDE:
                    _wide(place, step, own, below, rest, across, along, part, more, kind)
                elif vectors >= WIDE // 2:
                    _tall(place, step, own, below, rest, across, along, part, more, kind)
                else:
                    _thin(place, step, own, below, rest, across, along, part, more, kind)
            column += LANES * (WIDE if vectors >= WIDE else WIDE // 2 if vectors >= WIDE // 2 else 1)


@njit(cache=True, nogil=True)
def scratch(rows: int, columns: int) -> Any:
    """Memory (rows, columns) of any content that begins where a line of the processor's cache does."""
    raw = np.empty(rows * columns + 16, np.float32)
    gap = (-raw.ctypes.data // 4) % 16
    return raw[gap : gap + rows * columns].reshape(rows, columns)


@njit(cache=True, nogil=True)
def memory(rows: int, columns: int) -> Any:
    """The same of zeros; `columns` a multiple of `LANES`."""
    numbers = scratch(rows, columns)
    numbers[:] = 0
    return numbers


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
