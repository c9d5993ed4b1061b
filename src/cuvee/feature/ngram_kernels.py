"""From UTF-8 bytes to n-gram buckets without a Python object per word: the hot loops behind ``Ngrams``.

Three steps per document, each its own kernel:

1. ``lower_text`` writes the lower-cased text and one bit per byte for "word character" and "white space". Runs of ASCII
   go 64 bytes at a time through vector instructions; other code points are decoded and looked up, and those that
   lower-casing changes or that are beyond U+FFFF are written one by one.
2. ``cut_words`` walks over the bits (not the bytes), finds where runs of one class begin and end, and hashes every
   run, 16 bytes at a time. ``cut_characters`` does the same with one token per code point. Both work in windows of
   4,096 bytes, so that memory grows with the longest text only by its lower-cased copy.
3. ``fast_buckets`` combines the hashes of neighbouring tokens and maps them onto buckets; ``sha256_buckets`` hashes the
   joined bytes instead.

Fast hash (numbers modulo 2^64; fold(a, b) = upper XOR lower half of the 128-bit product a * b): a token of at most 16
bytes with little-endian halves x, y (zero padded) and length L has t = fold(fold(x ^ A, y ^ B ^ L * C) ^ D, A); longer
tokens first replace L * C by a chain over their leading 16-byte pieces; a character has L = y = 0. The n-gram
(t1, ..., tk) has g1 = t1 and gk = fold(g(k-1) ^ C, tk ^ D); its bucket is the upper half of gk * buckets. Tokens enter
as whole hashes, so ("a b", "c") and ("a", "b c") differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..core import Array
from ..engine.kernel import kernel, leaf
from .bits import fold, load32, load64, lower64, store64, zeros
from .sha256 import LANES, pad, powers_of, put_block, remainder, rounds
from .unicode import CASED, CLASS_BITS, IGNORABLE, NUMBER, SPACE, SPECIAL, Tables

Bytes: TypeAlias = Array  # uint8
Ints: TypeAlias = Array  # int64
Words: TypeAlias = Array  # uint64
Ids: TypeAlias = Array  # int32
Half: TypeAlias = Array  # uint32
int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them
uint32: Any = np.uint32
"""As an index: an unsigned one need not be asked whether it counts from the end."""
uint64: Any = np.uint64

A, B = uint64(0x2D358DCCAA6C78A5), uint64(0x8BB84B93962EACC9)
C, D = uint64(0x4B33A62ED433D4A3), uint64(0x4D5A2DA51DE1AA47)
ALL, ONE, LOWER = uint64(0xFFFFFFFFFFFFFFFF), uint64(1), uint64(0xFFFFFFFF)
U32, U63, UNCHANGED = uint64(32), uint64(63), uint64(4)
FIRST = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(17)], np.uint64)
SECOND = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(17)], np.uint64)
"""Which bits of a token's two halves hold its bytes, by its length."""
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
    state: Ints  # (4,): what cut_* carries from window to window; the length of text


class Hashing(NamedTuple):
    """Further working memory, for SHA-256 only."""

    message: Bytes  # the bytes of one n-gram
    lanes: Half  # (16, LANES): blocks waiting to be hashed together
    digest: Half  # (8, LANES)
    place: Ints  # (LANES,): for which n-gram each lane is hashed
    long_lanes: Half  # the same two for n-grams of several blocks
    long_digest: Half
    powers: Words  # (9,): see sha256.powers_of


class Spec(NamedTuple):
    """The n-grams wanted, as numbers."""

    n: int
    buckets: int
    characters: bool
    sha256: bool


def scratch(longest: int) -> Scratch:
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
        state=np.zeros(4, np.int64),
    )


def hashing(longest: int, spec: Spec) -> Hashing:
    """Working memory for the SHA-256 of n-grams: these are at most one text and n - 1 spaces long."""
    return Hashing(
        message=np.zeros(2 * longest + 2 * MAX_ORDER + 256, np.uint8),
        lanes=np.zeros((16, LANES), np.uint32),
        digest=np.zeros((8, LANES), np.uint32),
        place=np.zeros(LANES, np.int64),
        long_lanes=np.zeros((16, LANES), np.uint32),
        long_digest=np.zeros((8, LANES), np.uint32),
        powers=powers_of(spec.buckets),
    )


