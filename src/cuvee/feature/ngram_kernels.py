"""From UTF-8 bytes to n-gram buckets without a Python object per word: the hot loops behind ``Ngrams``.

Three steps per document, each its own kernel:

1. ``lower_text`` writes the lower-cased text and one bit per byte for "word character" and "white space". Runs of ASCII
   go 64 bytes at a time through vector instructions; other code points are decoded and looked up.
2. ``cut_words`` walks over the bits (not the bytes), finds where runs of one class begin and end, and hashes every run, 16
   bytes at a time. ``cut_characters`` does the same with one token per code point. Both work in windows of 4,096 bytes, so
   that memory grows with the longest text only by its lower-cased copy.
3. ``buckets_of_order`` combines the hashes of k neighbouring tokens and maps them onto buckets; ``sha256`` mode hashes the
   joined bytes instead.

Fast hash (all numbers modulo 2^64, fold(a, b) = upper XOR lower half of the 128-bit product a * b): a token of at most 16
bytes with little-endian halves x, y (zero padded) and length L has t = fold(x ^ A, y ^ B ^ L * C); longer tokens first
replace L * C by a chain over their leading 16-byte pieces. The n-gram (t1, ..., tk) has g1 = t1, gk = fold(gk-1 ^ C, tk ^ D).
Its bucket is the upper half of g * buckets. Tokens enter as whole hashes, so ("a b", "c") and ("a", "b c") differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..engine.kernel import kernel
from .bits import fold, high, load32, load64, lower64, zeros
from .sha256 import LANES, bucket_lanes, long_bucket, put_message
from .unicode import CASED, CLASS_BITS, IGNORABLE, NUMBER, SPACE, SPECIAL, Tables

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

A, B = np.uint64(0x2D358DCCAA6C78A5), np.uint64(0x8BB84B93962EACC9)
C, D = np.uint64(0x4B33A62ED433D4A3), np.uint64(0x4D5A2DA51DE1AA47)
ALL, ONE = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(1)
U3, U4, U32, U63, U64 = np.uint64(3), np.uint64(4), np.uint64(32), np.uint64(63), np.uint64(64)
WINDOW = 64
"""Mask words per window: 4,096 bytes, hence at most 4,096 tokens."""
MAX_ORDER = 64
"""Longest n-gram: that many tokens are carried from window to window."""
CAPITAL_SIGMA, FINAL_SIGMA = 0x3A3, 0x3C2


class Scratch(NamedTuple):
    """Working memory of one call, reused for every document."""

    text: Bytes  # lower-cased UTF-8, with room to read and write 64 bytes beyond the end
    word: Words  # one bit per byte of text
    space: Words
    tail: Bytes  # 64: the last bytes of data, where a full vector may not be read
    token: Words  # (window + MAX_ORDER,): hashes of the tokens of the window
    chain: Words  # the same size: hashes of the n-grams that begin at each token
    begin: Ints  # the same size: where in text each token begins and ends (sha256 only)
    finish: Ints
    ids: Ints  # the same size: buckets
    state: Ints  # what cut_* carries from window to window
    lanes: npt.NDArray[np.uint32]  # (16, LANES): message blocks of sha256
    digest: npt.NDArray[np.uint32]  # (8, LANES)
    message: Bytes  # bytes of one n-gram


class Spec(NamedTuple):
    """The n-grams wanted, as numbers."""

    n: int
    buckets: int
    characters: bool
    sha256: bool


def scratch(longest: int, spec: Spec) -> Scratch:
    """Working memory for texts of at most ``longest`` bytes. Lower-casing grows UTF-8 by at most half."""
    size = longest + longest // 2 + 256
    tokens = WINDOW * 64 + MAX_ORDER
    return Scratch(
        text=np.zeros(size, np.uint8),
        word=np.empty(size // 64 + 2, np.uint64),
        space=np.empty(size // 64 + 2, np.uint64),
        tail=np.zeros(64, np.uint8),
        token=np.empty(tokens, np.uint64),
        chain=np.empty(tokens, np.uint64),
        begin=np.empty(tokens, np.int64),
        finish=np.empty(tokens, np.int64),
        ids=np.empty(tokens, np.int64),
        state=np.zeros(3, np.int64),
        lanes=np.zeros((16, LANES), np.uint32),
        digest=np.zeros((8, LANES), np.uint32),
        message=np.zeros((size + MAX_ORDER) * (spec.n if spec.sha256 else 0) + 256, np.uint8),
    )


@kernel
def decode(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """The code point at i and its length in bytes; (-1, 1) where the bytes are no UTF-8. Never reads at or beyond end."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if first < 0xC0 or first >= 0xF8 or i + size > end:
        return -1, 1
    code = first & (0x7F >> size)
    for k in range(1, size):
        code = code << 6 | (np.int64(data[i + k]) & 0x3F)
    if code >= 0x110000:
        return -1, 1
    return code, size


