"""The compiled loops of :mod:`cuvee.fold.ngram_lm`: count and score n-grams of hashed tokens.

Layout of one set of tables (S = 2**bits slots, order n):

    nodes    uint32, (max(n - 1, 1), S + 1, 2): for every n-gram of k + 1 < n tokens its count and, beside it in the
             same cache line, 32 bits that tell which tokens followed it; row 0 holds the unigrams and, in slot S, the
             begin of line as a context
    leaves   uint32, (S,) (one slot that stays unused for n = 1): counts of the n-grams of n tokens

An n-gram of fewer than n tokens is a context as often as it was counted, because every token but the end of line is
followed by something; so one slot serves for both. Counters stop at 2**32 - 1 (:mod:`cuvee.fold.ngram_lm` refuses
them), which keeps addition associative.

The 32 bits are four bytes that tokens reach with probabilities 7/8, 7/64, 7/512 and 1/512. They merge by OR. An unset
bit proves that a token never followed; their number estimates how many did (see ``follower_table``).
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core import Array
from ..engine.kernel import kernel
from ..feature.ngram_kernels import WINDOW, Scratch, cut_words, lower_text
from ..feature.unicode import Tables

# fmt: off
MAX = np.uint32(0xFFFFFFFF)
END = np.uint64(0x243F6A8885A308D3)
"""The hash of the end of a line."""
BEGIN = np.uint64(0x13198A2E03707344)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
RUN = 4096
"""Tokens that are hashed before they are counted."""


@kernel
def mix(context: Any, token: Any) -> Any:
    """The hash of a context followed by a token."""
    x = (np.uint64(context) * GOLDEN) ^ np.uint64(token)
    x ^= x >> np.uint64(30)
    x *= MIX_1
    x ^= x >> np.uint64(27)
    return np.uint64(x * MIX_2)


@kernel
def follower_bit(token: Any) -> Any:
    """The one bit, of 32, by which a token is remembered among the followers of a context."""
    x = np.uint64(token) * MIX_2
    level = (x >> np.uint64(55)) & np.uint64(511)
    bit = (x >> np.uint64(52)) & np.uint64(7)
    if level < np.uint64(64):
        bit += np.uint64(8) if level >= np.uint64(8) else np.uint64(16) if level >= np.uint64(1) else np.uint64(24)
    return np.uint32(np.uint64(1) << bit)


@kernel
def follower_index(mask: int) -> Any:
    """Numbers of set bits in the four bytes, read as digits of a number to the base 9."""
    x = np.uint32(mask)
    x = x - ((x >> np.uint32(1)) & np.uint32(0x55555555))
    x = (x & np.uint32(0x33333333)) + ((x >> np.uint32(2)) & np.uint32(0x33333333))
    x = (x + (x >> np.uint32(4))) & np.uint32(0x0F0F0F0F)
    low = np.int64(x & np.uint32(255)) + 9 * np.int64((x >> np.uint32(8)) & np.uint32(255))
    return low + 81 * np.int64((x >> np.uint32(16)) & np.uint32(255)) + 729 * np.int64(x >> np.uint32(24))


@kernel
def increase(nodes: Array, level: int, slot: Any) -> None:
    """Count one more, up to the counter's end."""
    if nodes[level, slot, 0] != MAX:
        nodes[level, slot, 0] += np.uint32(1)


@cache
def follower_table() -> npt.NDArray[np.float64]:
    """Estimated number of distinct followers for every ``follower_index``: linear counting (Whang, Vander-Zanden and
    Taylor 1990) over bits of unequal rates q, that is, the root t of

        sum over set bits of q / (exp(t q) - 1) = sum over unset bits of q.

    It lies within a few percent up to 8 followers and within about 40 % (one standard deviation) up to 10,000, where
    it stops growing. Rounded to three digits, so that a library's last bit cannot matter.
    """
    rate = np.array([7 / 64, 7 / 512, 7 / 4096, 1 / 4096])
    set_bits = np.stack(np.unravel_index(np.arange(9**4), (9,) * 4), axis=1)[:, ::-1].astype(np.float64)
    unset = (8 - set_bits) @ rate
    low, high = np.full(9**4, math.log(0.5)), np.full(9**4, math.log(11_000.0))
    for _ in range(50):
        middle = (low + high) / 2
        weight = np.exp(middle)[:, None] * rate
        more = (set_bits * rate * np.exp(-weight) / -np.expm1(-weight)).sum(axis=1) > unset
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    table = np.round(np.exp((low + high) / 2), 3)
    table[0] = 0.0
    return np.asarray(table, dtype=np.float64)


