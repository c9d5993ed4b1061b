"""From UTF-8 bytes to MinHash signatures and band keys without a Python object per word: the hot loops of ``MinHash``.

Per document: lower-case and mark word characters and white space (``ngram_kernels``), hash every token, hash every run
of n tokens by doubling (log2 n steps instead of n), and lower the signature by eight n-grams at a time.

An n-gram has a 64-bit hash, of which u is the lower and v the upper half. Permutation k is

    h_k = (a_k * u + v) mod 2^32,    a_k random and odd

so one multiplication, one addition and one minimum per n-gram and permutation, 16 permutations in a vector register.
Each h_k is uniform. Two of them differ by (a_k - a_l) * u, and the difference of two odd numbers is even: so they agree
in their lowest t bits, where 2^t, t >= 1, is the largest power of two that divides it (2 bits on average), and are
independent over random (u, v) in the 32 - t above, which decide the order. With a constant in v's place, as in the
textbook family on 32 bits, both would be functions of u alone. Two documents agree in a
position by accident with probability of about (their n-grams) / 2^32: 0.00002 for a text of 100,000 words.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..core import Array
from ..engine.kernel import leaf
from .bits import fold, load64, pointer, store64, zeros
from .content import SECOND, wyhash
from .ngram_kernels import (
    ONE,
    U63,
    WINDOW,
    Bytes,
    C,
    D,
    Ints,
    Scratch,
    Words,
    cut_characters,
    cut_words,
    decode,
    int64,
    lower_text,
    record_of,
    scratch,
    uint64,
)
from .unicode import CLASS_BITS, DIGIT, Tables

U32, NONE = uint64(32), np.uint32(0xFFFFFFFF)
LANES, GRAMS, REGISTERS = 16, 8, 2
STEP = LANES * REGISTERS
"""Permutations that are lowered together; signatures are padded to a multiple of it."""
TILE = 1024
"""Permutations that go over a window's n-grams together: their minima and multipliers stay in the nearest cache."""
WORD, TOKEN, BLANK, CHARACTER = range(4)
"""Units: runs of word characters; these and runs of other signs; what stands between blanks; code points."""
DIGITS, SIGNS = 1, 2
"""What is folded before: runs of digits to one 0; signs (neither word character nor white space) to a blank."""
THREES, NIBBLES = uint64(0x3030303030303030), uint64(0xF0F0F0F0F0F0F0F0)
ONES, TOPS = uint64(0x0101010101010101), uint64(0x8080808080808080)
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_LANES = ir.VectorType(_I32, LANES)


