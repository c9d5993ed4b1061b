"""Swarms of small runs, which the claims about mixing laws share: mixtures, n-gram models of them, losses by domain.

Not a claim itself. Six domains of the demonstration pool, two of them programs' and three of speech and stories. Their
natural shares fall by ``FALL`` from one to the next, in an order drawn for each seed, so that no result hangs on which
domain is common. Mixtures are drawn around the natural one as ``cuvee mix search`` draws them, each domain with a share
of ``FLOOR`` or more. A run of a mixture trains byte 5-grams on exactly its share of each domain's text, taken from the
beginning of a random order of that domain's documents: no text is repeated at any size. Runs of fewer than ``TARGET``
bytes are made in ``ORDERS`` orders and their losses averaged, since few documents are in each. Losses are bits per
character of held-out text, one for each goal; what is to be made small is their mean. The goals are either the domains
themselves, or three others that nothing trains on (``ELSEWHERE``). For the mean of the domains themselves uniform is
nearly best by symmetry, whatever a law says; for others it is not.

Laws are fitted to runs of ``SMALL`` bytes. What they say of mixtures left out is compared with runs of the same size,
and by rank with runs of ``TARGET`` bytes. Mixtures that are proposed are trained at ``TARGET`` bytes, in ``DRAWS``
other orders of the documents, and measured on text that no run before has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from cuvee.core import Array, Law, Prediction, Runs, Settings
from cuvee.examples import as_batch
from cuvee.fold.ngram_lm import LanguageModel, NgramLM
from cuvee.law.baselines import BASELINES
from cuvee.law.judge import spearman
from cuvee.law.propose import Bounds, Question
from cuvee.search import design

from ..harness import Measured, Texts, demo, generator, split

DOMAINS = ("code-python", "dialogue", "fiction", "python-docs", "rust-docs", "speech")
ELSEWHERE = ("code-go", "jargon", "scripture")
FALL, FLOOR = 0.7, 0.01
SMALL, TARGET = 100_000, 600_000
"""Bytes of a run of the swarm, and of one that a mixture is proposed for."""
HELD, ORDERS, DRAWS = 60_000, 3, 2
"""Bytes of each goal by which the swarm is measured; orders of documents in its runs, and in those of proposals."""
FIT, LEFT_OUT = 32, 32
"""Mixtures that laws are fitted to, and others."""
ERROR, RANK, BITS, MOVED = "error", "rank at target size", "bits per character", "moved"
METRICS = {
    ERROR: "mean absolute error of predicted losses of mixtures left out, bits per character, over goals",
    RANK: f"Spearman, of predicted mean losses and those of the same mixtures measured in runs of {TARGET:,} bytes",
    BITS: f"of unseen text after a run of {TARGET:,} bytes, mean of the goals",
    MOVED: "total variation between the mixture and the natural one",
}
BASES = tuple(name for name, _ in BASELINES)
PROPORTIONAL, UNIFORM, BEST = "proportional", "uniform", "best measured"
PLAIN = (PROPORTIONAL, UNIFORM)
SETTINGS = {
    "domains": DOMAINS,
    "fall": FALL,
    "floor": FLOOR,
    "bytes": [SMALL, TARGET],
    "held": HELD,
    "orders": [ORDERS, DRAWS],
    "mixtures": [FIT, LEFT_OUT],
}
HERE = "../../../claims/swarm/__init__.py"
"""As a claim's ``judges`` names this file."""


