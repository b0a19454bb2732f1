"""Weights of attention and their gradients, row by row, a vector of numbers at a time, in bfloat16.

numba would round to bfloat16, and raise 2 to a power, by many steps on whole numbers; a processor with bfloat16 has
instructions for both. Written in the language of its compiler, as `tiles`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .tiles import FLOAT, INT, LANES, VECTOR, WORDS, Half, at, spread, written

NARROW = ir.VectorType(Half(), LANES)
SHORT, BITS = ir.VectorType(ir.IntType(16), LANES), ir.IntType(LANES)
SERIES = (1.0000026, 0.69300383, 0.24144275, 0.05201146, 0.01353417)  # 2 ** r from 0 to 1, 3e-6 of it off at most
FAST = ["contract", "reassoc", "nsz"]  # what is not a number has to stay so
REAL, PLACE = types.float32, types.intp


@written
def weigh(context: Any, numbers: Any, count: Any, scale: Any, shift: Any, halves: Any) -> Any:
    """Put 2 to the power of ``scale * numbers - shift`` at `halves`, zeros up to a whole vector; returns their sum.

    `numbers` and `halves` are addresses of `count` numbers.
    """

    def write(_: Any, builder: Any, __: Any, given: Any) -> Any:
        numbers, count, scale, shift, halves = given
        total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        scale, shift = spread(builder, scale), spread(builder, builder.fneg(shift))
        with cgutils.for_range(builder, _vectors(builder, count)) as loop:
            number = builder.load(_vector(builder, numbers, loop.index, VECTOR), align=4)
            power = _power(builder, _plus(builder, number, scale, shift), _inside(builder, loop.index, count))
            builder.store(builder.fadd(builder.load(total), power, flags=FAST), total)
            _put(builder, power, halves, loop.index)
        return _sum(builder, builder.load(total))

    return REAL(PLACE, PLACE, REAL, REAL, PLACE), write


@written
def reweigh(
    context: Any,
    numbers: Any,
    change: Any,
    step: Any,
    count: Any,
    scale: Any,
    ends: Any,
    halves: Any,
    half_step: Any,
    weights: Any,
    changes: Any,
) -> Any:
    """Weights w of two rows of `numbers` as in `weigh`, and ``w * (change - mean)``, their gradient.

    `numbers` and `change` are addresses of `count` numbers, the second row `step` bytes behind the first; `ends` is
    that of shift and mean of each row. At `halves` the gradients are put, the second row `half_step` bytes behind the
    first; at `weights` and `changes` both rows together, words of a number of each.
    """

    def write(_: Any, builder: Any, __: Any, given: Any) -> Any:
        numbers, change, step, count, scale, ends, halves, half_step, weights, changes = given
        scale = spread(builder, scale)
        less = [
            spread(builder, builder.fneg(builder.load(at(builder, ends, FLOAT, 4 * place), align=4)))
            for place in range(4)
        ]
        with cgutils.for_range(builder, _vectors(builder, count)) as loop:
            inside, low, high = _inside(builder, loop.index, count), [], []
            for line in range(2):
                skip = builder.mul(step, step.type(line))
                number, grad = (
                    builder.load(_vector(builder, builder.add(each, skip), loop.index, VECTOR), align=4)
                    for each in (numbers, change)
                )
                power = _power(builder, _plus(builder, number, scale, less[2 * line]), inside)
                grad = builder.fmul(power, builder.fadd(grad, less[2 * line + 1], flags=FAST), flags=FAST)
                low.append(builder.bitcast(builder.fptrunc(power, NARROW), SHORT))
                place = builder.add(halves, builder.mul(half_step, step.type(line)))
                high.append(builder.bitcast(_put(builder, grad, place, loop.index), SHORT))
            for pair, to in ((low, weights), (high, changes)):
                first, second = (builder.zext(each, WORDS) for each in pair)
                both = builder.or_(first, builder.shl(second, ir.Constant(WORDS, [16] * LANES)))
                builder.store(both, _vector(builder, to, loop.index, WORDS), align=4)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    places = (PLACE, PLACE, PLACE, PLACE, REAL, PLACE, PLACE, PLACE, PLACE, PLACE)
    return types.void(*places), write


@written
def halve(context: Any, numbers: Any, count: Any, factor: Any, halves: Any) -> Any:
    """Put `numbers` times `factor` at `halves`, both addresses of `count` numbers, rounded up to whole vectors."""

    def write(_: Any, builder: Any, __: Any, given: Any) -> Any:
        numbers, count, factor, halves = given
        factor = spread(builder, factor)
        with cgutils.for_range(builder, _vectors(builder, count)) as loop:
            number = builder.load(_vector(builder, numbers, loop.index, VECTOR), align=4)
            _put(builder, builder.fmul(number, factor), halves, loop.index)
        return ir.Constant(ir.IntType(8).as_pointer(), None)

    return types.void(PLACE, PLACE, REAL, PLACE), write


def _vectors(builder: Any, count: Any) -> Any:
    """How many vectors hold `count` numbers."""
    return builder.udiv(builder.add(count, count.type(LANES - 1)), count.type(LANES))


def _vector(builder: Any, address: Any, index: Any, kind: Any) -> Any:
    """Pointer to vector number `index` behind an address."""
    size = 2 * LANES if kind is NARROW else 4 * LANES
    return at(builder, builder.add(address, builder.mul(index, index.type(size))), kind, 0)


def _inside(builder: Any, index: Any, count: Any) -> Any:
    """Which numbers of vector `index` are among the first `count`."""
    left = builder.trunc(builder.sub(count, builder.mul(index, index.type(LANES))), INT)
    return builder.icmp_signed("<", ir.Constant(WORDS, list(range(LANES))), spread(builder, left))


def _plus(builder: Any, number: Any, scale: Any, shift: Any) -> Any:
    return builder.fadd(builder.fmul(number, scale, flags=FAST), shift, flags=FAST)


def _power(builder: Any, x: Any, inside: Any) -> Any:
    """2 to the power of `x`, 0 where it is not `inside`: by a series behind the point, by a shift before it."""
    nothing, all_of_it = ir.Constant(VECTOR, [0.0] * LANES), ir.Constant(BITS, -1)
    down, as_set = INT(1), INT(4)  # round towards less; as the processor is set
    r = _call(builder, "reduce", [x, down, nothing, all_of_it, as_set])
    total = ir.Constant(VECTOR, [SERIES[-1]] * LANES)
    for each in reversed(SERIES[:-1]):
        total = _plus(builder, total, r, ir.Constant(VECTOR, [each] * LANES))
    return builder.select(inside, _call(builder, "scalef", [total, x, nothing, all_of_it, as_set]), nothing)


def _call(builder: Any, name: str, given: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [each.type for each in given])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.avx512.mask.{name}.ps.512")
    return builder.call(function, given)


def _put(builder: Any, numbers: Any, address: Any, index: Any) -> Any:
    """Store `numbers`, rounded, as vector `index` behind an address; returns them."""
    halves = builder.fptrunc(numbers, NARROW)
    builder.store(halves, _vector(builder, address, index, NARROW), align=2)
    return halves


def _sum(builder: Any, vector: Any) -> Any:
    kind = ir.FunctionType(FLOAT, [FLOAT, VECTOR])
    add = cgutils.get_or_insert_function(builder.module, kind, "llvm.vector.reduce.fadd.v16f32")
    return builder.call(add, [ir.Constant(FLOAT, 0.0), vector], fastmath=FAST)
