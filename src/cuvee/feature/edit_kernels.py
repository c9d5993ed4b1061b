"""Edit distance with a bound, and which documents of a group are alike: the hot loops of ``edits``.

Levenshtein's distance (insertions, deletions, replacements of one unit each cost 1) by furthest-reaching points
(Ukkonen, "Algorithms for approximate string matching", 1985): for d = 0, 1, ... edits, on every diagonal the furthest
place that d edits reach. So a pair that differs in d units costs about d^2 steps beside one look at what they share, a
pair beyond the bound no more than the bound's square, and memory is a number for each diagonal: nothing grows with the
product of the lengths.
"""

from __future__ import annotations

import numpy as np

from ..core import Array
from ..engine.kernel import kernel
from .ngram_kernels import Ints

NOWHERE = -1 << 60


@kernel
def distance(a: Array, b: Array, most: int) -> int:
    """The edit distance of two sequences of numbers, or ``most`` + 1 if it is larger than ``most``."""
    n, m = len(a), len(b)
    begin = 0
    while begin < n and begin < m and a[begin] == b[begin]:
        begin += 1
    while n > begin and m > begin and a[n - 1] == b[m - 1]:
        n, m = n - 1, m - 1
    n, m = n - begin, m - begin
    goal = m - n  # the diagonal of the end: place in b less place in a
    if abs(goal) > most:
        return most + 1
    if n == 0 or m == 0:
        return max(n, m)
    middle = most + 1
    now, before = np.full(2 * most + 3, NOWHERE), np.full(2 * most + 3, NOWHERE)
    for d in range(most + 1):
        left = most - d  # edits that remain: a diagonal further from the goal cannot come back
        for k in range(max(-d, goal - left), min(d, goal + left) + 1):
            i = 0 if d == 0 else max(before[middle + k] + 1, before[middle + k - 1], before[middle + k + 1] + 1)
            i = min(i, n, m - k)
            if i >= 0 and i + k >= 0:
                while i < n and i + k < m and a[begin + i] == b[begin + i + k]:
                    i += 1
                now[middle + k] = i
            else:
                now[middle + k] = NOWHERE
        if now[middle + goal] >= n:
            return d
        now, before = before, now
    return most + 1


@kernel
def shared(a: Array, b: Array) -> int:
    """How many values two ascending arrays of distinct values have in common."""
    i, j, found = 0, 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found += 1
            i += 1
            j += 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return found


@kernel
def grams(units: Array, offsets: Ints, n: int, out: Array, ends: Ints) -> None:
    """The distinct hashes of every document's runs of n units, ascending, at out[offsets[d]:ends[d]]."""
    for d in range(len(offsets) - 1):
        at = offsets[d]
        for i in range(offsets[d], offsets[d + 1] - n + 1):
            value = np.uint64(n)
            for k in range(n):
                value = (value ^ np.uint64(units[i + k])) * np.uint64(0x9E3779B97F4A7C15)
                value ^= value >> np.uint64(29)
            out[at] = value
            at += 1
        if at > offsets[d]:
            ordered = np.sort(out[offsets[d] : at])
            at = offsets[d]
            for i in range(len(ordered)):
                if i == 0 or ordered[i] != ordered[i - 1]:
                    out[at] = ordered[i]
                    at += 1
        ends[d] = at


@kernel
def alike(
    units: Array, offsets: Ints, found: Array, ends: Ints, size: Ints, one: int, two: int, jaccard: float, edit: float
) -> int:
    """Whether two documents share so many n-grams, and so much of their order: 1, or 2 if they differ by half as much
    as they may; else 0."""
    low, high = min(size[one], size[two]), max(size[one], size[two])
    if low < edit * high - 1e-9:  # at least the difference has to be inserted
        return 0
    left, right = found[offsets[one] : ends[one]], found[offsets[two] : ends[two]]
    both = shared(left, right)
    every = len(left) + len(right) - both
    if both < jaccard * every - 1e-9:
        return 0
    a, b = units[offsets[one] : offsets[one + 1]], units[offsets[two] : offsets[two + 1]]
    most = int((1 - edit) * max(len(a), len(b)) + 1e-9)
    apart = distance(a, b, most)
    if apart > most:
        return 0
    return 2 if 2 * apart <= most and both >= (1 + jaccard) / 2 * every else 1


@kernel
def joined(
    units: Array,
    offsets: Ints,
    found: Array,
    ends: Ints,
    size: Ints,
    group: Ints,
    leads: Array,
    limits: tuple[float, float, int],
) -> tuple[Ints, Ints]:
    """Pairs (a leader of a group, a later document of it that is like it), by place.

    Documents stand in the order of groups. One that is close to no leader of its group (``alike`` says 2) leads from
    then on, and ``leads`` becomes true, while there are fewer than ``limits[2]``; those that are known to lead come
    first in their group. Were only those leaders that are like no other, what is like a follower alone would be missed.
    """
    jaccard, edit, leaders = limits
    left, right = np.empty(2 * len(group) + 2, np.int64), np.empty(2 * len(group) + 2, np.int64)
    heads = np.empty(leaders, np.int64)
    number, pairs = 0, 0
    for d in range(len(group)):
        if d == 0 or group[d] != group[d - 1]:
            number = 0
        far = True
        if not leads[d]:
            for head in heads[:number]:
                near = alike(units, offsets, found, ends, size, head, d, jaccard, edit)
                if near > 0:
                    if pairs == len(left):
                        left, right = np.append(left, left), np.append(right, right)
                    left[pairs], right[pairs] = head, d
                    pairs += 1
                if near == 2:
                    far = False
                    break
        if far and number < leaders:
            leads[d] = True
            heads[number] = d
            number += 1
    return left[:pairs], right[:pairs]
