"""Building blocks that read 32 bytes at once, and the UTF-8 check that all readers share.

The loads are unaligned and unchecked: whoever calls them must own at least :data:`SLACK` bytes behind the index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from cuvee.engine.kernel import kernel, leaf

SLACK = 64
_WIDTH = 32
_VECTOR = ir.VectorType(ir.IntType(8), _WIDTH)
_WIDE = ir.VectorType(ir.IntType(8), 64)
_BITS = ir.IntType(64)
_NEWLINE = 10


compiled: Any = intrinsic
"""Numba's own type for intrinsics has the compiler's arguments, not the caller's."""
_pack: Any = cgutils.pack_array
_several: Any = types.UniTuple


def _splat(value: int) -> ir.Constant:
    return ir.Constant(_VECTOR, [ir.Constant(ir.IntType(8), value)] * _WIDTH)


def _load(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())
    return builder.load(pointer, align=1)


def _first_lane(builder: Any, lanes: Any) -> Any:
    """The number of the first lane that is set, 32 when there is none."""
    mask = builder.zext(builder.bitcast(lanes, ir.IntType(_WIDTH)), ir.IntType(64))
    guarded = builder.or_(mask, ir.Constant(ir.IntType(64), 1 << _WIDTH))
    return builder.cttz(guarded, ir.Constant(ir.IntType(1), 1))


@compiled  # type: ignore[untyped-decorator]
def special(typing: Any, data: Any, index: Any) -> Any:
    """How many of the 32 bytes at ``index`` come before the first quote, backslash, control or non-ASCII byte."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _load(context, builder, signature.args[0], *arguments)
        found = builder.icmp_unsigned("<", lanes, _splat(32))
        found = builder.or_(found, builder.icmp_unsigned("==", lanes, _splat(34)))
        found = builder.or_(found, builder.icmp_unsigned("==", lanes, _splat(92)))
        found = builder.or_(found, builder.icmp_unsigned(">", lanes, _splat(127)))
        return _first_lane(builder, found)

    return types.int64(data, types.int64), generate


@compiled  # type: ignore[untyped-decorator]
def newline(typing: Any, data: Any, index: Any) -> Any:
    """How many of the 32 bytes at ``index`` come before the first newline."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _load(context, builder, signature.args[0], *arguments)
        return _first_lane(builder, builder.icmp_unsigned("==", lanes, _splat(_NEWLINE)))

    return types.int64(data, types.int64), generate


@compiled  # type: ignore[untyped-decorator]
def beyond_ascii(typing: Any, data: Any, index: Any) -> Any:
    """How many of the 32 bytes at ``index`` come before the first one above 127."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _load(context, builder, signature.args[0], *arguments)
        return _first_lane(builder, builder.icmp_unsigned(">", lanes, _splat(127)))

    return types.int64(data, types.int64), generate


@compiled  # type: ignore[untyped-decorator]
def copy32(typing: Any, target: Any, at: Any, source: Any, index: Any) -> Any:
    """Copy 32 bytes from ``source[index:]`` to ``target[at:]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _load(context, builder, signature.args[2], arguments[2], arguments[3])
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), _VECTOR.as_pointer())
        builder.store(lanes, pointer, align=1)
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64), generate


def _wide(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Callable[[int, int], Any]:
    """A function that tells which of the 64 bytes at ``index`` are in a range."""
    data = context.make_array(kind)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), _WIDE.as_pointer())
    lanes = builder.load(pointer, align=1)

    def between(first: int, last: int) -> Any:
        shifted = builder.sub(lanes, ir.Constant(_WIDE, [first] * 64))
        return builder.icmp_unsigned("<=", shifted, ir.Constant(_WIDE, [last - first] * 64))

    return between


