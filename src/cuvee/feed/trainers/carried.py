"""Whole samples of the sources in a run of stages: what a stage cannot give whole is carried to the next ones.

Let I_j(t) be the exact sum of source j's shares over the first t samples of the run. A stage's counts rounded alone are
each within one of its own plan, but a hundred such stages may favour the same sources a hundred times. Here counts c_j
follow I_j over the whole run, and a source without a share in a stage is not drawn in it.

:func:`counts`: at the end of every stage |c_j - I_j| < 1. The (c + 1)-th sample of j belongs to the stages over which
I_j goes from c to c + 1. A stage holds the samples that lie wholly within it; each of the others goes to one of its
stages. Shares of samples are a fractional matching of samples and stages, so there is a whole one (bipartite matchings
are integral): the sample that must come first is placed first, and what finds no room by augmenting paths.

:func:`order`: the same by single draws, |c_j(t) - I_j(t)| < 1 at every t. The (c + 1)-th sample of j may come once
c < I_j(t + 1) and must have come when c + 1 <= I_j(t); of those that may come, the first deadline comes next
(Tijdeman, "The chairman assignment problem", Discrete Mathematics 32, 1980, shows that 1 can be kept whatever the
shares do). Where a source pauses with a part of a sample open, this rule may only find it a place in the pause, or too
late. Then each stage follows its counts instead, by the rule of ``mix/interleave.py``: less than one off at the end of
every stage, and less than two within one.

Where a stage ends within a sample, that sample has parts of both stages, and counts for the one that has more of the
source it is drawn from; a count at the end of such a stage may be off by up to two. Shares are exact up to a common
denominator of 2^60; beyond, they are rounded to it, which is less than 1e-9 of a sample over the longest order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ...engine.kernel import kernel
from ...mix.apportion import apportion
from ...mix.interleave import interleave
from .base import Ints, Mixture, counts_of

if TYPE_CHECKING:
    from .stages import Stage

MOST_UNITS = 2**60
"""Common denominator of the shares up to which they are exact."""
FAR = 2**62
Shares = tuple[Fraction, ...]


@dataclass(frozen=True)
class Segment:
    """Samples of equal shares, ``number`` of them. ``parts``: of each of its stages, how much of one of its samples is
    of each source; several only where one sample is of several stages."""

    number: int
    parts: dict[int, Shares]

    def shares(self) -> Shares:
        """(k,), of one sample."""
        return tuple(sum(own, Fraction(0)) for own in zip(*self.parts.values(), strict=True))


@dataclass
class _Sample:
    """One that several segments share: its source, these segments, how much of it has come by the end of each, and
    the segment it is put into."""

    source: int
    come: dict[int, int] = field(default_factory=dict)
    at: int = -1

    @property
    def last(self) -> int:
        return max(self.come)


def run_of(whole: Mixture, stages: Sequence[Stage], documents: bool) -> list[Segment]:
    """The run in whole samples of the sources of ``whole``: sequences, or documents to the nearest one."""
    lengths, shares = planned(whole, stages, documents)
    number = round(sum(lengths)) if documents else math.floor(sum(lengths))
    lengths[-1] += number - sum(lengths)  # less than a sample, at the end of the run
    return segments(lengths, shares)


def planned(whole: Mixture, stages: Sequence[Stage], documents: bool) -> tuple[list[Fraction], list[Shares]]:
    """Samples of each stage, (stages,), not whole, and their shares, (stages, k)."""
    lengths, shares = [], []
    for stage in stages:
        one = stage.mixture
        own = dict(zip(one.names, one.examples() if documents else one.shares, strict=True))
        shares.append(tuple(own.get(name, Fraction(0)) for name in whole.names))
        lengths.append(one.amount() if documents else Fraction(one.tokens or 0, one.sequence))
    return lengths, shares


def segments(lengths: Sequence[Fraction], shares: Sequence[Shares]) -> list[Segment]:
    """Stages of so many samples, which sum to a whole number, cut where samples begin and end."""
    found: list[Segment] = []
    parts: dict[int, Shares] = {}
    filled = Fraction(0)
    for at, length in enumerate(lengths):
        left = Fraction(length)
        if filled:
            part = min(left, 1 - filled)
            parts[at] = tuple(part * share for share in shares[at])
            filled, left = filled + part, left - part
            if filled < 1:
                continue
            found.append(Segment(1, parts))
            parts, filled = {}, Fraction(0)
        if left >= 1:
            found.append(Segment(int(left), {at: shares[at]}))
        filled = left % 1
        if filled:
            parts[at] = tuple(filled * share for share in shares[at])
    return found


def units_of(run: Sequence[Segment]) -> Ints:
    """The shares of each segment in whole units, as many in each: int64, (segments, k)."""
    each = [one.shares() for one in run]
    common = 1
    for share in {share for shares in each for share in shares}:
        common = math.lcm(common, share.denominator)
        if common > MOST_UNITS:
            common = MOST_UNITS
            break
    units = {shares: apportion(shares, common) for shares in set(each)}
    return np.array([units[shares] for shares in each], np.int64)


def order(run: Sequence[Segment]) -> tuple[npt.NDArray[np.int32], int]:
    """The source of each sample, int32, and what counts are less than off at every prefix: 1, or 2 within stages."""
    units, numbers = units_of(run), np.array([one.number for one in run], np.int64)
    found = np.empty(int(numbers.sum()), np.int32)
    if _fill(units, numbers, found):
        return found, 1
    return np.concatenate([interleave(drawn) for drawn in _whole(units, numbers.tolist())]), 2


def counts(run: Sequence[Segment], stages: int) -> Ints:
    """Samples of each source in each stage: int64, (stages, k)."""
    return by_stage(run, _whole(units_of(run), [one.number for one in run]), stages)


def counted(run: Sequence[Segment], order: npt.NDArray[np.int32], stages: int) -> Ints:
    """Those of an order: int64, (stages, k)."""
    sources = len(run[0].shares())
    ends = np.cumsum([one.number for one in run])
    drawn = [counts_of(order[end - one.number : end], sources) for one, end in zip(run, ends, strict=True)]
    return by_stage(run, np.array(drawn), stages)


def by_stage(run: Sequence[Segment], drawn: Ints, stages: int) -> Ints:
    """Counts of segments, (segments, k), as counts of stages, (stages, k)."""
    found = np.zeros((stages, drawn.shape[1]), np.int64)
    for one, own in zip(run, drawn, strict=True):
        for j in np.flatnonzero(own).tolist():
            found[max(one.parts, key=lambda at: one.parts[at][j]), j] += own[j]
    return found


@kernel
def _due(units: Ints, numbers: Ints, segment: int, left: int, source: int, need: int) -> int:
    """Draws from a place with ``left`` more in its segment until ``need`` units of a source have come."""
    passed = 0
    for at in range(segment, len(numbers)):
        rate = units[at, source]
        if rate > 0:
            draws = (need - 1) // rate + 1
            if draws <= left or at == len(numbers) - 1:
                return passed + draws
            need -= rate * left
        passed += left
        left = numbers[at + 1] if at + 1 < len(numbers) else 0
    return FAR


@kernel
def _fill(units: Ints, numbers: Ints, order: npt.NDArray[np.int32]) -> bool:
    """The first deadline first; False where a draw has no source, or a deadline is missed."""
    sources, whole = units.shape[1], units[0].sum()
    ahead = np.zeros(sources, np.int64)  # units that have come less whole x samples so far: within +-whole
    due = np.empty(sources, np.int64)
    for j in range(sources):
        due[j] = _due(units, numbers, 0, numbers[0], j, whole)
    t = 0
    for segment in range(len(numbers)):
        for draw in range(numbers[segment]):
            best = -1
            for j in range(sources):
                rate = units[segment, j]
                if rate > 0 and ahead[j] + rate > 0 and (best < 0 or due[j] < due[best]):
                    best = j
            if best < 0 or due[best] <= t:
                return False
            for j in range(sources):
                ahead[j] += units[segment, j]
            ahead[best] -= whole
            order[t] = best
            t += 1
            due[best] = t + _due(units, numbers, segment, numbers[segment] - draw - 1, best, whole - ahead[best])
    return bool(due.min() > t)


def _whole(units: Ints, numbers: Sequence[int]) -> Ints:
    """Whole samples of each source in each segment, (segments, k): sums are ``numbers``, 0 where there are no units,
    and less than one off the exact sum at the end of every segment."""
    found, shared, open_at_end = _shared(units, numbers)
    room = [number - int(own.sum()) for number, own in zip(numbers, found, strict=True)] + [open_at_end]
    waiting: list[list[int]] = [[] for _ in room]
    for at, one in enumerate(shared):
        waiting[min(one.come)].append(at)
    held: list[dict[int, None]] = [{} for _ in room]
    late: list[int] = []
    left: list[int] = []
    for segment in range(len(room)):
        left += waiting[segment]
        here = [at for at in left if segment in shared[at].come]
        here.sort(key=lambda at: (shared[at].last, -shared[at].come[segment], shared[at].source))
        for at in here[: room[segment]]:
            shared[at].at = segment
            held[segment][at] = None
        room[segment] -= len(held[segment])
        left = [at for at in left if shared[at].at < 0]
        late += [at for at in left if shared[at].last == segment]
        left = [at for at in left if shared[at].last > segment]
    for at in late:
        _make_room(at, shared, held, room)
    for one in shared:
        if one.at < len(found):
            found[one.at, one.source] += 1
    return found


def _shared(units: Ints, numbers: Sequence[int]) -> tuple[Ints, list[_Sample], int]:
    """Samples that lie within one segment, (segments, k); those that several share; and how many of these stay open.

    What is missing to those that are open at the end of the run comes in a segment after it.
    """
    whole, sources = int(units[0].sum()), units.shape[1]
    within = np.zeros(units.shape, np.int64)
    done, now = [0] * sources, [_Sample(j) for j in range(sources)]
    shared: list[_Sample] = []
    for segment, (rates, number) in enumerate(zip(units.tolist(), numbers, strict=True)):
        for j in range(sources):
            before, after = done[j], done[j] + rates[j] * number
            if before == after:
                continue
            done[j] = after
            if before % whole:
                now[j].come[segment] = min(after - before // whole * whole, whole)
            if after // whole >= -(-before // whole):  # no sample is open that was open before
                within[segment, j] = after // whole + -before // whole
                if after % whole:
                    now[j] = _Sample(j, {segment: after % whole})
                    shared.append(now[j])
    rest = [j for j in range(sources) if done[j] % whole]
    for j in rest:
        now[j].come[len(numbers)] = whole
    return within, shared, len(rest) - sum(done[j] % whole for j in rest) // whole


def _make_room(first: int, shared: list[_Sample], held: list[dict[int, None]], room: list[int]) -> None:
    """Puts a sample into one of its segments, moving others to others of theirs until one of these has room."""
    reached: dict[int, int] = {}
    queue = [first]
    for at in queue:
        for segment in shared[at].come:
            if segment in reached:
                continue
            reached[segment] = at
            if not room[segment]:
                queue += held[segment]
                continue
            room[segment] -= 1
            while True:
                moved = reached[segment]
                old, shared[moved].at = shared[moved].at, segment
                held[segment][moved] = None
                if old < 0:
                    return
                del held[old][moved]
                segment = old
    raise AssertionError("shares of samples always have a whole matching")