@dataclass(frozen=True)
class Ground:
    """The text of one seed.

    Attributes:
        pool, held, test: what runs train on, what the swarm is measured by, and what proposals are measured by.
        natural: float64, (k,): shares of ``DOMAINS``.
        goals: (g,): domains whose losses count.
    """

    pool: Texts
    held: Texts
    test: Texts
    natural: Array
    seed: int
    goals: tuple[str, ...]
    orders: dict[tuple[str, int], list[bytes]] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int, goals: tuple[str, ...] = DOMAINS) -> Ground:
        """Cut the demonstration pool."""
        held, test, pool = split(demo().of(*DOMAINS, *ELSEWHERE), seed, 0.15, 0.15)
        held, test, pool = held.of(*goals), test.of(*goals), pool.of(*DOMAINS)
        short = [np.flatnonzero(held.domain == name) for name in goals]
        short = [own[generator(seed, "held").permutation(len(own))] for own in short]
        kept = np.concatenate([own[np.cumsum(held.bytes[own]) <= HELD] for own in short])
        falling = FALL ** generator(seed, "natural").permutation(len(DOMAINS)).astype(np.float64)
        return cls(pool, held.take(kept), test, falling / falling.sum(), seed, goals)

    @cached_property
    def caps(self) -> Array:
        """The largest share of each domain in a run of the target's size, so that nothing is repeated: (k,)."""
        return np.minimum(1.0, np.array([self.pool.of(name).bytes.sum() for name in DOMAINS]) / TARGET)

    def mixtures(self, count: int, purpose: int, floor: float = FLOOR) -> Array:
        """Mixtures around the natural one, within the caps: float64, (count, k)."""
        found = design.swarm(self.natural, self.caps, count, 1_000 * self.seed + purpose, self.natural[None])
        assert len(found) == count
        return floor + (1 - floor * len(DOMAINS)) * found

    def text(self, name: str, size: int, order: int) -> list[bytes]:
        """The first ``size`` bytes of a domain in an order, the last document in part."""
        if (name, order) not in self.orders:
            own = self.pool.of(name).text
            at = generator(self.seed, f"order {order} {name}").permutation(len(own))
            self.orders[name, order] = [own[i] for i in at]
        found = []
        for one in self.orders[name, order]:
            if size <= 0:
                break
            found.append(one if len(one) <= size else one[:size].decode(errors="ignore").encode())
            size -= len(one)
        assert size <= 0, "a domain was gone through"
        return found

    def train(self, mixture: Array, size: int, order: int) -> LanguageModel:
        """The model of one run."""
        parts = [self.text(name, round(share * size), order) for name, share in zip(DOMAINS, mixture, strict=True)]
        fold = NgramLM(order=5, table_bits=18 if size <= 200_000 else 20, unit="bytes")
        return fold.finish(fold.lift(as_batch([one for part in parts for one in part if one])))

    def measured(self, mixtures: Array, size: int) -> Array:
        """Bits per character of every goal's held-out text after runs of each mixture: float64, (n, g)."""
        orders = range(ORDERS if size < TARGET else 1)
        return np.mean(
            [[self.bits(self.train(one, size, order), self.held) for one in mixtures] for order in orders], 0
        )

    def bits(self, model: LanguageModel, texts: Texts) -> Array:
        """Bits per character of every goal: float64, (g,)."""
        goal = np.array([self.goals.index(one) for one in texts.domain])
        characters = np.array([len(one.decode()) for one in texts.text])
        total = np.bincount(goal, weights=model.score(texts.batch)["bits_per_character"] * characters)
        return np.asarray(total / np.bincount(goal, weights=characters))

    def propose(self, law: Law, fits: Sequence[Prediction]) -> Array:
        """The mixture for which these fits, one for each goal's loss, promise the least mean: float64, (k,)."""
        weight = np.full(len(self.goals), 1 / len(self.goals))
        question = Question(
            DOMAINS, weight, Bounds(self.natural, self.caps), Settings((), np.empty((1, 0))), seed=self.seed
        )
        return question.best(law, [[one] for one in fits])[0]

    def trained(self, proposals: Mapping[str, Array]) -> Measured:
        """What mixtures reach at the target's size: arm -> ``BITS``, ``MOVED``."""
        found = {}
        for arm, mixture in proposals.items():
            orders = range(ORDERS, ORDERS + DRAWS)
            bits = [self.bits(self.train(mixture, TARGET, order), self.test).mean() for order in orders]
            found[arm] = {BITS: float(np.mean(bits)), MOVED: float(0.5 * np.abs(mixture - self.natural).sum())}
        return found


@dataclass(frozen=True)
class Swarm:
    """Finished runs: mixtures, (n, k), and their losses, (n, g)."""

    mixtures: Array
    losses: Array

    def first(self, count: int) -> Swarm:
        """The first so many of them."""
        return Swarm(self.mixtures[:count], self.losses[:count])

    def fits(self, law: Law) -> list[Prediction]:
        """The law fitted to every goal's loss."""
        group = np.arange(len(self.mixtures))
        return [law.fit(Runs(Settings(DOMAINS, self.mixtures), loss, group)) for loss in self.losses.T]

    @property
    def best(self) -> Array:
        """The mixture of least mean loss."""
        return np.asarray(self.mixtures[self.losses.mean(1).argmin()])


def run(ground: Ground, count: int, purpose: int, size: int = SMALL, floor: float = FLOOR) -> Swarm:
    """A swarm; equal ``purpose`` gives equal mixtures at every size."""
    mixtures = ground.mixtures(count, purpose, floor)
    return Swarm(mixtures, ground.measured(mixtures, size))


def predicted(fits: Sequence[Prediction], mixtures: Array) -> Array:
    """Losses of mixtures: float64, (n, g)."""
    return np.column_stack([one.at(Settings(DOMAINS, mixtures)) for one in fits])


def accuracy(said: Array, left_out: Swarm, target: Array) -> dict[str, float]:
    """``ERROR`` and ``RANK`` of predictions, (n, g).

    Args:
        target: float64, (n, g): losses of the mixtures left out at the target's size.
    """
    error = float(np.abs(said - left_out.losses).mean())
    return {ERROR: error, RANK: spearman(said.mean(1), target.mean(1))}


def baselines(fitted: Swarm, left_out: Swarm, target: Array) -> Measured:
    """What a guess reaches: the mean, which ranks nothing, a straight line, and the nearest run."""
    found = {}
    for name, law in BASELINES:
        one = accuracy(predicted(fitted.fits(law), left_out.mixtures), left_out, target)
        found[name] = {ERROR: one[ERROR]} if name == "mean" else one
    return found


def plain(ground: Ground, fitted: Swarm) -> dict[str, Array]:
    """Mixtures that need no law."""
    k = len(DOMAINS)
    return {PROPORTIONAL: ground.natural, UNIFORM: np.full(k, 1 / k), BEST: fitted.best}
