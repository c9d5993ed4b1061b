"""Building blocks that read 32 bytes at once, and the UTF-8 check that all readers share.

The loads are unaligned and unchecked: whoever calls them must own at least :data:`SLACK` bytes behind the index.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cuvee.engine.kernel import kernel

SLACK = 64
_WIDTH = 32
_VECTOR = ir.VectorType(ir.IntType(8), _WIDTH)
_NEWLINE = 10


compiled: Any = intrinsic
"""Numba's own type for intrinsics has the compiler's arguments, not the caller's."""


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


@kernel
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


@kernel
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
    """Set ``flags[k]`` where text k is not UTF-8; returns how many there are."""
    count = 0
    for k in range(len(offsets) - 1):
        flags[k] = 0
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