@kernel
def flags_of(tables: Tables, code: int) -> int:
    """The flags of a code point; 0 for -1."""
    if code < 0:
        return 0
    return np.int64(tables.flags[tables.record[np.int64(tables.block[code >> 7]) << 7 | (code & 127)]])


@kernel
def sigma_is_final(data: Bytes, start: int, i: int, end: int, tables: Tables) -> bool:
    """Whether the capital sigma at i ends a word: a cased letter before it and none after, ignorable ones aside."""
    before = i
    flags = IGNORABLE
    while flags & IGNORABLE:
        before -= 1
        while before > start and (data[before] & 0xC0) == 0x80:
            before -= 1
        if before < start:
            return False
        flags = flags_of(tables, decode(data, before, end)[0])
    if not flags & CASED:
        return False
    after = i + 2
    while after < end:
        code, size = decode(data, after, end)
        flags = flags_of(tables, code)
        if not flags & IGNORABLE:
            return not flags & CASED
        after += size
    return True


@kernel
def put(text: Bytes, o: int, code: int) -> int:
    """Write one code point as UTF-8 at o; returns its length."""
    if code < 0x80:
        text[o] = code
        return 1
    if code < 0x800:
        text[o] = 0xC0 | code >> 6
        text[o + 1] = 0x80 | code & 0x3F
        return 2
    if code < 0x10000:
        text[o] = 0xE0 | code >> 12
        text[o + 1] = 0x80 | (code >> 6) & 0x3F
        text[o + 2] = 0x80 | code & 0x3F
        return 3
    text[o] = 0xF0 | code >> 18
    text[o + 1] = 0x80 | (code >> 12) & 0x3F
    text[o + 2] = 0x80 | (code >> 6) & 0x3F
    text[o + 3] = 0x80 | code & 0x3F
    return 4


@kernel
def append_bits(words: Words, o: int, bits: np.uint64) -> None:
    """Add bits from position o on; everything from there on must have been untouched so far."""
    q, r = o >> 6, np.uint64(o & 63)
    words[q] |= bits << r
    words[q + 1] = (bits >> ONE) >> (U63 - r)


@kernel
def lower_text(data: Bytes, start: int, end: int, tables: Tables, s: Scratch) -> int:
    """Lower-case data[start:end] into s.text, mark word characters and white space; returns the new length."""
    i, o = start, 0
    s.word[0] = s.space[0] = 0
    while i < end:
        if i + 64 <= len(data):
            word, space, odd = lower64(data, i, s.text, o)
        else:
            for k in range(end - i):
                s.tail[k] = data[i + k]
            word, space, odd = lower64(s.tail, 0, s.text, o)
        if end - i < 64:
            odd |= ALL << np.uint64(end - i)
        plain = zeros(odd)
        mask = ~((ALL << ONE) << np.uint64(plain - 1)) if plain > 0 else np.uint64(0)
        append_bits(s.word, o, word & mask)
        append_bits(s.space, o, space & mask)
        i += plain
        o += plain
        ascii_run = 0
        if plain == 64 or i >= end:
            continue
        word, space = np.uint64(0), np.uint64(0)
        first = o
        while i < end and ascii_run < 4:  # code point by code point until ASCII is back
            code, size = decode(data, i, end)
            ascii_run = ascii_run + 1 if size == 1 else 0
            flags, shift = 0, 0
            if code >= 0:
                number = tables.record[np.int64(tables.block[code >> 7]) << 7 | (code & 127)]
                flags, shift = np.int64(tables.flags[number]), np.int64(tables.shift[number])
            if o - first > 48:
                append_bits(s.word, first, word)
                append_bits(s.space, first, space)
                word, space = np.uint64(0), np.uint64(0)
                first = o
            if code < 0:
                s.text[o] = data[i]
                o += 1
            elif not flags & SPECIAL:
                if code == CAPITAL_SIGMA and sigma_is_final(data, start, i, end, tables):
                    shift = FINAL_SIGMA - CAPITAL_SIGMA
                width = put(s.text, o, code + shift)
                bits = (ONE << np.uint64(width)) - ONE << np.uint64(o - first)
                kind = flags & CLASS_BITS
                if kind >= NUMBER:
                    word |= bits
                if kind == SPACE:
                    space |= bits
                o += width
            else:
                for k in range(3):
                    part = np.int64(tables.special[shift, k])
                    if part:
                        width = put(s.text, o, part)
                        bits = (ONE << np.uint64(width)) - ONE << np.uint64(o - first)
                        kind = flags_of(tables, part) & CLASS_BITS
                        if kind >= NUMBER:
                            word |= bits
                        if kind == SPACE:
                            space |= bits
                        o += width
            i += size
        append_bits(s.word, first, word)
        append_bits(s.space, first, space)
    append_bits(s.space, o, ALL)  # beyond the end all is white space, so that the last token ends
    s.state[:] = 0
    return o


