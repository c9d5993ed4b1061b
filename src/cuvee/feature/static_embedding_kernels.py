"""From UTF-8 bytes to WordPiece tokens and their mean vector, without a Python object per word or text.

Two steps per text, both in one kernel so that no token list is ever stored:

1. Every code point is looked up in a two-stage table (``value[block[c >> 7] << 7 | c & 127]``), which says whether it
   is dropped, ends a word, stands alone, or is a letter, and what it becomes (lower case, accents stripped).
2. A finished word goes through a trie over bytes, longest match first: WordPiece (Schuster and Nakajima, "Japanese and
   Korean Voice Search", ICASSP 2012). The trie's edges are one open-addressing table; the roots of word beginnings (0)
   and of continuations (1) differ. A word with a part that no token matches, or of more than 100 code points, is left
   out as a whole.

Sums run over blocks of 256 tokens in float32 and over blocks in float64, in the order of the text.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ..core import Array
from ..engine.kernel import kernel, leaf
from .bits import high
from .ngram_kernels import decode, put

Bytes: TypeAlias = Array  # uint8
Ints: TypeAlias = Array  # int64
int64: Any = np.int64  # casts that fix a kernel's types; mypy need not follow them
uint64: Any = np.uint64
float32: Any = np.float32

DROP, SPACE, ALONE, PLAIN, SEVERAL = range(5)
"""What becomes of a code point; ``SEVERAL`` points to a row of ``several``."""
LONGEST_WORD = 100
BLOCK = 256
SPARE = 2 * LONGEST_WORD + 16
"""Room for the tokens of the words that a block of 256 tokens ends in."""
MIX = uint64(0x9E3779B97F4A7C15)
LOW = uint64(0xFFFFFFFF)
U8, U32 = uint64(8), uint64(32)


class Letters(NamedTuple):
    """What becomes of code points: see the module's text."""

    block: Array  # int16 (8704,)
    value: Array  # int32 (blocks * 128,): kind << 24 | code point (0: the same) or row of several
    several: Array  # int32 (rows, width), padded with 0


class Trie(NamedTuple):
    """Edges (node << 8 | byte) + 1 -> child as upper and lower half of uint64; the token that ends at each node."""

    edge: Array  # uint64 (a power of two,), 0 where empty
    token: Array  # int32 (nodes,), -1 where no token ends


@leaf
def slot_of(edge: Array, key: Any) -> int:
    """Where an edge is, or the empty slot where it would be."""
    mask = len(edge) - 1
    at = int64(high(key * MIX, uint64(len(edge))))
    while edge[at] != 0 and edge[at] >> U32 != key:
        at = (at + 1) & mask
    return at


@kernel
def build_trie(names: Bytes, ends: Ints, edge: Array, token: Array) -> int:
    """Enter token i, ``names[ends[i - 1]:ends[i]]``, below root 1 without its "##", else below 0; returns the nodes."""
    nodes = int64(2)
    token[:] = -1
    start = int64(0)
    for i in range(len(ends)):
        end, node, p = ends[i], int64(0), start
        if end - start > 2 and names[p] == 35 and names[p + 1] == 35:
            node, p = int64(1), p + 2
        for q in range(p, end):
            key = uint64(node << 8 | int64(names[q])) + uint64(1)
            at = slot_of(edge, key)
            if edge[at] == 0:
                edge[at] = key << U32 | uint64(nodes)
                nodes += 1
            node = int64(edge[at] & LOW)
        if end > p:
            token[node] = i
        start = end
    return nodes


@leaf
def match_word(word: Bytes, size: int, trie: Trie, ids: Array, count: int) -> int:
    """Write the word's tokens from ids[count] on; returns the new count, the old one if a part has no token."""
    edge, tokens = trie
    p, node, first = int64(0), int64(0), count
    while p < size:
        best, best_end, q = int64(-1), p, p
        while q < size:
            at = slot_of(edge, uint64(node << 8 | int64(word[q])) + uint64(1))
            if edge[at] == 0:
                break
            node = int64(edge[at] & LOW)
            q += 1
            if tokens[node] >= 0:
                best, best_end = int64(tokens[node]), q
        if best < 0:
            return first
        ids[count] = best
        count += 1
        p, node = best_end, int64(1)
    return count