@compiled  # type: ignore[untyped-decorator]
def utf8_classes(typing: Any, data: Any, index: Any) -> Any:
    """A bit for each of the 64 bytes at ``index``: beyond ASCII, continuation, first of 2 to 4, of 3 or 4, of 4."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        between = _wide(context, builder, signature.args[0], *arguments)
        ranges = (0x80, 0xFF), (0x80, 0xBF), (0xC2, 0xF4), (0xE0, 0xF4), (0xF0, 0xF4)
        return _pack(builder, [builder.bitcast(between(*one), _BITS) for one in ranges])

    return _several(types.uint64, 5)(data, types.int64), generate


@compiled  # type: ignore[untyped-decorator]
def utf8_seconds(typing: Any, data: Any, index: Any) -> Any:
    """A bit for each of the 64 bytes at ``index`` that its next makes an overlong form, a surrogate or too large."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = _wide(context, builder, signature.args[0], *arguments)
        index = builder.add(arguments[1], ir.Constant(_BITS, 1))
        second = _wide(context, builder, signature.args[0], arguments[0], index)
        found = ir.Constant(ir.VectorType(ir.IntType(1), 64), [0] * 64)
        for byte, low, high in ((0xE0, 0x80, 0x9F), (0xED, 0xA0, 0xBF), (0xF0, 0x80, 0x8F), (0xF4, 0x90, 0xBF)):
            found = builder.or_(found, builder.and_(first(byte, byte), second(low, high)))
        return builder.bitcast(found, _BITS)

    return types.uint64(data, types.int64), generate


@kernel
def utf8_run(data: npt.NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether ``data[start:end]`` is well-formed UTF-8, 64 bytes at a time whatever they are. Needs no slack."""
    tail = np.zeros(128, np.uint8)
    open_ = np.uint64(0)  # continuation bytes that the last 64 bytes still want
    i = start
    while i < end:
        source, at = data, i
        if i + 65 > end:
            for k in range(min(64, end - i)):
                tail[k] = data[i + k]
            source, at = tail, 0
        beyond, inner, first, first3, first4 = utf8_classes(source, at)
        if beyond | open_:
            wanted = first << np.uint64(1) | first3 << np.uint64(2) | first4 << np.uint64(3) | open_
            if wanted != inner or inner | first != beyond or (first3 and utf8_seconds(source, at)):
                return False
            open_ = first >> np.uint64(63) | first3 >> np.uint64(62) | first4 >> np.uint64(61)
        i += 64
    return open_ == 0


@leaf
def utf8_step(data: npt.NDArray[np.uint8], i: int, end: int) -> int:
    """Length of the well-formed multi-byte character at i (before ``end``), 0 when it is ill-formed."""
    first = data[i]
    if first < 0xC2 or first > 0xF4 or i + 1 >= end:
        return 0
    second = data[i + 1]
    if first < 0xE0:
        return 2 if second & 0xC0 == 0x80 else 0
    if i + 2 >= end or data[i + 2] & 0xC0 != 0x80 or second & 0xC0 != 0x80:
        return 0
    if first < 0xF0:
        if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
            return 0
        return 3
    if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
        return 0
    if i + 3 >= end or data[i + 3] & 0xC0 != 0x80:
        return 0
    return 4


@leaf
def utf8_valid(data: npt.NDArray[np.uint8], start: int, end: int) -> bool:
    """Whether ``data[start:end]`` is well-formed UTF-8 (no overlongs, no surrogates). Needs no slack."""
    i = start
    while i < end:
        if i + 32 <= end:
            ahead = beyond_ascii(data, i)
            i += ahead
            if ahead == 32:
                continue
        if data[i] < 0x80:
            i += 1
            continue
        while i < end and data[i] >= 0x80:
            length = utf8_step(data, i, end)
            if length == 0:
                return False
            i += length
    return True


@kernel
def ill_formed(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64], flags: npt.NDArray[np.uint8]) -> int:
    """Set ``flags[k]`` where text k is not UTF-8; returns how many there are. All texts are checked in one run first:
    if that is well formed and no text begins inside a character, so is every text."""
    count, n = 0, len(offsets) - 1
    sound = n > 0 and utf8_run(data, offsets[0], offsets[n])
    for k in range(n):
        flags[k] = 0
        if offsets[k] < offsets[n] and data[offsets[k]] & 0xC0 == 0x80:
            sound = False
    if sound:
        return 0
    for k in range(n):
        if not utf8_valid(data, offsets[k], offsets[k + 1]):
            flags[k] = 1
            count += 1
    return count


@kernel
def without(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    bad: npt.NDArray[np.uint8],
    kept: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
) -> int:
    """Copy the texts whose ``bad`` is 0 into ``kept``, the others becoming empty; returns the bytes kept."""
    at = 0
    ends[0] = 0
    for k in range(len(bad)):
        if bad[k] == 0:
            size = offsets[k + 1] - offsets[k]
            kept[at : at + size] = data[offsets[k] : offsets[k + 1]]
            at += size
        ends[k + 1] = at
    return at