def _lower_minima(typing_context: Any, least: Any, factor: Any, k: Any, grams: Any, j: Any) -> Any:
    """Lower least[k:k + STEP] by the hashes of grams[j:j + GRAMS]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args

        def splat(value: Any) -> Any:
            blank = ir.Constant(_LANES, ir.Undefined)
            one = builder.insert_element(blank, value, ir.Constant(_I32, 0))
            return builder.shuffle_vector(one, blank, ir.Constant(_LANES, [0] * LANES))

        def vector(array: int, register: int) -> Any:
            at = builder.add(args[2], ir.Constant(_I64, LANES * register))
            return pointer(context, builder, kinds[array], args[array], at, _LANES)

        places = [vector(0, register) for register in range(REGISTERS)]
        minima = [builder.load(place, align=4) for place in places]
        factors = [builder.load(vector(1, register), align=4) for register in range(REGISTERS)]
        for gram in range(GRAMS):
            at = builder.add(args[4], ir.Constant(_I64, gram))
            both = builder.load(pointer(context, builder, kinds[3], args[3], at, _I64), align=8)
            low = splat(builder.trunc(both, _I32))
            high = splat(builder.trunc(builder.lshr(both, ir.Constant(_I64, 32)), _I32))
            for register in range(REGISTERS):
                value = builder.add(builder.mul(factors[register], low), high)
                smaller = builder.icmp_unsigned("<", value, minima[register])
                minima[register] = builder.select(smaller, value, minima[register])
        for place, value in zip(places, minima, strict=True):
            builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.none(least, factor, types.int64, grams, types.int64), code


lower_minima: Any = intrinsic(_lower_minima)


class Plan(NamedTuple):
    """What is computed, as numbers."""

    n: int
    unit: int
    folds: int
    bands: int
    rows: int


class Memory(NamedTuple):
    """Working memory of one call, reused for every document."""

    s: Scratch
    folded: Bytes  # a text that is folded before it is cut
    power: Words  # as long as s.token: hashes of runs of 1, 2, 4, ... tokens
    least: Array  # uint32, (permutations, padded): the signature
    factor: Array  # uint32, the same size: odd multipliers
    marks: Words  # one bit a code point: whether it belongs to the one before it (``unicode.marks``)


def memory(longest: int, folds: int, factor: Array, marks: Words) -> Memory:
    """Working memory for texts of at most ``longest`` bytes."""
    s = scratch(longest)
    folded = np.zeros(len(s.text) if folds else 0, np.uint8)
    return Memory(s, folded, np.empty(len(s.token) + GRAMS, np.uint64), np.empty(len(factor), np.uint32), factor, marks)


@leaf
def run_hashes(count: int, n: int, s: Scratch, power: Words) -> int:
    """Hashes of all runs of n of the first ``count`` tokens, into s.chain; returns their number.

    A run is combined from runs whose lengths are powers of two, the binary digits of n, from the left.
    """
    total = count - n + 1
    if total <= 0:
        return 0
    token, chain = s.token, s.chain
    done, size = int64(0), int64(1)
    for i in range(count):
        power[i] = token[i]
    while True:
        if n & size:
            if done == 0:
                for i in range(count - size + 1):
                    chain[i] = power[i]
            else:
                for i in range(count - done - size + 1):
                    chain[i] = fold(chain[i] ^ C, power[i + done] ^ D)
            done += size
        if done == n:
            return total
        for i in range(count - 2 * size + 1):
            power[i] = fold(power[i] ^ C, power[i + size] ^ D)
        size *= 2


@leaf
def take(count: int, total: int, keep: int, s: Scratch, least: Array, factor: Array) -> None:
    """Lower the signature by s.chain[:total], and move the last ``keep`` tokens to the front."""
    chain = s.chain
    for i in range(total, (total + GRAMS - 1) & ~(GRAMS - 1)):
        chain[i] = chain[total - 1]
    for first in range(0, len(least), TILE):
        stop = min(first + TILE, len(least))
        for j in range(0, total, GRAMS):
            for k in range(first, stop, STEP):
                lower_minima(least, factor, k, chain, j)
    for i in range(keep):
        s.token[i] = s.token[count - keep + i]


@leaf
def set_units(unit: int, last: int, s: Scratch) -> None:
    """Change the marks of mask words 0..last so that cut_words cuts the wanted unit."""
    word, space = s.word, s.space
    if unit == WORD:
        for q in range(last + 1):
            space[q] = ~word[q]
    elif unit == BLANK:
        for q in range(last + 1):
            word[q] = ~space[q]


@leaf
def sketch_text(data: Bytes, start: int, end: int, tables: Tables, plan: Plan, s: Scratch, m: Memory) -> int:
    """The signature of one text, into m.least; returns the number of its n-grams, repeated ones counted."""
    least, factor, n = m.least, m.factor, int64(plan.n)
    for k in range(len(least)):
        least[k] = NONE
    length = lower_text(data, start, end, tables, s)
    last = length >> 6
    set_units(plan.unit, last, s)
    found, have = int64(0), int64(0)
    for q in range(0, last + 1, WINDOW):
        stop = min(q + WINDOW, last + 1)
        if plan.unit == CHARACTER:
            count = cut_characters(q, stop, have, length, s)
        else:
            count = cut_words(q, stop, have, False, s)
        total = run_hashes(count, n, s, m.power)
        have = min(count, n - 1)
        take(count, total, have, s, least, factor)
        found += total
    return found


@leaf
def sketch_folded(data: Bytes, start: int, end: int, tables: Tables, plan: Plan, m: Memory) -> int:
    """The same after folding."""
    size = normal(data, start, end, tables, plan.folds, m.s, m.folded, m.marks)
    return sketch_text(m.folded, int64(0), size, tables, plan, m.s, m)


@leaf
def band_keys(least: Array, plan: Plan, row: int, keys: Words) -> None:
    """keys[row, band]: a 64-bit hash of the band's minima, which are taken two at a time."""
    rows = int64(plan.rows)
    for band in range(plan.bands):
        key, at = uint64(rows), band * rows
        for k in range(at, at + rows - 1, 2):
            key = fold(key ^ C, (uint64(least[k]) | uint64(least[k + 1]) << U32) ^ D)
        if rows & 1:
            key = fold(key ^ C, uint64(least[at + rows - 1]) ^ D)
        keys[row, band] = key


