"""SHA-256 of many short strings at once inside a kernel, and the remainder of the digest modulo any number of buckets.

One digest per vector lane: 16 messages of at most 55 bytes (one block each) go through the 64 rounds together. Longer
messages, which are rare, use the same rounds with only one lane of meaning. The digest is never needed as such, only
as a number modulo m: it is the sum of its eight 32-bit words times 2^224, 2^192, ... 1, each power taken modulo m
beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..engine.kernel import kernel
from .bits import load64, pointer

LANES = 16
MAX_BUCKETS = 2**28
"""Below this the eight products above add up without leaving 64 bits."""
Lanes = npt.NDArray[np.uint32]


def _roots() -> tuple[list[int], list[int]]:
    """The standard's constants: the first 32 fractional bits of square roots (8) and cube roots (64) of primes."""
    primes = [p for p in range(2, 312) if all(p % d for d in range(2, p))]

    def root(number: int, power: int) -> int:
        low, high = 0, 1 << (number.bit_length() // power + 1)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle**power <= number else (low, middle)
        return low & 0xFFFFFFFF

    return [root(p << 64, 2) for p in primes[:8]], [root(p << 96, 3) for p in primes]


_START, _ROUND = _roots()
START = np.array(_START, np.uint32)


def _compress(typing_context: Any, lanes: Any, digest: Any) -> Any:
    """The 64 rounds over one block per lane; ``digest`` (8, LANES) is the state before and after."""
    vector = ir.VectorType(ir.IntType(32), LANES)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def constant(value: int) -> Any:
            return ir.Constant(vector, [value] * LANES)

        def rotate(x: Any, by: int) -> Any:
            return builder.or_(builder.lshr(x, constant(by)), builder.shl(x, constant(32 - by)))

        def xor(x: Any, y: Any, z: Any) -> Any:
            return builder.xor(builder.xor(x, y), z)

        def add(first: Any, *more: Any) -> Any:
            for one in more:
                first = builder.add(first, one)
            return first

        def row(argument: int, number: int) -> Any:
            index = ir.Constant(ir.IntType(64), number * LANES)
            return pointer(context, builder, signature.args[argument], args[argument], index, vector)

        w = [builder.load(row(0, t), align=4) for t in range(16)]
        state = [builder.load(row(1, t), align=4) for t in range(8)]
        a, b, c, d, e, f, g, h = state
        for t in range(64):
            if t >= 16:
                x, y = w[(t - 15) & 15], w[(t - 2) & 15]
                small0 = xor(rotate(x, 7), rotate(x, 18), builder.lshr(x, constant(3)))
                small1 = xor(rotate(y, 17), rotate(y, 19), builder.lshr(y, constant(10)))
                w[t & 15] = add(w[t & 15], small0, w[(t - 7) & 15], small1)
            choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
            majority = builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))
            one = add(h, xor(rotate(e, 6), rotate(e, 11), rotate(e, 25)), choice, constant(_ROUND[t]), w[t & 15])
            two = add(xor(rotate(a, 2), rotate(a, 13), rotate(a, 22)), majority)
            a, b, c, d, e, f, g, h = add(one, two), a, b, c, add(d, one), e, f, g
        for t, (before, after) in enumerate(zip(state, (a, b, c, d, e, f, g, h), strict=True)):
            builder.store(builder.add(before, after), row(1, t), align=4)
        return context.get_dummy_value()

    return types.none(lanes, digest), code


def _swap(typing_context: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return types.uint64(types.uint64), code


compress: Any = intrinsic(_compress)
swap: Any = intrinsic(_swap)


@kernel
def put_block(message: npt.NDArray[np.uint8], at: int, lanes: Lanes, lane: int) -> None:
    """Copy 64 bytes of a message into one lane, as big-endian words."""
    for t in range(8):
        pair = swap(load64(message, at + 8 * t))
        lanes[2 * t, lane] = pair >> np.uint64(32)
        lanes[2 * t + 1, lane] = pair & np.uint64(0xFFFFFFFF)


@kernel
def pad(message: npt.NDArray[np.uint8], size: int) -> int:
    """Append the standard's padding in place (room for 72 bytes is needed); returns the padded size."""
    full = (size + 72) >> 6 << 6
    message[size] = 0x80
    for p in range(size + 1, full):
        message[p] = 0
    for k in range(8):
        message[full - 1 - k] = (size * 8 >> 8 * k) & 0xFF
    return full


@kernel
def rounds(lanes: Lanes, digest: Lanes, block: int) -> None:
    """One block in every lane: ``digest`` (8, LANES) is the state before and after, set up here for block 0."""
    if block == 0:
        for t in range(8):
            for lane in range(LANES):
                digest[t, lane] = START[t]
    compress(lanes, digest)


@kernel
def remainder(digest: Lanes, lane: int, powers: npt.NDArray[np.uint64]) -> int:
    """One lane's digest modulo m. ``powers`` come from ``powers_of``."""
    total: Any = np.uint64(0)
    for t in range(8):
        total += np.uint64(digest[t, lane]) * powers[t]
    return total % powers[8]


def powers_of(buckets: int) -> npt.NDArray[np.uint64]:
    """2^224, 2^192, ..., 1 modulo the number of buckets, and that number itself."""
    return np.array([pow(2, 32 * (7 - t), buckets) for t in range(8)] + [buckets], np.uint64)
