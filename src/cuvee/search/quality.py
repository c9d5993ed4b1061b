"""QuaDMix's sampler as something to search: random parameters, and what a run with some of them draws.

Liu et al., "QuaDMix: Quality-Diversity Balanced Data Selection for Efficient LLM Pretraining", 2025, arXiv 2504.16511,
Algorithm 1. For N scores and M domains a setting has (N + 4) M numbers: weights of the scores by domain
alpha_mn = a_n b_mn / sum_i a_i b_mi; steepness 10^(3 u), threshold ``widest`` u, power u and floor u / 1000, with a, b
and all u uniform between 0 and 1.

The steepness is one reading of two. The algorithm's line can be read as 10^(3 u), 1 to 1,000 with every decade as
likely, and as 10^3 u, uniform from 0 to 1,000, of which nine tenths lie above 100. The first is taken: with ``widest``
0.1 a steepness above 100 is nearly a cut of one height, so under the second reading hardly any setting would be soft.

The paper's ``widest`` is 0.1, since its pool is many times the run; a tenth of a pool that a run goes through once
would be repeated ten times. Here it is twice the run's share of the pool, 0.1 at least and 1 at most: so thresholds are
on average where the run's tokens end if every domain gives as much of its own. The setting in which all domains have
just that, and all scores count alike, is called plain.

A sampler wants S(r) copies of a row, up to a factor: the planned run of T tokens takes min(passes, f S) copies, f such
that they make T tokens. A proxy run of t tokens stands for it: it takes as much as t of what is left of the pool when
rows are cut down to t / T by keyed draws, another part at every seed. So a row is repeated as often as it would be.
Whole copies are sure, the last one is drawn by sequential Poisson sampling with one keyed number a row, as in
:mod:`cuvee.methods.choose.copies`: runs of one seed share their draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Block, Draw
from ..errors import DataError
from ..fold.quality_ranks import Ranks, Sampler
from ..methods.policy.uniform import Uniform
from ..proof.draws import NAMES, Drawn, Part, drawn
from ..proof.exchange import put_rows
from ..proof.proxy import Recipe
from ..proof.trials import Task
from .runs import Asked, Runs
from .stock import Ints

Floats = npt.NDArray[np.float64]
NARROWEST, WIDER = 0.1, 2.0
SAMPLE, SAMPLE_OF_DOMAIN, CHUNK = 2_000, 100, 250


@dataclass(frozen=True)
class Space:
    """Settings as points: weights of the scores by domain, then log10 steepness, threshold, power and floor of each."""

    criteria: tuple[str, ...]
    domains: tuple[str, ...]
    widest: float

    @property
    def width(self) -> int:
        return (len(self.criteria) + 4) * len(self.domains)

    def draw(self, count: int, seed: int) -> Floats:
        """Random settings, float64, (count, width)."""
        n, m = len(self.criteria), len(self.domains)
        random = np.random.default_rng([seed, 7])
        every = 1.0 - random.random((count, 1, n))  # above 0
        alpha = every * (1.0 - random.random((count, m, n)))
        alpha /= alpha.sum(axis=2, keepdims=True)
        u = random.random((count, 4, m)) * np.array([3.0, self.widest, 1.0, 1e-3])[:, None]
        return np.concatenate([alpha.reshape(count, -1), u.reshape(count, -1)], axis=1)

    def plain(self, share: float) -> Floats:
        """The setting in which domains and scores are alike, for a run of this share of the pool: float64, (width,)."""
        n, m = len(self.criteria), len(self.domains)
        alike = (1.5, min(max(share, 1e-3), self.widest), 0.5, 5e-4)
        return np.concatenate([np.full(n * m, 1 / n), np.repeat(alike, m)])

    def sampler(self, point: Floats) -> Sampler:
        """What a setting says."""
        n, m = len(self.criteria), len(self.domains)
        log_steepness, threshold, power, floor = point[n * m :].reshape(4, m)
        return Sampler(point[: n * m].reshape(m, n), 10.0**log_steepness, threshold, power, floor)


@dataclass(frozen=True)
class Rated:
    """The pool's rated rows in memory: 52 bytes each, and 8 for every score.

    Attributes:
        rows: "row" ascending, "key", "content", "bytes", "tokens", "domain", as a pool's columns have them.
        scores: float64, (n, criteria), standardised.
    """

    rows: Block
    scores: Floats
    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, part: Part, key: npt.NDArray[np.uint64], values: Floats, criteria: tuple[str, ...]) -> Rated:
        """The rows of a part, all of which are rated; ``key`` is ascending.

        Raises:
            DataError: all rows have the same score.
        """
        found = list(part.blocks(*NAMES))
        rows = {name: np.concatenate([block[name] for block in found]) for name in NAMES}
        scores = values[np.searchsorted(key, rows["key"])]
        mean, deviation = scores.mean(axis=0), scores.std(axis=0)
        flat = np.flatnonzero(~(deviation > 0))
        if len(flat):
            raise DataError(f"'{criteria[flat[0]]}' is the same for all rows. Leave it out of the criteria.")
        return cls(rows, (scores - mean) / deviation, mean, deviation)

    def values(self, sampler: Sampler) -> Floats:
        """S of every row."""
        domain = self.rows["domain"]
        merged = sampler.merged(self.scores, domain)
        ranks = Ranks.of(merged, self.rows["tokens"], domain, len(sampler.alpha))
        return sampler.value(ranks.rank(merged, domain), domain)


def copies(value: Floats, tokens: Ints, amount: float, passes: float) -> Floats:
    """min(passes, f value) for the f by which they make ``amount`` tokens; ``passes`` of all if nothing else does."""
    wanted = value > 0
    full = np.zeros(len(value), bool)
    while True:
        left = amount - passes * float(tokens[full].sum())
        weight = float((value * tokens)[wanted & ~full].sum())
        if weight <= 0:
            return np.where(wanted, passes, 0.0)
        factor = max(left, 0.0) / weight
        over = wanted & ~full & (factor * value > passes)
        if not over.any():
            return np.where(full, passes, factor * value)
        full |= over


@dataclass(frozen=True)
class Effects:
    """What settings do to a keyed sample of the pool: features by which losses are told from few runs.

    Of the planned run, by domain: the square root of its share of tokens, and its share times the mean of each score;
    and the share of all tokens that are seen for the first time. Losses follow these far more simply than parameters,
    which act through each other: a floor matters only where the threshold leaves little.
    """

    rated: Rated
    domains: int
    amount: float
    passes: float

    @classmethod
    def of(cls, rated: Rated, domains: int, share: float, passes: float, seed: int) -> Effects:
        """``share``: of the planned run in the pool's tokens."""
        rows = rated.rows
        place = Draw(seed).uniform("sampler effects", rows["key"])
        few = np.sort(np.lexsort((rows["row"], place))[: max(SAMPLE, SAMPLE_OF_DOMAIN * domains)])
        kept = Rated({name: rows[name][few] for name in NAMES}, rated.scores[few], rated.mean, rated.deviation)
        return cls(kept, domains, share * float(kept.rows["tokens"].sum()), passes)

    def features(self, space: Space, points: Floats) -> Floats:
        """float64, (points, features)."""
        return np.concatenate([self._some(space, points[at : at + CHUNK]) for at in range(0, len(points), CHUNK)])

    def _some(self, space: Space, points: Floats) -> Floats:
        n, m = len(space.criteria), self.domains
        alpha = points[:, : n * m].reshape(-1, m, n)
        rest = points[:, n * m :].reshape(-1, 4, m)
        rows, tokens, scores, places, value = self.rated.rows, [], [], [], []
        for at in range(m):
            own = np.flatnonzero(rows["domain"] == at)
            merged = np.zeros((len(points), len(own)))
            for one in range(n):
                merged += alpha[:, at, one, None] * self.rated.scores[own, one]
            order = np.argsort(-merged, axis=1, kind="stable")
            ahead = np.cumsum(rows["tokens"][own][order], axis=1).astype(np.float64)
            ranked = np.take_along_axis(merged, order, 1)
            last = np.append(ranked[:, 1:] != ranked[:, :-1], np.ones((len(points), min(len(own), 1)), bool), axis=1)
            ahead = np.minimum.accumulate(np.where(last, ahead, np.inf)[:, ::-1], axis=1)[:, ::-1]  # ties share
            rank = ahead / max(float(rows["tokens"][own].sum()), 1.0)
            log_steepness, omega, power, floor = (rest[:, kind, at, None] for kind in range(4))
            inside = np.clip(10.0**log_steepness * (omega - rank), -50.0, 50.0)
            value.append(np.where(rank <= omega, (2.0 / (1.0 + np.exp(-inside))) ** power, 0.0) + floor)
            tokens.append(rows["tokens"][own][order])
            scores.append(self.rated.scores[own][order])
            places.append(np.full(len(own), at))
        taken, size = np.concatenate(value, axis=1), np.concatenate(tokens, axis=1)
        taken = np.stack([copies(v, t, self.amount, self.passes) for v, t in zip(taken, size, strict=True)])
        spent, place = taken * size, np.concatenate(places)
        share = np.stack([spent[:, place == at].sum(axis=1) for at in range(m)], axis=1)
        share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-300)
        told = (
            np.concatenate(scores, axis=1) * (spent / np.maximum(spent.sum(axis=1, keepdims=True), 1e-300))[:, :, None]
        )
        quality = np.concatenate([told[:, place == at].sum(axis=1) for at in range(m)], axis=1)
        fresh = (np.minimum(taken, 1.0) * size).sum(axis=1) / np.maximum(spent.sum(axis=1), 1e-300)
        return np.concatenate([np.sqrt(share), quality, fresh[:, None]], axis=1)