@leaf
def low_bytes(least: Array, row: int, checks: Words) -> None:
    """checks[row, i]: the lowest bytes of minima 8 i .. 8 i + 7, for estimates of similarity."""
    for i in range(checks.shape[1]):
        packed = uint64(0)
        for k in range(8):
            packed |= (uint64(least[8 * i + k]) & uint64(255)) << uint64(8 * k)
        checks[row, i] = packed


@leaf
def sketch_all(
    data: Bytes, offsets: Ints, tables: Tables, plan: Plan, m: Memory, found: Array, keys: Words, checks: Words
) -> None:
    """Number of n-grams, band keys and low bytes of every text; an array without columns is left out."""
    for d in range(len(offsets) - 1):
        if plan.folds:
            found[d] = sketch_folded(data, offsets[d], offsets[d + 1], tables, plan, m)
        else:
            found[d] = sketch_text(data, offsets[d], offsets[d + 1], tables, plan, m.s, m)
        band_keys(m.least, plan, d, keys)
        low_bytes(m.least, d, checks)


@leaf
def signatures(data: Bytes, offsets: Ints, tables: Tables, plan: Plan, m: Memory, out: Array) -> None:
    """The whole signature of every text: uint32, (texts, permutations)."""
    for d in range(len(offsets) - 1):
        if plan.folds:
            sketch_folded(data, offsets[d], offsets[d + 1], tables, plan, m)
        else:
            sketch_text(data, offsets[d], offsets[d + 1], tables, plan, m.s, m)
        for k in range(out.shape[1]):
            out[d, k] = m.least[k]


@leaf
def grams_of(data: Bytes, offsets: Ints, tables: Tables, plan: Plan, m: Memory, out: Words, ends: Ints) -> None:
    """The hashes of every text's n-grams, one after the other; text d's end before out[ends[d]]."""
    at = int64(0)
    for d in range(len(offsets) - 1):
        start, end = offsets[d], offsets[d + 1]
        if plan.folds:
            end = normal(data, start, end, tables, plan.folds, m.s, m.folded, m.marks)
            start = int64(0)
            length = lower_text(m.folded, start, end, tables, m.s)
        else:
            length = lower_text(data, start, end, tables, m.s)
        last, have = length >> 6, int64(0)
        set_units(plan.unit, last, m.s)
        for q in range(0, last + 1, WINDOW):
            stop = min(q + WINDOW, last + 1)
            if plan.unit == CHARACTER:
                count = cut_characters(q, stop, have, length, m.s)
            else:
                count = cut_words(q, stop, have, False, m.s)
            total = run_hashes(count, int64(plan.n), m.s, m.power)
            for i in range(total):
                out[at + i] = m.s.chain[i]
            at += max(total, 0)
            have = min(count, int64(plan.n) - 1)
            for i in range(have):
                m.s.token[i] = m.s.token[count - have + i]
        ends[d] = at