@leaf
def add_rows(ids: Array, count: int, rows: Array, scale: Array, part: Array, total: Array) -> None:
    """Add the vectors of ids[:count] to ``total``, float64; ``part`` is float32 working memory."""
    part[:] = 0
    for i in range(count):
        s, row = scale[ids[i]], rows[ids[i]]
        for j in range(len(part)):
            part[j] += s * float32(row[j])
    for j in range(len(part)):
        total[j] += part[j]


@leaf
def next_tokens(
    data: Bytes, state: Ints, end: int, letters: Letters, trie: Trie, word: Bytes, ids: Array, room: int
) -> int:
    """Tokens of whole words from data[state[0]] on until there are ``room`` or the text ends; moves state on.

    There may be two words' tokens more than ``room``.
    """
    block, value, several = letters
    i, count = state[0], int64(0)
    size = characters = int64(0)
    while i < end and (count < room or size > 0):
        step, code = int64(1), int64(data[i])
        if code >= 0x80:
            code, step = decode(data, i, end)
        i += step
        if code < 0:
            continue
        entry = int64(value[int64(block[code >> 7]) << 7 | (code & 127)])
        parts = int64(1)
        if entry >> 24 == SEVERAL:
            parts = int64(several.shape[1])
        for k in range(parts):
            one = entry
            if parts > 1:
                one = int64(several[entry & 0xFFFFFF, k])
                if one == 0:
                    break
            kind, letter = one >> 24, one & 0xFFFFFF
            if letter == 0:
                letter = code
            if kind == PLAIN:
                if characters < LONGEST_WORD:
                    size += put(word, size, letter)
                characters += 1
            elif kind != DROP:
                if size > 0 and characters <= LONGEST_WORD:
                    count = match_word(word, size, trie, ids, count)
                size = characters = int64(0)
                if kind == ALONE:
                    count = match_word(word, put(word, int64(0), letter), trie, ids, count)
    if i >= end and size > 0 and characters <= LONGEST_WORD:
        count = match_word(word, size, trie, ids, count)
    state[0] = i
    return count


@kernel
def token_ids(data: Bytes, offsets: Ints, letters: Letters, trie: Trie, ids: Array, count: Ints) -> int:
    """All tokens of all texts one after the other; ``ids`` has room for two a byte and ``SPARE`` more."""
    word, state = np.zeros(4 * LONGEST_WORD + 8, np.uint8), np.zeros(1, np.int64)
    total = int64(0)
    for d in range(len(offsets) - 1):
        state[0], count[d] = offsets[d], 0
        while state[0] < offsets[d + 1]:
            found = next_tokens(data, state, offsets[d + 1], letters, trie, word, ids[total:], int64(BLOCK))
            count[d] += found
            total += found
    return total


@kernel
def mean_vectors(
    data: Bytes,
    offsets: Ints,
    letters: Letters,
    trie: Trie,
    rows: Array,
    scale: Array,
    most: int,
    total: Array,
    count: Ints,
) -> None:
    """Sums of the vectors of each text's first ``most`` tokens, float64 (texts, d), and how many these are."""
    word, state = np.zeros(4 * LONGEST_WORD + 8, np.uint8), np.zeros(1, np.int64)
    ids, part = np.zeros(BLOCK + SPARE, np.int32), np.zeros(rows.shape[1], np.float32)
    for d in range(len(offsets) - 1):
        state[0] = offsets[d]
        while state[0] < offsets[d + 1] and count[d] < most:
            room = min(int64(BLOCK), most - count[d])
            found = next_tokens(data, state, offsets[d + 1], letters, trie, word, ids, room)
            found = min(found, most - count[d])
            add_rows(ids, found, rows, scale, part, total[d])
            count[d] += found
