"""How far a proposed mixture goes from proportional: how often too far, and how much it keeps of what could be gained.

**The claim** (this package's own). A search proposes no mixture that is worse than proportional, in 95 of 100 swarms or
more, and keeps more of the possible gain than rules that add up the worst of each error. Against it stands that the
least of a fitted surface flatters (the winner's curse), more so where the law's form is wrong.

**Small scale.** Planted losses of sources whose natural shares are drawn anew: exponentials of the shares, powers of
them with repetition that fades, the same with another fading for every source and bumps of no law's form, and one whose
least is at proportional. Swarms as ``cuvee mix search`` designs them: 24 runs of six sources with little noise, 64 with
much, and 64 runs of 24 sources, hardly more than the law has numbers; a law of powers that knows what one pass is, and
an exponential one where it is wrong. Each seed has three swarms of every kind. The proposal goes as far as
``cuvee.law.caution`` lets it. Arms: that; the law's own optimum ("bold"); the mean of the resamples' optima ("bagged");
a bound that adds the 95 % quantiles of both errors on the way to the law's optimum ("added quantiles"); and one that
trusts the form and takes resamples alone ("resamples alone").

**Reproduced** if at most 5 % of all proposals are worse than proportional and more of the possible gain is kept than
by added quantiles, by the 95 % interval of the difference. **Direction only** if only one of both holds. **Not
reproduced** otherwise. The possible gain is that of the best mixture within four passes over each source; what is kept
is a share of it, of all swarms of a seed together. The level was chosen on seeds of 101 and above.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cuvee.core import Array, Law, Runs, Settings
from cuvee.law import caution
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.judge import resamples
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.law.propose import Bounds, Question, descend
from cuvee.search import design

from .harness import Claim, Found, Measured

OURS, BOLD, BAGGED, ADDED, ALONE = "cautious", "bold", "bagged", "added quantiles", "resamples alone"
ARMS = (OURS, BOLD, BAGGED, ADDED, ALONE)
WORSE, KEPT, MOVED = "worse than proportional", "gain kept", "moved"
FAMILIES = (
    ("exponential", "powers"),
    ("powers", "powers"),
    ("rough", "powers"),
    ("rough", "exponential"),
    ("null", "powers"),
)
"""What is planted, and the law that is fitted."""
SWARMS = ((6, 24, 0.002), (6, 64, 0.01), (24, 64, 0.005))
"""Sources, runs, and the standard deviation of their noise."""
CLAIM = Claim(
    name="caution",
    judges=("../law/caution.py", "../law/propose.py", "../law/optimal_mixtures.py", "../search/design.py"),
    metrics={
        WORSE: "share of proposals whose planted loss is above that of proportional",
        KEPT: "planted gain over proportional, as a share of the best possible, of all swarms of a seed",
        MOVED: "share of swarms in which anything but proportional is proposed",
    },
    contrasts=((KEPT, OURS, (ADDED, ALONE, BOLD, BAGGED)), (WORSE, OURS, (ADDED, ALONE, BOLD, BAGGED))),
    settings={"families": FAMILIES, "swarms": SWARMS, "resamples": 40},
    seeds=tuple(range(1, 11)),
)
Surface = Callable[[Array], Array]


def faded(x: Array, natural: Array, lasting: Array) -> Array:
    """Shares as far as they count, where everything beyond one pass fades."""
    more = np.maximum(x / natural - 1, 0)
    return np.asarray(np.where(more > 0, natural * (1 + lasting * (1 - np.exp(-more / lasting))), x))


def planted(kind: str, natural: Array, random: np.random.Generator) -> Surface:
    """A loss of mixtures, (n, k) to (n,)."""
    k = len(natural)
    if kind == "exponential":
        tilt = -random.uniform(0, 2.5, k)
        return lambda x: np.asarray(1.5 + 0.2 * np.exp(x @ tilt))
    worth, power = random.uniform(0.2, 2.5, k), random.uniform(0.15, 0.6, k)
    lasting = np.full(k, random.uniform(0.3, 4.0)) if kind == "powers" else random.uniform(0.1, 4.0, k)
    wave, phase, height = random.normal(0, 6, (6, k)), random.uniform(0, 6.28, 6), random.normal(0, 0.004, 6)
    if kind != "rough":
        height = np.zeros(6)
    if kind == "null":  # no source is worth more than another at its natural share, and repeats are worth little
        lasting, worth = np.full(k, 0.3), 1 / (power * natural ** (power - 1))
        worth *= 2 / float(worth @ natural**power)

    def value(x: Array) -> Array:
        bumps = (np.cos(x @ wave.T + phase) * height).sum(-1)
        return np.asarray(1.5 + 0.5 / (worth * (faded(x, natural, lasting) + 1e-4) ** power).sum(-1) + bumps)

    return value


@dataclass(frozen=True)
class Swarm:
    """A fitted swarm."""

    surface: Surface
    natural: Array
    caps: Array
    best: Array
    proposals: Array
    full: Surface
    resampled: Callable[[int, Array], Array]
    mixtures: Array
    errors: Array


def swarm(kind: str, law_name: str, size: tuple[int, int, float], random: np.random.Generator) -> Swarm:
    """Runs with noise, a law fitted to them and to their resamples, and its errors."""
    sources, number, noise = size
    names = tuple(f"source {at}" for at in range(sources))
    natural = np.sort(random.dirichlet(np.full(sources, 3.0)))[::-1]
    natural = np.maximum(natural, 0.02) / np.maximum(natural, 0.02).sum()
    caps = np.minimum(1.0, 4 * natural)
    surface = planted(kind, natural, random)
    fixed = np.stack(list(design.anchors(natural, caps).values()))
    seeds = design.anchor_seeds(number)
    seed = int(random.integers(2**31))
    others = design.swarm(natural, caps, number - 2 * seeds, seed, fixed)
    x = np.concatenate([np.repeat(fixed, seeds, 0), others])
    group = np.concatenate([np.repeat([0, 1], seeds), 2 + np.arange(len(others))])
    runs = Runs(Settings(names, x), surface(x) + random.normal(0, noise, len(x)), group)
    law: Law = DataMixingLaws(restarts=12) if law_name == "exponential" else OptimalMixtures(one_pass=tuple(natural))
    fitted = law.fit(runs)
    many = law.refit(runs, resamples(runs, CLAIM.settings["resamples"], seed), fitted)
    question = Question(names, np.ones(1), Bounds(natural, caps), Settings((), np.empty((1, 0))))
    return Swarm(
        surface,
        natural,
        caps,
        question.best(law, [[fitted]])[0],
        question.best(law, [many]),
        lambda at: question.value([[fitted]], 0, at),
        lambda b, at: question.value([many], b, at),
        *caution.left_out(law, [runs], np.ones(1), 0),
    )


def possible(one: Swarm) -> float:
    """The largest gain within the caps, by descent on the planted loss from many starts."""

    def objective(x: Array) -> tuple[Array, Array]:
        here = one.surface(x)
        moved = [(one.surface(x + 1e-6 * row) - here) / 1e-6 for row in np.eye(len(one.natural))]
        return here, np.stack(moved, axis=1)

    begin = np.concatenate([one.natural[None], one.best[None], one.mixtures[:10]])
    _, reached = descend(objective, Bounds(one.natural, one.caps), np.maximum(begin, 1e-6), 300)
    return float(one.surface(one.natural[None])[0] - reached.min())


def other_rules(one: Swarm) -> dict[str, Array]:
    """What the rules that this one is compared with propose, all on the way to the law's optimum."""
    ts = np.linspace(0.0, 1.0, caution.STEPS + 1)[:, None]

    def way(value: Surface, to: Array) -> Array:
        found = value(one.natural + ts * (to - one.natural))
        return found - found[0]

    predicted = way(one.full, one.best)
    over = []
    for b, to in enumerate(one.proposals):
        own: Surface = partial(one.resampled, b)
        over.append(way(one.full, to) - way(own, to))
    worst = np.stack(over)
    far = caution.distance(one.mixtures, one.natural)
    each = (one.errors / far**caution.ROUGH)[np.isfinite(one.errors)]
    moved = ts[:, 0] * float(caution.distance(one.best, one.natural))
    added = [
        np.nanquantile(np.add.outer(a, each * d**caution.ROUGH), 0.95) for a, d in zip(worst.T, moved, strict=True)
    ]
    found = {BOLD: one.best, BAGGED: one.proposals.mean(0)}
    for name, bound in ((ADDED, predicted + added), (ALONE, predicted + np.nanquantile(worst, 0.95, axis=0))):
        bound[0] = 0.0
        found[name] = one.natural + ts[int(np.argmin(bound))] * (one.best - one.natural)
    return found


