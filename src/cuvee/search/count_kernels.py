"""The compiled loops of :mod:`cuvee.search.counted`: n-grams of some documents as a list of table entries.

The same tables and the same counts as :mod:`cuvee.fold.ngram_lm_kernels`, which explains their layout; but what was
touched is remembered, so that a slice of a pool is kept as its entries instead of as whole tables.
"""

from __future__ import annotations

import numpy as np

from ..core import Array
from ..engine.kernel import kernel
from ..fold.ngram_lm_kernels import BEGIN, END, MAX, MIX_1, RUN, follower_bit, increase, mix, next_bytes

# fmt: off


@kernel
def count_documents(
    data: Array, offsets: Array, at: Array, nodes: Array, leaves: Array, order: int, bits: int, touched: Array,
    ends: Array, filled: Array,
) -> None:
    """Count the texts at these places, and list what was 0 before.

    ``touched`` gets places in ``nodes`` read as (levels * (slots + 1), 2), ``ends`` those in ``leaves``; how many of
    each stands in ``filled``, int64, (2,).
    """
    run = np.empty(RUN, np.uint64)
    step = np.zeros(4, np.int64)
    memory, place = np.zeros(order, np.uint64), np.zeros(order, np.int64)
    shift = np.uint64(64 - bits)
    width = (1 << bits) + 1
    first, last = 0, 0
    for document in at:
        step[:3] = 0
        step[3] = offsets[document]
        known = -1
        while step[0] >= 0:
            number = next_bytes(data, offsets[document + 1], step, run)
            for i in range(number):
                token = run[i]
                bit = follower_bit(token)
                if known < 0:
                    memory[0] = BEGIN
                    place[0] = 1 << bits
                    known = 1
                    if nodes[0, 1 << bits, 0] == 0:
                        touched[first] = 1 << bits
                        first += 1
                    increase(nodes, 0, 1 << bits)
                for k in range(min(known, order - 1), 0, -1):
                    nodes[k - 1, place[k - 1], 1] |= bit
                    gram = mix(memory[k - 1], token)
                    slot = np.int64(gram >> shift)
                    if k + 1 < order:
                        memory[k] = gram
                        place[k] = slot
                        if nodes[k, slot, 0] == 0:
                            touched[first] = k * width + slot
                            first += 1
                        increase(nodes, k, slot)
                    else:
                        if leaves[slot] == 0:
                            ends[last] = slot
                            last += 1
                        if leaves[slot] != MAX:
                            leaves[slot] += np.uint32(1)
                slot = np.int64((token * MIX_1) >> shift)
                memory[0] = token
                place[0] = slot
                if nodes[0, slot, 0] == 0:
                    touched[first] = slot
                    first += 1
                increase(nodes, 0, slot)
                known = -1 if token == END else known + 1
    filled[0], filled[1] = first, last


@kernel
def take_nodes(nodes: Array, places: Array, counts: Array, masks: Array) -> None:
    """Move these entries of (rows, 2) tables out, leaving zeros."""
    for i in range(len(places)):
        at = places[i]
        counts[i], masks[i] = nodes[at, 0], nodes[at, 1]
        nodes[at, 0] = 0
        nodes[at, 1] = 0


@kernel
def take_leaves(leaves: Array, places: Array, counts: Array) -> None:
    """The same for leaves."""
    for i in range(len(places)):
        counts[i] = leaves[places[i]]
        leaves[places[i]] = 0


@kernel
def add_nodes(nodes: Array, places: Array, counts: Array, masks: Array, times: int) -> None:
    """Add entries so many times; counters stop at their end."""
    for i in range(len(places)):
        at = places[i]
        total = np.uint64(nodes[at, 0]) + np.uint64(counts[i]) * np.uint64(times)
        nodes[at, 0] = np.uint32(min(total, np.uint64(MAX)))
        nodes[at, 1] |= masks[i]


@kernel
def add_leaves(leaves: Array, places: Array, counts: Array, times: int) -> None:
    """The same for leaves."""
    for i in range(len(places)):
        at = places[i]
        total = np.uint64(leaves[at]) + np.uint64(counts[i]) * np.uint64(times)
        leaves[at] = np.uint32(min(total, np.uint64(MAX)))
