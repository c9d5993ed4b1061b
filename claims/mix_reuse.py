"""Mixture reuse: weights found earlier are held to one another, and a small swarm finds how much of the new sources.

**The claim** (allenai/olmix, mixture reuse). When sources come, the relative weights of those that have not changed may
be kept, all of them be searched as one source beside the new ones, and swarms shrink from 128 over 64 to 16 runs: at a
fraction of the cost, the mixture is nearly as good as one searched anew. Against it stands that what is held was right
without the new sources, and that whatever was wrong in it stays.

**Small scale.** Planted losses of eight sources, whose natural shares are drawn anew: exponentials of the shares,
powers of them with repetition that fades, and the same with bumps of no law's form. Six are known earlier: a swarm of
64 runs over these, a law, and its optimum within four passes. Then two more come. Runs have little or much noise;
swarms are those of ``cuvee mix search``, the law is exponential where exponentials were planted and of powers
elsewhere, and proposals are the laws' own optima. Each seed has every kind once at both levels of noise. Arms: the
earlier weights held and 16 runs over three parts ("held, 16 runs"); 16 and 64 runs over all eight sources ("anew");
the earlier weights beside the new sources by size, which costs nothing ("carried over"); as far from these toward what
the 16 runs say as ``cuvee.law.caution`` lets a proposal go ("held, cautious"; not part of the rule); proportional.

**Reproduced** if held weights with 16 runs keep more of the possible gain over proportional than 16 runs over all
sources, by the 95 % interval of the difference, and at most a tenth of the possible gain less than 64 runs over all, by
the same. **Direction only** if only one of both holds. **Not reproduced** otherwise. The possible gain is that of the
best mixture within the caps; what is kept is a share of it, of all swarms of a seed together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cuvee.core import Array, Law, Runs, Settings
from cuvee.law import caution
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.judge import resamples
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.law.propose import Bounds, Question, descend
from cuvee.search import design
from cuvee.search.simplex import Frozen, Simplex

from .caution import planted
from .harness import Claim, Found, Measured

OURS, FEW, MANY = "held, 16 runs", "anew, 16 runs", "anew, 64 runs"
PRUDENT, CARRIED, PLAIN = "held, cautious", "carried over", "proportional"
ARMS = (OURS, PRUDENT, FEW, MANY, CARRIED, PLAIN)
KEPT, LOSS = "gain kept", "planted loss"
OLD, NEW = 6, 2
NAMES = tuple("abcdefgh")
TOKENS, PASSES = 1_000_000, 4.0
FAMILIES = ("exponential", "powers", "rough")
RESAMPLES = 40
NOISES = (0.002, 0.01)
CLAIM = Claim(
    name="mix_reuse",
    judges=("../search/simplex.py", "../law/caution.py"),
    metrics={
        KEPT: "planted gain over proportional, as a share of the best possible, of all swarms of a seed",
        LOSS: "mean over the swarms of a seed",
    },
    contrasts=(
        (KEPT, OURS, (FEW, MANY, CARRIED, PLAIN)),
        (KEPT, PRUDENT, (FEW, MANY, CARRIED, PLAIN)),
        (LOSS, OURS, (FEW, MANY, CARRIED, PLAIN)),
    ),
    settings={"families": FAMILIES, "noises": NOISES, "sources": (OLD, NEW), "earlier runs": 64, "runs": (16, 64)},
    seeds=tuple(range(1, 13)),
)
Surface = Callable[[Array], Array]


def search(
    simplex: Simplex, surface: Surface, kind: str, runs: int, noise: float, seed: int, prudent: bool = False
) -> tuple[Array, Array]:
    """What a swarm over the parts of a simplex leads to, and how far caution goes toward it if asked: (m,) each."""
    seeds = design.anchor_seeds(runs)
    fixed = np.stack(list(simplex.anchors().values()))
    others = simplex.swarm(runs - 2 * seeds, seed)
    x = np.concatenate([np.repeat(fixed, seeds, 0), others])
    group = np.concatenate([np.repeat([0, 1], seeds), 2 + np.arange(len(others))])
    outcome = surface(simplex.full(x)) + np.random.default_rng([seed, 1]).normal(0, noise, len(x))
    law: Law = DataMixingLaws(restarts=12)
    if kind != "exponential":
        powers = OptimalMixtures(one_pass=tuple((simplex.sizes / TOKENS).tolist()))
        fewer = len(others) + 2 <= powers.numbers(len(simplex.names))
        law = replace(powers, shared=True) if fewer else powers
    finished = Runs(Settings(simplex.names, x), outcome, group)
    fitted = law.fit(finished)
    bounds = Bounds(simplex.natural, simplex.caps)
    question = Question(simplex.names, np.ones(1), bounds, Settings((), np.empty((1, 0))))
    best = question.best(law, [[fitted]])[0]
    if not prudent:
        return best, best
    many = law.refit(finished, resamples(finished, RESAMPLES, seed), fitted)
    step = caution.cautious(
        simplex.natural,
        question.best(law, [many]),
        lambda at: question.value([[fitted]], 0, at),
        lambda b, at: question.value([many], b, at),
        *caution.left_out(law, [finished], np.ones(1), 0),
    )
    return best, simplex.natural + step.t * (step.toward - simplex.natural)


def possible(surface: Surface, natural: Array, caps: Array, begin: Array) -> float:
    """The least planted loss within the caps, by descent from many starts."""

    def objective(x: Array) -> tuple[Array, Array]:
        here = surface(x)
        return here, np.stack([(surface(x + 1e-6 * row) - here) / 1e-6 for row in np.eye(len(natural))], axis=1)

    return float(descend(objective, Bounds(natural, caps), np.maximum(begin, 1e-6), 300)[1].min())


def case(kind: str, noise: float, random: np.random.Generator) -> tuple[dict[str, float], float]:
    """The planted loss of every arm's mixture, and the least possible."""
    k = OLD + NEW
    natural = np.maximum(random.dirichlet(np.full(k, 3.0)), 0.02)
    tokens = np.rint(TOKENS * natural / natural.sum()).astype(np.int64)
    natural = tokens / tokens.sum()
    caps = np.minimum(1.0, PASSES * natural)
    surface = planted(kind, natural, random)
    seeds = random.integers(2**31, size=4).tolist()

    def before(x: Array) -> Array:
        return surface(np.concatenate([x, np.zeros((len(x), NEW))], axis=1))

    held = tokens[:OLD]
    earlier = Simplex.of(NAMES[:OLD], held, np.minimum(1.0, PASSES * held / held.sum()))
    weights = dict(zip(NAMES, search(earlier, before, kind, 64, noise, seeds[0])[0].tolist(), strict=False))
    kept = Simplex.of(NAMES, tokens, caps, frozen=Frozen("earlier", weights))
    whole = Simplex.of(NAMES, tokens, caps)
    ours, prudent = search(kept, surface, kind, 16, noise, seeds[1], True)
    found = {
        OURS: kept.full(ours),
        PRUDENT: kept.full(prudent),
        FEW: search(whole, surface, kind, 16, noise, seeds[2])[0],
        MANY: search(whole, surface, kind, 64, noise, seeds[3])[0],
        CARRIED: kept.full(kept.natural),
        PLAIN: natural,
    }
    loss = {arm: float(surface(mixture[None])[0]) for arm, mixture in found.items()}
    begin = np.concatenate([np.stack(list(found.values())), whole.swarm(8, seeds[0])])
    return loss, min(possible(surface, natural, caps, begin), *loss.values())


def trial(seed: int) -> Measured:
    """All arms, over swarms of all families."""
    found = [
        case(kind, noise, np.random.default_rng([seed, at, level]))
        for at, kind in enumerate(FAMILIES)
        for level, noise in enumerate(NOISES)
    ]
    most = sum(loss[PLAIN] - least for loss, least in found)
    return {
        arm: {
            KEPT: sum(loss[PLAIN] - loss[arm] for loss, _ in found) / most,
            LOSS: float(np.mean([loss[arm] for loss, _ in found])),
        }
        for arm in ARMS
    }


def judge(found: Found) -> str:
    """By the rule above."""
    better, near = found.of(KEPT, OURS, FEW).above, found.of(KEPT, OURS, MANY).low > -0.1
    return "reproduced" if better and near else "direction only" if better or near else "not reproduced"