def trial(seed: int) -> Measured:
    """All arms, over swarms of all families."""
    worse: dict[str, list[bool]] = {arm: [] for arm in ARMS}
    moved: dict[str, list[bool]] = {arm: [] for arm in ARMS}
    gained, most = dict.fromkeys(ARMS, 0.0), 0.0
    for family, (kind, law) in enumerate(FAMILIES):
        for at, size in enumerate(SWARMS):
            one = swarm(kind, law, size, np.random.default_rng([seed, family, at]))
            step = caution.cautious(one.natural, one.proposals, one.full, one.resampled, one.mixtures, one.errors)
            proposed = {OURS: one.natural + step.t * (step.toward - one.natural), **other_rules(one)}
            most += possible(one)
            for arm, mixture in proposed.items():
                gain = float((one.surface(one.natural[None]) - one.surface(mixture[None]))[0])
                worse[arm].append(gain < -1e-6)
                moved[arm].append(bool(np.abs(mixture - one.natural).max() > 1e-9))
                gained[arm] += gain
    return {
        arm: {WORSE: float(np.mean(worse[arm])), KEPT: gained[arm] / most, MOVED: float(np.mean(moved[arm]))}
        for arm in ARMS
    }


def judge(found: Found) -> str:
    """By the rule above."""
    seldom, more = found.of(WORSE, OURS).mean <= 0.05, found.of(KEPT, OURS, ADDED).above
    return "reproduced" if seldom and more else "direction only" if seldom or more else "not reproduced"