@kernel
def cut_words(q0: int, q1: int, have: int, spans: bool, s: Scratch) -> int:
    """Tokens (runs of word characters, runs of others) that end in mask words q0..q1-1, from place ``have`` on."""
    start, was_word, was_token = s.state[0], np.uint64(s.state[1]), np.uint64(s.state[2])
    count = have
    for q in range(q0, q1):
        word, token = s.word[q], ~s.space[q]
        before_word, before_token = word << ONE | was_word, token << ONE | was_token
        change = word ^ before_word
        starts = token & (~before_token | change)
        ends = before_token & (~token | change)
        base = q << 6
        if not was_token:
            start = base + zeros(starts)
            starts &= starts - ONE
        was_word, was_token = word >> U63, token >> U63
        while ends:
            end = base + zeros(ends)
            ends &= ends - ONE
            size = end - start
            mix = np.uint64(size) * C
            at = start
            while size > 16:
                mix = fold(load64(s.text, at) ^ A, load64(s.text, at + 8) ^ B ^ mix)
                at += 16
                size -= 16
            first = np.uint64(32 - 4 * min(size, 8))
            second = np.uint64(64 - 4 * max(size, 8))
            x = load64(s.text, at) & ((ALL >> first) >> first)
            y = load64(s.text, at + 8) & ((ALL >> second) >> second)
            s.token[count] = fold(x ^ A, y ^ B ^ mix)
            if spans:
                s.begin[count], s.finish[count] = start, end
            count += 1
            start = base + zeros(starts)
            starts &= starts - ONE
    s.state[0], s.state[1], s.state[2] = start, np.int64(was_word), np.int64(was_token)
    return count


@kernel
def cut_characters(q0: int, q1: int, have: int, length: int, s: Scratch) -> int:
    """One token per code point of bytes q0 * 64 .. q1 * 64 - 1; a run of white space is one space."""
    count, was_space = have, s.state[1]
    for i in range(q0 << 6, min(q1 << 6, length)):
        byte = np.int64(s.text[i])
        if (byte & 0xC0) == 0x80 and i > 0 and s.text[i - 1] >= 0x80:
            continue
        is_space = np.int64(s.space[i >> 6] >> np.uint64(i & 63) & ONE)
        if is_space and was_space:
            continue
        was_space = is_space
        width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        value = load32(s.text, i) & (np.uint64(0xFFFFFFFF) >> np.uint64(32 - 8 * width))
        if is_space:
            s.text[i], value, width = 32, np.uint64(32), 1
        s.token[count] = fold(value ^ A, B)
        s.begin[count], s.finish[count] = i, i + width
        count += 1
    s.state[1] = was_space
    return count


@kernel
def buckets_of_order(k: int, have: int, count: int, spec: Spec, s: Scratch) -> int:
    """Buckets of the k-grams that end in tokens have..count-1, into s.ids; call for k = 1, 2, ... in turn."""
    ahead = k - 1
    if spec.sha256:
        return sha256_of_order(k, have, count, spec, s)
    if k == 1:
        for i in range(count):
            s.chain[i] = s.token[i]
    else:
        for i in range(count - ahead):
            s.chain[i] = fold(s.chain[i] ^ C, s.token[i + ahead] ^ D)
    first = max(0, have - ahead)
    total = max(0, count - ahead - first)
    buckets = np.uint64(spec.buckets)
    for i in range(total):
        s.ids[i] = np.int64(high(s.chain[first + i], buckets))
    return total


@kernel
def sha256_of_order(k: int, have: int, count: int, spec: Spec, s: Scratch) -> int:
    """The same with SHA-256 of the tokens joined by one space (characters: joined by nothing)."""
    first = max(0, have - k + 1)
    total = max(0, count - k + 1 - first)
    filled, done = 0, 0
    gap = 0 if spec.characters else 1
    for i in range(first, first + total):
        size = 0
        for j in range(i, i + k):
            if j > i and gap:
                s.message[size] = 32
                size += 1
            for p in range(s.begin[j], s.finish[j]):
                s.message[size] = s.text[p]
                size += 1
        if size > 55:
            s.ids[i - first] = long_bucket(s.message, size, spec.buckets, s.lanes, s.digest)
            continue
        put_message(s.message, size, s.lanes, filled)
        s.ids[i - first] = -1 - filled
        filled += 1
        if filled == LANES:
            done = settle(done, i - first + 1, spec.buckets, s)
            filled = 0
    settle(done, total, spec.buckets, s)
    return total