@leaf
def decode(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """The code point at i and its length; (-1, 1) where the bytes are no UTF-8. Never reads at or beyond end."""
    first = int64(data[i])
    if first < 0x80:
        return first, 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    if first < 0xC0 or first >= 0xF8 or i + size > end:
        return -1, 1
    code = first & (0x7F >> size)
    for k in range(1, size):
        code = code << 6 | (int64(data[i + k]) & 0x3F)
    if code >= 0x110000:
        return -1, 1
    return code, size


@leaf
def record_of(block: Bytes, record: Bytes, code: int) -> int:
    """The number of a code point's record in the Unicode tables; for -1 that of U+FFFF, which is nothing."""
    if code < 0:
        code = 0xFFFF
    return int64(record[int64(block[code >> 7]) << 7 | (code & 127)])


@leaf
def sigma_is_final(data: Bytes, start: int, i: int, end: int, block: Bytes, record: Bytes, flags: Bytes) -> bool:
    """Whether the capital sigma at i ends a word: a cased letter before it and none after, ignorable ones aside."""
    before, flag = i, IGNORABLE
    while flag & IGNORABLE:
        before -= 1
        while before > start and (data[before] & 0xC0) == 0x80:
            before -= 1
        if before < start:
            return False
        flag = int64(flags[record_of(block, record, decode(data, before, end)[0])])
    if not flag & CASED:
        return False
    after = i + 2
    while after < end:
        code, size = decode(data, after, end)
        flag = int64(flags[record_of(block, record, code)])
        if not flag & IGNORABLE:
            return not flag & CASED
        after += size
    return True


@leaf
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


@leaf
def append_bits(words: Words, o: int, bits: Any) -> None:
    """Add bits from position o on; everything from there on must have been untouched so far."""
    q, r = o >> 6, uint64(o & 63)
    words[q] |= bits << r
    words[q + 1] = (bits >> ONE) >> (U63 - r)


@leaf
def lower_text(data: Bytes, start: int, end: int, tables: Tables, s: Scratch) -> int:
    """Lower-case data[start:end] into s.text, mark word characters and white space; returns the new length."""
    block, record, flags, shifts, special, common = tables  # local names: reference counting stays out of the loops
    text, word_bits, space_bits, tail = s.text, s.word, s.space, s.tail
    i, o = start, int64(0)
    word_bits[0] = space_bits[0] = 0
    while i < end:
        room = min(int64(64), end - i)
        if i + 64 <= len(data):
            word, space, firsts = lower64(data, i, text, o)
        else:
            for k in range(room):
                tail[k] = data[i + k]
            word, space, firsts = lower64(tail, 0, text, o)
        mask = ALL >> uint64(64 - room)
        firsts &= mask
        rare = False
        while firsts:  # most letters beyond ASCII: nothing to change, only their class is to be looked up
            at = zeros(firsts)
            byte = int64(data[i + at])
            size = 2 if byte < 0xE0 else 3
            if at + size > room:
                room, rare = at, i + at + size > end
                break
            if size == 2:
                code = (byte & 0x1F) << 6 | int64(data[i + at + 1]) & 0x3F
            else:
                code = (byte & 0x0F) << 12 | (int64(data[i + at + 1]) & 0x3F) << 6 | int64(data[i + at + 2]) & 0x3F
            quick = uint64(common[code])
            if byte < 0xC2 or byte >= 0xF0 or not quick & UNCHANGED:
                room, rare = at, True
                break
            bits = (ONE << uint64(size)) - ONE << uint64(at)
            word |= bits * (quick & ONE)
            space |= bits * (quick >> ONE & ONE)
            firsts &= firsts - ONE
        if room > 0:
            mask = ALL >> uint64(64 - room)
            append_bits(word_bits, o, word & mask)
            append_bits(space_bits, o, space & mask)
            i += room
            o += room
        if not rare:
            continue
        word, space, first = uint64(0), uint64(0), o
        code, size = decode(data, i, end)
        number = record_of(block, record, code)
        flag, shift = int64(flags[number]), int64(shifts[number])
        if code < 0:
            text[o] = data[i]
            o += 1
        elif not flag & SPECIAL:
            if code == CAPITAL_SIGMA and sigma_is_final(data, start, i, end, block, record, flags):
                shift = int64(FINAL_SIGMA - CAPITAL_SIGMA)
            width = put(text, o, code + shift)
            bits = (ONE << uint64(width)) - ONE
            word |= bits * uint64((flag & CLASS_BITS) >= NUMBER)
            space |= bits * uint64((flag & CLASS_BITS) == SPACE)
            o += width
        else:
            for k in range(special.shape[1]):
                part = int64(special[shift, k])
                if part:
                    width = put(text, o, part)
                    bits = (ONE << uint64(width)) - ONE << uint64(o - first)
                    flag = int64(flags[record_of(block, record, part)])
                    word |= bits * uint64((flag & CLASS_BITS) >= NUMBER)
                    space |= bits * uint64((flag & CLASS_BITS) == SPACE)
                    o += width
        i += size
        append_bits(word_bits, first, word)
        append_bits(space_bits, first, space)
    append_bits(space_bits, o, ALL)  # beyond the end all is white space, so that the last token ends
    s.state[0] = s.state[1] = s.state[2] = 0
    return o


@leaf
def cut_words(q0: int, q1: int, have: int, spans: bool, s: Scratch) -> int:
    """Tokens (runs of word characters, runs of others) that end in mask words q0..q1-1, from place ``have`` on."""
    text, hashes = s.text, s.token
    start, was_word, was_token = s.state[0], uint64(s.state[1]), uint64(s.state[2])
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
            mix = uint64(size) * C
            at = start
            while size > 16:
                mix = fold(load64(text, at) ^ A, load64(text, at + 8) ^ B ^ mix)
                at += 16
                size -= 16
            x = load64(text, at) & FIRST[uint64(size)]
            y = load64(text, at + 8) & SECOND[uint64(size)]
            store64(hashes, count, fold(fold(x ^ A, y ^ B ^ mix) ^ D, A))
            if spans:
                s.begin[count], s.finish[count] = start, end
            count += 1
            start = base + zeros(starts)
            starts &= starts - ONE
    s.state[0], s.state[1], s.state[2] = start, int64(was_word), int64(was_token)
    return count


@leaf
def cut_characters(q0: int, q1: int, have: int, length: int, s: Scratch) -> int:
    """One token per code point of bytes q0 * 64 .. q1 * 64 - 1; a run of white space is one space."""
    count, was_space = have, s.state[1]
    for i in range(q0 << 6, min(q1 << 6, length)):
        byte = int64(s.text[i])
        if (byte & 0xC0) == 0x80 and i > 0 and s.text[i - 1] >= 0x80:
            continue
        is_space = int64(s.space[i >> 6] >> uint64(i & 63) & ONE)
        if is_space and was_space:
            continue
        was_space = is_space
        width = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
        value = load32(s.text, i) & (uint64(0xFFFFFFFF) >> uint64(32 - 8 * width))
        if is_space:
            s.text[i], value, width = 32, uint64(32), 1
        s.token[count] = fold(fold(value ^ A, B) ^ D, A)
        s.begin[count], s.finish[count] = i, i + width
        count += 1
    s.state[1] = was_space
    return count


@leaf
def carry(count: int, spec: Spec, s: Scratch) -> int:
    """Move the last n - 1 tokens to the front, for the n-grams that reach into the next window."""
    keep = min(count, spec.n - 1)
    for i in range(keep):
        s.token[i] = s.token[count - keep + i]
        s.begin[i], s.finish[i] = s.begin[count - keep + i], s.finish[count - keep + i]
    return keep


@leaf
def to_buckets(hashes: Words, buckets: Any, ids: Ids) -> None:
    """The upper half of hash * buckets, by halves of the hash so that it goes through vector instructions."""
    for i in range(len(hashes)):
        low = (hashes[i] & LOWER) * buckets >> U32
        ids[i] = (hashes[i] >> U32) * buckets + low >> U32  # no overflow: there are at most 2**28 buckets


@leaf
def prolong(hashes: Words, tokens: Words, out: Words) -> None:
    """Hashes of n-grams with one more token at their ends."""
    for i in range(len(out)):
        out[i] = fold(hashes[i] ^ C, tokens[i] ^ D)


@leaf
def fast_buckets(have: int, count: int, spec: Spec, s: Scratch, ids: Ids, at: int) -> int:
    """Buckets of the 1..n-grams that end in tokens have..count-1, order by order, from ids[at] on; returns the end."""
    hashes, buckets = s.token, uint64(spec.buckets)
    for ahead in range(min(spec.n, count)):
        first, last = max(0, have - ahead), count - ahead
        if ahead > 0:
            prolong(hashes[:last], s.token[ahead:count], s.chain[:last])
            hashes = s.chain
        to_buckets(hashes[first:last], buckets, ids[at : at + last - first])
        at += last - first
    return at


@kernel
def sha256_buckets(have: int, count: int, spec: Spec, s: Scratch, h: Hashing, ids: Ids, at: int) -> int:
    """The same with SHA-256 of the tokens joined by one space (characters: joined by nothing)."""
    waiting, zero = int64(0), int64(0)
    for ahead in range(spec.n):
        for i in range(max(0, have - ahead), count - ahead):
            size = zero
            for j in range(i, i + ahead + 1):
                if j > i and not spec.characters:
                    h.message[size] = 32
                    size += 1
                for p in range(s.begin[j], s.finish[j], 8):
                    store64(h.message, size + p - s.begin[j], load64(s.text, p))
                size += s.finish[j] - s.begin[j]
            full = pad(h.message, size)
            if full == 64:
                put_block(h.message, zero, h.lanes, waiting)
                h.place[waiting] = at
                waiting += 1
            else:
                for block in range(0, full, 64):
                    put_block(h.message, block, h.long_lanes, zero)
                    rounds(h.long_lanes, h.long_digest, block)
                ids[at] = remainder(h.long_digest, zero, h.powers)
            at += 1
            if waiting == LANES:
                rounds(h.lanes, h.digest, zero)
                for lane in range(waiting):
                    ids[h.place[lane]] = remainder(h.digest, lane, h.powers)
                waiting = zero
    if waiting:
        rounds(h.lanes, h.digest, zero)
        for lane in range(waiting):
            ids[h.place[lane]] = remainder(h.digest, lane, h.powers)
    return at


@leaf
def next_window(d: int, q: int, have: int, data: Bytes, offsets: Ints, tables: Tables, spec: Spec, s: Scratch) -> int:
    """Fill the token arrays with text d's tokens that end in mask words q .. q + WINDOW - 1; returns their number."""
    if q == 0:
        s.state[3] = lower_text(data, offsets[d], offsets[d + 1], tables, s)
    end = min(q + WINDOW, (s.state[3] >> 6) + 1)
    if spec.characters:
        return cut_characters(q, end, have, s.state[3], s)
    return cut_words(q, end, have, spec.sha256, s)


@leaf
def fill(
    cursor: Ints, data: Bytes, offsets: Ints, wanted: Ints, tables: Tables, spec: Spec, s: Scratch, ids: Ids, ends: Ints
) -> int:
    """Write buckets of n-grams to ``ids`` until it is full or the texts end; returns how many texts were touched.

    ``cursor`` holds (text, mask word, tokens carried) and is moved on. The j-th text touched, counted from the one that
    the cursor stood at, has its buckets before ``ids[ends[j]]``; the last one may go on in the next call. Texts with
    ``wanted == 0`` are passed over.
    """
    d, q, have = cursor[0], cursor[1], cursor[2]
    at, first = int64(0), d
    while d < len(offsets) - 1:
        if wanted[d] != 0:
            if at + WINDOW * 64 * spec.n > len(ids):
                break
            count = next_window(d, q, have, data, offsets, tables, spec, s)
            at = fast_buckets(have, count, spec, s, ids, at)
            q += WINDOW
            ends[d - first] = at
            if q <= s.state[3] >> 6:
                have = carry(count, spec, s)
                continue
        ends[d - first] = at
        d, q, have = d + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = d, q, have
    return d - first + (1 if q > 0 else 0)


@kernel
def fill_sha256(
    cursor: Ints,
    data: Bytes,
    offsets: Ints,
    wanted: Ints,
    tables: Tables,
    spec: Spec,
    s: Scratch,
    h: Hashing,
    ids: Ids,
    ends: Ints,
) -> int:
    """``fill`` with the other hash: a kernel of its own, so that its rounds are compiled only where they are used."""
    d, q, have = cursor[0], cursor[1], cursor[2]
    at, first = int64(0), d
    while d < len(offsets) - 1:
        if wanted[d] != 0:
            if at + WINDOW * 64 * spec.n > len(ids):
                break
            count = next_window(d, q, have, data, offsets, tables, spec, s)
            at = sha256_buckets(have, count, spec, s, h, ids, at)
            q += WINDOW
            ends[d - first] = at
            if q <= s.state[3] >> 6:
                have = carry(count, spec, s)
                continue
        ends[d - first] = at
        d, q, have = d + 1, 0, 0
    cursor[0], cursor[1], cursor[2] = d, q, have
    return d - first + (1 if q > 0 else 0)


@leaf
def tally(total: Ints, ids: Ids, ends: Ints, texts: int, first: int, weight: Ints) -> None:
    """Add every text's weight to the buckets of its n-grams."""
    at = 0
    for j in range(texts):
        w = weight[first + j]
        for one in ids[at : ends[j]]:
            total[uint32(one)] += w
        at = ends[j]


@leaf
def gather(out: Array, table: Array, ids: Ids, ends: Ints, texts: int, first: int) -> None:
    """Add the entries of table (columns, buckets) one by one, in the order of the n-grams, to out[text, column]."""
    for column in range(len(table)):
        at, row = int64(0), table[column]
        for j in range(texts):
            total = out[first + j, column]
            for one in ids[at : ends[j]]:
                total += row[uint32(one)]
            out[first + j, column] = total
            at = ends[j]