@kernel
def count_tokens(
    tokens: Array, number: int, nodes: Array, leaves: Array, order: int, bits: int, memory: Array, place: Array,
    known: int,
) -> int:
    """Add a run of tokens to the tables.

    Contexts pass from run to run: ``memory[k]`` and ``place[k]`` (both of length order) are the hash and the slot of
    the last k + 1 tokens for k < ``known``, which is returned; -1 stands for the begin of a line.
    """
    shift = np.uint64(64 - bits)
    for i in range(number):
        token = tokens[i]
        bit = follower_bit(token)
        if known < 0:
            memory[0] = BEGIN
            place[0] = 1 << bits
            known = 1
            increase(nodes, 0, 1 << bits)
        for k in range(min(known, order - 1), 0, -1):
            nodes[k - 1, place[k - 1], 1] |= bit
            gram = mix(memory[k - 1], token)
            slot = np.int64(gram >> shift)
            if k + 1 < order:
                memory[k] = gram
                place[k] = slot
                increase(nodes, k, slot)
            elif leaves[slot] != MAX:
                leaves[slot] += np.uint32(1)
        slot = np.int64((token * MIX_1) >> shift)
        memory[0] = token
        place[0] = slot
        increase(nodes, 0, slot)
        known = -1 if token == END else known + 1
    return known


@kernel
def score_tokens(
    tokens: Array, number: int, nodes: Array, leaves: Array, order: int, bits: int, followers: Array, total: float,
    novel: float, memory: Array, weight: Array, masks: Array, known: int, sums: Array,
) -> int:
    """Multiply the probabilities of a run of tokens into ``sums``: (product since the last logarithm, log10 before).

    ``memory[k]``, ``weight[k]`` (count, followers) and ``masks[k]`` describe the last k + 1 tokens for k < ``known``,
    which is returned; -1 stands for the begin of a line. ``total`` tokens were counted, ``novel`` kinds of them.
    """
    shift = np.uint64(64 - bits)
    unknown = novel / (novel + 1.0)
    scale = 1.0 / (total + novel)
    product = sums[0]
    for i in range(number):
        token = tokens[i]
        bit = follower_bit(token)
        if known < 0:
            begin = 1 << bits
            memory[0] = BEGIN
            masks[0] = nodes[0, begin, 1]
            weight[0, 0] = nodes[0, begin, 0]
            weight[0, 1] = min(followers[follower_index(masks[0])], weight[0, 0])
            known = 1 if masks[0] != 0 else 0
        slot = np.int64((token * MIX_1) >> shift)
        gram = token
        count = float(nodes[0, slot, 0])
        mask = nodes[0, slot, 1]
        p = (count + unknown) * scale
        longest = 0
        for k in range(order):
            # `gram`, `count` and `mask` belong to the last k + 1 tokens, the older variables to the context before.
            older, context, types, seen = memory[k], weight[k, 0], weight[k, 1], masks[k]
            if count > 0.0 and mask != 0 and longest == k and k < order - 1:
                memory[k] = gram
                masks[k] = mask
                weight[k, 0] = count
                weight[k, 1] = min(followers[follower_index(mask)], count)
                longest = k + 1
            if k >= known or k == order - 1:
                break
            bound = min(count, context)
            count = 0.0
            if bound > 0.0 and seen & bit != 0:
                gram = mix(older, token)
                slot = np.int64(gram >> shift)
                if k + 2 < order:
                    count = min(bound, float(nodes[k + 1, slot, 0]))
                    mask = nodes[k + 1, slot, 1]
                else:
                    count = min(bound, float(leaves[slot]))
            p = (count + types * p) / (context + types)
        product *= p
        if product < 1e-250:
            sums[1] += math.log10(product)
            product = 1.0
        known = -1 if token == END else longest
    sums[0] = product
    return known


