"""The hash that gives rows and texts their identity, and the shape of texts (characters, words, lines) in one pass.

The hash is wyhash, final version 4 (Wang Yi, public domain, https://github.com/wangyi-fudan/wyhash) with its default
secret and seed 0: 64 bits, no cryptographic strength. Whoever can choose texts freely can make two collide; among n
honest texts the expected number of collisions is n^2 / 2^65 (0.03 for a billion).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Batch, Block
from ..engine.kernel import leaf
from .bits import fold, high, load32, load64, ones, shape64, zeros
from .ngram_kernels import decode, int64, record_of, uint64
from .ngrams import readonly
from .unicode import CLASS_BITS, DIGIT, LETTER, NUMBER, SPACE, Tables, tables

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

S0, S1 = uint64(0x2D358DCCAA6C78A5), uint64(0x8BB84B93962EACC9)
S2, S3 = uint64(0x4B33A62ED433D4A3), uint64(0x4D5A2DA51DE1AA47)
FIRST = uint64(0)
SECOND = uint64(0x9E3779B97F4A7C15)
"""The seed of a second hash, for what 64 bits are too few for."""
ALL, ONE, U32, U63 = uint64(0xFFFFFFFFFFFFFFFF), uint64(1), uint64(32), uint64(63)
COLUMNS = ("characters", "words", "lines", "non_ascii_letters", "digits", "spaces")


@leaf
def wyhash(data: Bytes, start: int, end: int, seed: np.uint64) -> np.uint64:
    """wyhash final 4 of data[start:end]; reads nothing outside."""
    size = end - start
    seed ^= fold(seed ^ S0, S1)
    a, b = uint64(0), uint64(0)
    if size <= 16:
        if size >= 4:
            middle = (size >> 3) << 2
            a = load32(data, start) << U32 | load32(data, start + middle)
            b = load32(data, end - 4) << U32 | load32(data, end - 4 - middle)
        elif size > 0:
            first, second, last = data[start], data[start + (size >> 1)], data[end - 1]
            a = uint64(first) << uint64(16) | uint64(second) << uint64(8) | uint64(last)
    else:
        at = start
        if size >= 48:
            one, two = seed, seed
            while at + 48 <= end:
                seed = fold(load64(data, at) ^ S1, load64(data, at + 8) ^ seed)
                one = fold(load64(data, at + 16) ^ S2, load64(data, at + 24) ^ one)
                two = fold(load64(data, at + 32) ^ S3, load64(data, at + 40) ^ two)
                at += 48
            seed ^= one ^ two
        while at + 16 < end:
            seed = fold(load64(data, at) ^ S1, load64(data, at + 8) ^ seed)
            at += 16
        a, b = load64(data, end - 16), load64(data, end - 8)
    a, b = a ^ S1, b ^ seed
    return fold(a * b ^ S0 ^ uint64(size), high(a, b) ^ S1)


@leaf
def hash_all(data: Bytes, offsets: Ints, seed: np.uint64, out: Hashes) -> None:
    """One hash per text."""
    for i in range(len(out)):
        out[i] = wyhash(data, offsets[i], offsets[i + 1], uint64(seed))


def content_hash(data: Bytes, offsets: Ints, seed: np.uint64 = FIRST) -> Hashes:
    """The hash of every text's bytes: uint64, (n,). Text i is ``data[offsets[i]:offsets[i + 1]]``."""
    out = np.empty(max(0, len(offsets) - 1), np.uint64)
    hash_all(readonly(data, np.uint8), readonly(offsets, np.int64), seed, out)
    return out


def string_hash(values: Any) -> Hashes:
    """The same hash of every string of a pyarrow string or large_string array (or chunked array); null hashes as ""."""
    import pyarrow as pa

    if isinstance(values, pa.ChunkedArray):
        parts = [string_hash(chunk) for chunk in values.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        values = values.cast(pa.large_string())
    if values.null_count:
        values = values.fill_null("")
    _, offsets, data = values.buffers()
    if len(values) == 0 or offsets is None:
        return np.full(len(values), content_hash(np.empty(0, np.uint8), np.zeros(2, np.int64))[0])
    width = np.int64 if pa.types.is_large_string(values.type) else np.int32
    bounds = np.frombuffer(offsets, width)[values.offset : values.offset + len(values) + 1]
    return content_hash(np.frombuffer(data or b"", np.uint8), bounds.astype(np.int64))


@leaf
def shape_all(data: Bytes, offsets: Ints, tables: Tables, tail: Bytes, out: Ints) -> None:
    """Count per text, in the order of COLUMNS. ASCII goes 64 bytes at a time, the rest code point by code point."""
    block, record, flags = tables.block, tables.record, tables.flags
    for d in range(len(offsets) - 1):
        i, end = offsets[d], offsets[d + 1]
        characters = words = lines = letters = digits = spaces = int64(0)
        if end > i and data[end - 1] != 10:
            lines += 1
        was_word = uint64(0)
        while i < end:
            if i + 64 <= len(data):
                word, digit, space, feed, odd = shape64(data, i)
            else:
                for k in range(end - i):
                    tail[k] = data[i + k]
                word, digit, space, feed, odd = shape64(tail, 0)
            if end - i < 64:
                odd |= ALL << uint64(end - i)
            plain = zeros(odd)
            if plain > 0:
                mask = ~((ALL << ONE) << uint64(plain - 1))
                word &= mask
                characters += plain
                words += ones(word & ~(word << ONE | was_word))
                digits += ones(digit & mask)
                spaces += ones(space & mask)
                lines += ones(feed & mask)
                was_word = word >> uint64(plain - 1) & ONE
                i += plain
            while i < end and data[i] >= 0x80:
                code, size = decode(data, i, end)
                kind = int64(flags[record_of(block, record, code)]) & CLASS_BITS
                is_word = uint64(kind >= NUMBER)
                characters += 1
                words += int64(is_word & ~was_word)
                was_word = is_word
                letters += kind == LETTER
                digits += kind == DIGIT
                spaces += kind == SPACE
                i += size
        out[d, 0], out[d, 1], out[d, 2] = characters, words, lines
        out[d, 3], out[d, 4], out[d, 5] = letters, digits, spaces


def text_shape(batch: Batch) -> Block:
    """The shape of every text, from one pass over its bytes.

    ``characters`` (code points), ``words`` (runs of word characters) and ``lines`` (line feeds, plus one where the last
    line has none) are int64; ``non_ascii_letters``, ``digits`` and ``spaces`` are float64 shares of the characters, 0
    for an empty text.
    """
    out = np.zeros((len(batch), len(COLUMNS)), np.int64)
    shape_all(readonly(batch.data, np.uint8), readonly(batch.offsets, np.int64), tables(), np.zeros(64, np.uint8), out)
    counts = {name: np.ascontiguousarray(out[:, k]) for k, name in enumerate(COLUMNS)}
    number = np.maximum(counts["characters"], 1)
    return {name: column if k < 3 else column / number for k, (name, column) in enumerate(counts.items())}