@leaf
def fold_digits(text: Bytes, size: int, tables: Tables) -> int:
    """Every run of decimal digits of any script becomes one 0, in place; returns the new size."""
    block, record, flags = tables.block, tables.record, tables.flags
    i, o, inside = int64(0), int64(0), False
    while i < size:
        if i + 8 <= size:
            eight = load64(text, i)
            upper = (eight ^ THREES) & NIBBLES  # 0 in bytes 0x30..0x3f, among which are the digits
            if not ((upper - ONES) & ~upper | eight) & TOPS:
                store64(text, o, eight)
                i, o, inside = i + 8, o + 8, False
                continue
        byte, width = int64(text[i]), int64(1)
        digit = 48 <= byte <= 57
        if byte >= 0xC2:
            width = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            width = min(width, size - i)
            code = byte & (0x7F >> width) if width > 1 else int64(-1)
            for k in range(1, width):
                code = code << 6 | (int64(text[i + k]) & 0x3F)
            if 0 <= code < 0x110000:
                digit = (int64(flags[record_of(block, record, code)]) & CLASS_BITS) == DIGIT
        if not digit:
            for k in range(width):
                text[o + k] = text[i + k]
            o += width
        elif not inside:
            text[o] = 48
            o += 1
        inside = digit
        i += width
    return o


@leaf
def keep_marks(text: Bytes, length: int, word: Words, space: Words, marks: Words) -> None:
    """Count marks that follow a word character, or such a mark, as word characters."""
    before = uint64(0)
    for q in range((length >> 6) + 1):
        todo = ~(word[q] | space[q]) & (word[q] << ONE | before)
        while todo:
            i = (q << 6) + zeros(todo)
            todo &= todo - ONE
            while i < length and int64(text[i]) >= 0x80:
                code, size = decode(text, i, length)
                if code < 0 or not marks[code >> 6] >> uint64(code & 63) & ONE:
                    break
                for k in range(i, i + size):
                    word[k >> 6] |= ONE << uint64(k & 63)
                i += size
        before = word[q] >> U63


@leaf
def normal(data: Bytes, start: int, end: int, tables: Tables, folds: int, s: Scratch, out: Bytes, marks: Words) -> int:
    """The text lower-cased, without white space at its ends, runs of white space as one blank; returns its size.

    Signs count as white space with SIGNS, runs of digits become one 0 with DIGITS.
    """
    length = lower_text(data, start, end, tables, s)
    last = length >> 6
    text, word, space = s.text, s.word, s.space
    if folds & SIGNS:
        keep_marks(text, length, word, space, marks)
    begin, o, before = int64(0), int64(0), uint64(0)
    for q in range(last + 1):
        kept = word[q] if folds & SIGNS else ~space[q]
        shifted = kept << ONE | before
        starts, ends = kept & ~shifted, shifted & ~kept
        base = q << 6
        if not before:
            begin = base + zeros(starts)
            starts &= starts - ONE
        before = kept >> U63
        while ends:
            stop = base + zeros(ends)
            ends &= ends - ONE
            if o > 0:
                out[o] = 32
                o += 1
            for p in range(begin, stop, 8):
                store64(out, o + p - begin, load64(text, p))
            o += stop - begin
            begin = base + zeros(starts)
            starts &= starts - ONE
    return fold_digits(out, o, tables) if folds & DIGITS else o


@leaf
def normal_hashes(
    data: Bytes, offsets: Ints, tables: Tables, folds: int, s: Scratch, out: Bytes, marks: Words, hashes: Words
) -> None:
    """hashes[:, d]: wyhash by two seeds of a normalised text; one of which nothing is left is hashed with its signs, or
    else as it is."""
    for d in range(len(offsets) - 1):
        start, end = offsets[d], offsets[d + 1]
        size = normal(data, start, end, tables, folds, s, out, marks)
        if size == 0 and folds & SIGNS:
            size = normal(data, start, end, tables, 0, s, out, marks)
        if size > 0:
            hashes[0, d] = wyhash(out, int64(0), size, uint64(0))
            hashes[1, d] = wyhash(out, int64(0), size, SECOND)
        else:
            hashes[0, d] = wyhash(data, start, end, uint64(0))
            hashes[1, d] = wyhash(data, start, end, SECOND)


@leaf
def equal_bytes(left: Words, right: Words) -> int:
    """In how many of their bytes two rows of words agree."""
    count = int64(0)
    low = uint64(0x7F7F7F7F7F7F7F7F)
    for i in range(len(left)):
        x = left[i] ^ right[i]
        y = ~(((x & low) + low) | x | low)  # the top bit of every byte that is 0
        while y:
            y &= y - ONE
            count += 1
    return count