@kernel
def next_words(length: int, scratch: Scratch, at: Array, run: Array) -> int:
    """Fill ``run`` with the next tokens of the lower-cased text, END for every line feed and for the end of the text.

    ``at`` int64, (4,) keeps the place between calls: next mask word, next token and number of tokens in the window,
    next byte; zeros at the begin. Returns the number of tokens; ``at[0]`` is -1 once all were given.
    """
    window, token, tokens, byte = at[0], at[1], at[2], at[3]
    masks = (length >> 6) + 1
    filled = 0
    while filled < len(run):
        if token == tokens and window < masks:
            last = min(window + WINDOW, masks)
            tokens = cut_words(window, last, 0, True, scratch)
            window, token = last, 0
            continue
        target = scratch.begin[token] if token < tokens else length
        while byte < target and filled < len(run):
            if scratch.text[byte] == 10:
                run[filled] = END
                filled += 1
            byte += 1
        if filled == len(run):
            break
        if token == tokens:
            run[filled] = END
            filled += 1
            window = -1
            break
        run[filled] = scratch.token[token]
        filled += 1
        byte = scratch.finish[token]
        token += 1
    at[0], at[1], at[2], at[3] = window, token, tokens, byte
    return filled


@kernel
def next_bytes(data: Array, end: int, at: Array, run: Array) -> int:
    """The same with every byte of ``data[at[3]:end]`` as a token."""
    filled = 0
    byte = at[3]
    while filled < len(run) and byte < end:
        run[filled] = END if data[byte] == 10 else mix(BEGIN, np.uint64(data[byte]))
        filled += 1
        byte += 1
    if filled < len(run):
        run[filled] = END
        filled += 1
        at[0] = -1
    at[3] = byte
    return filled


@kernel
def count_rows(
    data: Array, offsets: Array, part: Array, nodes: Array, leaves: Array, order: int, bits: int, words: bool,
    tables: Tables, scratch: Scratch,
) -> None:
    """Count text i into tables ``part[i]``."""
    run = np.empty(RUN, np.uint64)
    at = np.zeros(4, np.int64)
    memory, place = np.zeros(order, np.uint64), np.zeros(order, np.int64)
    for i in range(len(offsets) - 1):
        length = lower_text(data, offsets[i], offsets[i + 1], tables, scratch) if words else 0
        at[:3] = 0
        at[3] = 0 if words else offsets[i]
        known = -1
        while at[0] >= 0:
            number = next_words(length, scratch, at, run) if words else next_bytes(data, offsets[i + 1], at, run)
            known = count_tokens(run, number, nodes[part[i]], leaves[part[i]], order, bits, memory, place, known)


@kernel
def score_rows(
    data: Array, offsets: Array, part: Array, nodes: Array, leaves: Array, order: int, bits: int, words: bool,
    tables: Tables, scratch: Scratch, followers: Array, total: Array, novel: Array, logs: Array, tokens: Array,
    characters: Array,
) -> None:
    """logs[i] = log10 of the probability of text i under tables ``part[i]``; tokens[i] and characters[i]: how many."""
    run = np.empty(RUN, np.uint64)
    at = np.zeros(4, np.int64)
    memory, masks = np.zeros(order, np.uint64), np.zeros(order, np.uint32)
    weight, sums = np.zeros((order, 2)), np.zeros(2)
    for i in range(len(offsets) - 1):
        length = lower_text(data, offsets[i], offsets[i + 1], tables, scratch) if words else 0
        at[:3] = 0
        at[3] = 0 if words else offsets[i]
        known = -1
        sums[0], sums[1] = 1.0, 0.0
        leading = 0  # bytes that begin a code point
        for byte in range(offsets[i], offsets[i + 1]):
            leading += (data[byte] & 0xC0) != 0x80
        characters[i] = leading
        while at[0] >= 0:
            number = next_words(length, scratch, at, run) if words else next_bytes(data, offsets[i + 1], at, run)
            tokens[i] += number
            known = score_tokens(
                run, number, nodes[part[i]], leaves[part[i]], order, bits, followers, total[part[i]], novel[part[i]],
                memory, weight, masks, known, sums,
            )
        logs[i] = sums[1] + math.log10(sums[0])


@kernel
def join(left: Array, right: Array, masks: bool) -> None:
    """Add flat counters (stopping at their end) in place; with ``masks`` every second number is a mask (OR)."""
    for i in range(len(left)):
        if masks and i & 1:
            left[i] |= right[i]
        else:
            room = MAX - left[i]
            left[i] = left[i] + right[i] if right[i] <= room else MAX
