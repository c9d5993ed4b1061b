"""The compiled loops of :mod:`cuvee.proof.overlap`: hashes of words, and runs of words that occur in a table.

Words are runs of word characters, lower-cased (the tables and loops of :mod:`cuvee.feature.ngram_kernels`); all else
separates. Chinese characters and kana are a word each, because these scripts put no space between words. The hash of L
words is a polynomial in their hashes modulo 2**64, so the next one follows from the last in three operations; it is
mixed with L before it is looked up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..core import Array
from ..engine.kernel import kernel, leaf
from ..feature.ngram_kernels import WINDOW, Scratch, cut_words, decode, lower_text, scratch
from ..feature.ngrams import readonly
from ..feature.unicode import Tables

BASE = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
EMPTY = np.uint64(0)
"""No gram has this hash (it would stand for 1)."""
CLOSED_UP = 0xE3
"""No character of the scripts below begins with a smaller byte."""


class Memory(NamedTuple):
    """Working memory for texts of at most so many bytes, reused for every text."""

    lowered: Scratch
    spaced: Array  # uint8: a copy of a text with more spaces
    copy: Array  # the same bytes, as kernels take a text
    words: Array  # uint64: the hashes of a text's words


def memory(longest: int) -> Memory:
    """For texts of at most ``longest`` bytes: spaces make a character of three bytes one of five, and a word has at
    least one byte and a gap before the next."""
    spaced = np.zeros(2 * longest + 8, np.uint8)
    return Memory(scratch(len(spaced)), spaced, readonly(spaced, np.uint8), np.empty(longest // 2 + 2, np.uint64))


@kernel
def finish(value: Any, length: int) -> Any:
    """The hash of so many words from their polynomial."""
    x = np.uint64(value) + np.uint64(length) * MIX_1
    x ^= x >> np.uint64(30)
    x *= MIX_1
    x ^= x >> np.uint64(27)
    x *= MIX_2
    x ^= x >> np.uint64(31)
    return np.uint64(1) if x == EMPTY else x


@kernel
def power_of(length: int) -> Any:
    """BASE to the power of ``length``: the weight of the word that leaves a run."""
    power = np.uint64(1)
    for _ in range(length):
        power *= BASE
    return power


@leaf
def stands_alone(code: int) -> bool:
    """Whether a character is of a script that puts no space between words: kana and Chinese characters."""
    return (
        0x3041 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF
    )


@leaf
def space_out(data: Array, begin: int, end: int, out: Array) -> int:
    """Copy a text to ``out`` with spaces around every character that is a word; returns the new length."""
    i, o = begin, 0
    while i < end:
        code, size = decode(data, i, end)
        alone = data[i] >= CLOSED_UP and stands_alone(code)
        if alone:
            out[o] = 32
            o += 1
        for k in range(size):
            out[o + k] = data[i + k]
        i += size
        o += size
        if alone:
            out[o] = 32
            o += 1
    return o


@kernel
def words_of(data: Array, begin: int, end: int, tables: Tables, m: Memory) -> int:
    """Write the hashes of a text's words to ``m.words``; returns their number."""
    highest, s = np.uint8(0), m.lowered
    for one in data[begin:end]:
        highest = max(highest, one)
    if highest >= CLOSED_UP:
        begin, end, data = 0, space_out(data, begin, end, m.spaced), m.copy
    length = lower_text(data, begin, end, tables, s)
    last = (length >> 6) + 1
    for q in range(last):
        s.space[q] = ~s.word[q]  # whatever is no word separates
    s.state[0], s.state[1], s.state[2] = 0, 0, 0
    at, q = 0, 0
    while q < last:
        stop = min(q + WINDOW, last)
        count = cut_words(q, stop, 0, False, s)
        m.words[at : at + count] = s.token[:count]
        at += count
        q = stop
    return at


@kernel
def grams_of(words: Array, count: int, length: int, out: Array) -> int:
    """Write the hashes of all runs of ``length`` words to ``out``; returns their number."""
    number = count - length + 1
    if number <= 0:
        return 0
    value, power = np.uint64(0), power_of(length)
    for i in range(count):
        value = value * BASE + words[i]
        if i >= length:
            value -= words[i - length] * power
        if i >= length - 1:
            out[i - length + 1] = finish(value, length)
    return number


@kernel
def fill_table(table: Array, place: Array, grams: Array) -> None:
    """Put distinct hashes into an open table of a power of two slots; ``place`` tells which of them stands there."""
    mask = np.uint64(len(table) - 1)
    for i in range(len(grams)):
        slot = grams[i] & mask
        while table[slot] != EMPTY:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = grams[i]
        place[slot] = i


@kernel
def search(
    data: Array,
    offsets: Array,
    tables: Tables,
    m: Memory,
    lengths: Array,
    table: Array,
    place: Array,
    indptr: Array,
    documents: Array,
    sizes: Array,
    seen: Array,
    count: Array,
    touched: Array,
    run: Array,
    share: Array,
    best: Array,
) -> None:
    """For every text: its longest run of words that occur in a row in the evaluation sets, the largest share of an
    evaluation document's distinct grams that it holds, and that document.

    ``lengths``: the numbers of words of the grams in the table. ``indptr``, ``documents``: which documents each gram is
    from. ``sizes``: grams of each document. ``seen``, of one entry a gram, and ``count`` and ``touched``, of one entry
    a document, are working memory; the first two are zero on entry.
    """
    words = m.words
    mask = np.uint64(len(table) - 1)
    for d in range(len(offsets) - 1):
        number = words_of(data, offsets[d], offsets[d + 1], tables, m)
        met = 0
        for length in lengths:
            streak, value, power = 0, np.uint64(0), power_of(length)
            for i in range(number):
                value = value * BASE + words[i]
                if i >= length:
                    value -= words[i - length] * power
                if i < length - 1:
                    continue
                gram = finish(value, length)
                slot = gram & mask
                while table[slot] != EMPTY and table[slot] != gram:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == EMPTY:
                    streak = 0
                    continue
                streak += 1
                run[d] = max(run[d], streak + length - 1)
                at = place[slot]
                if seen[at] == d + 1:
                    continue
                seen[at] = d + 1
                for j in range(indptr[at], indptr[at + 1]):
                    document = documents[j]
                    if count[document] == 0:
                        touched[met] = document
                        met += 1
                    count[document] += 1
        for j in range(met):
            document = touched[j]
            part = count[document] / sizes[document]
            if part > share[d]:
                share[d], best[d] = part, document
            count[document] = 0
