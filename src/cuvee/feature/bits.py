"""Machine operations that Numba has no name for, as functions for use inside kernels.

All are plain LLVM with a fixed meaning, so results are the same on every CPU: unaligned little-endian loads, the two
halves of a 64 x 64-bit product, bit counts, and the classification of 64 ASCII bytes at once. None checks bounds: the
caller makes sure that the bytes exist.

    load64(bytes, i), load32(bytes, i)   the 8 or 4 bytes at i as an unsigned number
    store64(bytes, i, x)                 write 8 bytes at i
    high(a, b)                           upper 64 bits of a * b: maps a uniform a onto 0..b-1
    fold(a, b)                           upper half XOR lower half of a * b: the mixing step of wyhash
    zeros(x), ones(x)                    trailing zeros (64 for 0), set bits
    lower64(source, i, target, o)        lower-case 64 ASCII bytes from i to o; bits of (word, space, first of several)
    shape64(bytes, i)                    bits of 64 bytes: (word, digit, space, line feed, non-ASCII)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

if sys.byteorder != "little":
    raise ImportError("cuvee's text kernels need a little-endian machine")

_I8, _I32, _I64, _I128 = (ir.IntType(width) for width in (8, 32, 64, 128))
_V64 = ir.VectorType(_I8, 64)


def pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, pointee: Any) -> Any:
    """The address of an array's element as a pointer to another type; for use in other intrinsics."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def _loader(pointee: Any, result: Any) -> Callable[..., Any]:
    def load(typing_context: Any, array: Any, index: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            value = builder.load(pointer(context, builder, signature.args[0], args[0], args[1], pointee), align=1)
            return value if pointee is _I64 else builder.zext(value, _I64)

        return result(array, types.int64), code

    return load


def _store64(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], pointer(context, builder, signature.args[0], args[0], args[1], _I64), align=1)
        return context.get_dummy_value()

    return types.none(array, types.int64, types.uint64), code


def _product(builder: Any, args: Any) -> tuple[Any, Any]:
    wide = builder.mul(builder.zext(args[0], _I128), builder.zext(args[1], _I128))
    return builder.trunc(builder.lshr(wide, ir.Constant(_I128, 64)), _I64), builder.trunc(wide, _I64)


def _high(typing_context: Any, a: Any, b: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _product(builder, args)[0]

    return types.uint64(types.uint64, types.uint64), code


def _fold(typing_context: Any, a: Any, b: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.xor(*_product(builder, args))

    return types.uint64(types.uint64, types.uint64), code


def _zeros(typing_context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), code


def _ones(typing_context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), code


class _Bytes:
    """64 bytes in a vector register, and questions about them that are answered with one bit per byte."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def all(self, byte: int) -> Any:
        return ir.Constant(_V64, [byte] * 64)

    def between(self, first: int, last: int) -> Any:
        shifted = self.builder.sub(self.value, self.all(first))
        return self.builder.icmp_unsigned("<=", shifted, self.all(last - first))

    def any_of(self, *ranges: tuple[int, int]) -> Any:
        found = self.between(*ranges[0])
        for one in ranges[1:]:
            found = self.builder.or_(found, self.between(*one))
        return found

    def bits(self, answer: Any) -> Any:
        return self.builder.bitcast(answer, _I64)


_pack: Any = cgutils.pack_array
_several: Any = types.UniTuple
_LOWER, _DIGITS, _WORD_ONLY, _HIGH = (97, 122), (48, 57), (95, 95), (128, 255)
_FIRST = (192, 255)
_SPACES = ((32, 32), (9, 13), (28, 31))


def _lower64(typing_context: Any, source: Any, i: Any, target: Any, o: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = pointer(context, builder, signature.args[0], args[0], args[1], _V64)
        raw = _Bytes(builder, builder.load(address, align=1))
        capital = builder.zext(raw.between(65, 90), _V64)
        low = _Bytes(builder, builder.or_(raw.value, builder.shl(capital, raw.all(5))))
        builder.store(low.value, pointer(context, builder, signature.args[2], args[2], args[3], _V64), align=1)
        word = low.bits(low.any_of(_LOWER, _DIGITS, _WORD_ONLY))
        parts = [word, low.bits(low.any_of(*_SPACES)), low.bits(low.between(*_FIRST))]
        return _pack(builder, parts)

    return _several(types.uint64, 3)(source, types.int64, target, types.int64), code


def _shape64(typing_context: Any, array: Any, i: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = pointer(context, builder, signature.args[0], args[0], args[1], _V64)
        raw = _Bytes(builder, builder.load(address, align=1))
        letter, digit = raw.any_of(_LOWER, (65, 90)), raw.between(*_DIGITS)
        word = builder.or_(builder.or_(letter, digit), raw.between(*_WORD_ONLY))
        answers = [word, digit, raw.any_of(*_SPACES), raw.between(10, 10), raw.between(*_HIGH)]
        return _pack(builder, [raw.bits(answer) for answer in answers])

    return _several(types.uint64, 5)(array, types.int64), code


load64: Any = intrinsic(_loader(_I64, types.uint64))
load32: Any = intrinsic(_loader(_I32, types.uint64))
store64: Any = intrinsic(_store64)
high: Any = intrinsic(_high)
fold: Any = intrinsic(_fold)
zeros: Any = intrinsic(_zeros)
ones: Any = intrinsic(_ones)
lower64: Any = intrinsic(_lower64)
shape64: Any = intrinsic(_shape64)