@dataclass
class SampledRuns(Runs):
    """Runs that draw by a sampler; ``Asked.mixture`` is a point of the space, or for anchors shares of the domains."""

    rated: Rated = field(kw_only=True)
    space: Space = field(kw_only=True)
    anchors: tuple[str, ...] = field(kw_only=True)
    passes: float = field(kw_only=True)
    counts: ClassVar[bool] = False

    def values(self, asked: Asked) -> Floats:
        """How often a run wants every row, up to a factor."""
        if asked.arm in self.anchors:
            return (asked.mixture / np.maximum(self.grid.available, 1))[self.rated.rows["domain"]]
        return self.rated.values(self.space.sampler(asked.mixture))

    def shares(self, value: Floats) -> Floats:
        """The share of the planned run's tokens that each domain has, (k,)."""
        rows = self.rated.rows
        taken = copies(value, rows["tokens"], self.grid.planned, self.passes) * rows["tokens"]
        found = np.bincount(rows["domain"], weights=taken, minlength=len(self.grid.names))
        return np.asarray(found / max(float(found.sum()), 1.0))

    def drawn(self, asked: Asked) -> tuple[Drawn, Floats]:
        """The documents of a run, and the share of its tokens that each domain has in fact, (k,)."""
        rows, draw, grid = self.rated.rows, Draw(asked.seed), self.grid
        here = np.flatnonzero(draw.uniform("mix search", rows["key"]) < grid.tokens / grid.planned)
        tokens = rows["tokens"][here]
        expected = copies(self.values(asked)[here], tokens, grid.tokens, self.passes)
        repeats = np.floor(expected).astype(np.int64)
        with np.errstate(divide="ignore"):
            place = np.log(expected - repeats) - np.log(draw.uniform("copies", rows["key"][here]))
        order = np.lexsort((rows["row"][here], -place))
        order = order[place[order] > -np.inf]
        fits = np.searchsorted(np.cumsum(tokens[order]), grid.tokens - int((repeats * tokens).sum()), side="right")
        repeats[order[:fits]] += 1
        at = np.flatnonzero(repeats)
        if not len(at):
            raise DataError(
                f"A proxy run of {grid.tokens:,} tokens stands for one of {grid.planned:,}, and no document is left. "
                "Give more --run-tokens, or fewer --tokens."
            )
        taken = {name: rows[name][here[at]] for name in ("row", "content", "tokens", "bytes")}
        taken["repeats"] = repeats[at]
        for unit in ("tokens", "bytes"):
            taken[unit] = taken[unit] * taken["repeats"]
        seen = np.bincount(rows["domain"][here[at]], weights=taken["tokens"], minlength=len(grid.names))
        return drawn(taken), seen / max(float(seen.sum()), 1.0)

    def task(self, asked: Asked) -> tuple[Task, Drawn, Floats, Ints]:
        found, shares = self.drawn(asked)
        seed = 0 if self.proxy.seedless else asked.seed
        cost = {"select_seconds": 0.0, "select_flops": 0.0, "tokens": float(found.tokens)}
        cost["documents"] = float(found.documents)
        rows = put_rows(self.engine.store, found.places)
        task = Task(asked.arm, found.digest, Recipe(self.proxy, Uniform(), 1.0), seed, rows, (), cost)
        return task, found, shares, np.empty(0, np.int64)
