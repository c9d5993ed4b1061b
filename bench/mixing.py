"""How often 90 % intervals of mixing laws cover the truth: planted swarms, many of them, for every law that proposes.

    python -m bench.mixing [--laws olmix,bimix] [--simulations 200] [--json FILE] [--truth Line] [--workers 2]

For each law, losses of its own form are planted for three outcomes of three sources, whose mean has its least inside
the simplex. Each simulation draws a swarm of runs with noise, fits, and asks whether the intervals hold the planted
best shares, the planted loss there, and the gain over the natural mixture: those of ``cuvee mix fit`` (which widens the
latter two where RegMix's trees say something else than the surfaces that its intervals are of). RegMix and Gaussian
processes have no formula: their truth is that of ``data_mixing_laws``; for RegMix also that of ``optimal_mixtures``,
and for processes also surfaces that a process draws, new ones in each simulation. RegMix is also
tried as a line, on a line, where best shares are the mean of the best draws, which is what it proposes. Counts over 200
simulations have a standard error of 2 %. Resamples are as many as ``cuvee mix fit`` draws, or fewer where the law says
so.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cuvee.core import Card, Law, Prediction, Runs, Settings
from cuvee.law.autoscale import Autoscale
from cuvee.law.bimix import Bimix
from cuvee.law.curve import Curve, CurveLaw, Numbers
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.gaussian_process import GaussianProcess
from cuvee.law.implicit_domains import ImplicitDomains
from cuvee.law.judge import interval, resamples, together
from cuvee.law.nested_mixing import NestedMixing
from cuvee.law.olmix import Olmix
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.law.posterior import FEATURES, Draw, lowest
from cuvee.law.propose import Bounds, Question
from cuvee.law.regmix import RegMix
from cuvee.law.table import groups_of

Floats = npt.NDArray[np.float64]
NAMES = ("books", "code", "web")
FLOOR, SCALE = np.array([2.0, 1.2, 1.6]), np.array([1.0, 1.5, 0.8])
TILT = np.array([[-1.8, -0.3, -0.6], [-0.2, -2.0, -0.5], [-0.4, -0.2, -2.2]])
WEIGHT = np.full(3, 1 / 3)
PRIOR = np.array([0.5, 0.3, 0.2])
ROUNDING = 1e-6
"""Shares that descent takes to 0 end near it."""
NOWHERE = Settings((), np.empty((1, 0)))
EXPONENTIAL = np.column_stack([np.log(FLOOR), np.log(SCALE), TILT])
WORTH = np.array([[1.0, 0.15, 0.3], [0.1, 0.9, 0.25], [0.2, 0.1, 1.1]])
"""What sources do for outcomes, for laws of powers."""


@dataclass(frozen=True)
class Case:
    """A law, what is planted (one parameter vector an outcome), mixtures, seeds of each, and noise."""

    law: Law
    planted: Floats
    mixtures: int
    seeds: int
    noise: float
    resamples: int = 200
    form: CurveLaw | None = None
    """Of the truth, where it is not the law's."""
    drawn: bool = False
    """Whether every simulation draws surfaces of its own from a Gaussian process, whatever is planted."""


class Line(CurveLaw):
    """A truth without curvature: a level and a slope for each share; nothing is fitted by it."""

    card: ClassVar[Card] = Card("A planted line.", "law", ("mixture",), "none", "", gives=("loss",))

    def numbers(self, sources: int) -> int:
        return sources

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        return np.asarray(theta[:, :1] + theta[:, 1:] @ settings.mixture.T)

    def starts(self, runs: Runs) -> Floats:
        return np.zeros((1, 1 + len(runs.settings.sources)))

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return {}


OLMIX = np.column_stack([np.log(FLOOR), TILT + np.log(SCALE)[:, None]])
IMPLICIT = np.column_stack([np.log(FLOOR), *(tilt + np.log(0.6 * SCALE)[:, None] for tilt in (TILT, 1.8 * TILT.T))])
POWERS = np.column_stack([np.log(FLOOR), np.log(WORTH) + 1.2, np.full((3, 3), np.log(0.5))])
BIMIX = np.column_stack([np.log(np.full((3, 3), 0.8)), np.log(0.3 * WORTH)])
LINES = np.column_stack([FLOOR + SCALE, 0.5 * TILT])
AUTOSCALE = np.column_stack([np.log(FLOOR), np.full((3, 3), np.log(0.05)), np.log(0.02 + 0.06 * WORTH)])
CASES = {
    "data_mixing_laws": [
        Case(DataMixingLaws(), EXPONENTIAL, 20, 1, 0.01),
        Case(DataMixingLaws(), EXPONENTIAL, 24, 2, 0.01),
        Case(DataMixingLaws(), EXPONENTIAL, 40, 1, 0.02),
    ],
    "olmix": [Case(Olmix(), OLMIX, 40, 1, 0.01)],
    "optimal_mixtures": [Case(OptimalMixtures(), POWERS, 40, 1, 0.005)],
    "bimix": [Case(Bimix(), BIMIX, 40, 1, 0.005)],
    "autoscale": [Case(Autoscale(), AUTOSCALE, 40, 1, 0.005, 100)],
    "nested_mixing": [Case(NestedMixing(), EXPONENTIAL, 24, 1, 0.003, 40, DataMixingLaws())],
    "implicit_domains": [Case(ImplicitDomains(), IMPLICIT, 60, 1, 0.01)],
    "gaussian_process": [
        Case(GaussianProcess(), EXPONENTIAL, 40, 1, 0.01, 40, DataMixingLaws()),
        Case(GaussianProcess(), EXPONENTIAL, 40, 1, 0.02, 40, drawn=True),
    ],
    "regmix": [
        Case(RegMix(), EXPONENTIAL, 120, 1, 0.01, 40, DataMixingLaws()),
        Case(RegMix(), POWERS, 120, 1, 0.01, 40, OptimalMixtures()),
    ],
    "regmix:model=linear": [
        Case(RegMix("linear"), EXPONENTIAL, 40, 1, 0.01, 40, DataMixingLaws()),
        Case(RegMix("linear"), LINES, 40, 1, 0.02, 40, Line()),
    ],
}
TOKENS, SIZES = (1e9, 2e9, 4e9), (1e8, 2e8, 4e8)


def short(tokens: Floats, size: Floats) -> Floats:
    """What a short run of a small model loses beside the largest one measured, for ``nested_mixing``."""
    return np.asarray((1e7 / size) ** 0.4 + (1e8 / tokens) ** 0.5)


def process(random: np.random.Generator) -> Draw:
    """A surface of a Gaussian process without runs: of standard deviation 0.2 about 2, with l = 0.5."""
    wave = random.normal(size=(FEATURES, 3)) / 0.5
    shift, weight = random.uniform(0, 2 * np.pi, FEATURES), random.normal(size=FEATURES)
    height = float(np.sqrt(2 / FEATURES))
    return Draw(0.5, height, np.empty((0, 3)), np.empty(0), wave, shift, weight, 2.0, 0.2, {})


def swarm(case: Case, x: Floats, clean: Floats, noise: Floats) -> tuple[Settings, Floats]:
    """Runs as the law asks for them, and their outcomes: float64, (n, 3)."""
    if "tokens" not in case.law.card.needs:
        return Settings(NAMES, x), clean + noise[: len(x)]
    rows = [(place, tokens, size) for place in range(len(x)) for tokens in TOKENS for size in SIZES]
    at, tokens, size = (np.array(column) for column in zip(*rows, strict=True))
    settings = Settings(NAMES, x[at], {"tokens": tokens, "parameters": size})
    return settings, clean[at] + short(tokens, size)[:, None] + noise[: len(at)]


def planted_by(case: Case, random: np.random.Generator) -> tuple[Law, list[list[Prediction]]]:
    """The truth's form, and the truth of each outcome."""
    if case.drawn:
        return case.law, [[process(random)] for _ in range(3)]
    form = case.form or case.law
    assert isinstance(form, CurveLaw)
    return form, [[Curve(form, theta, 0.0)] for theta in case.planted]


def simulate(seed: int, case: Case) -> dict[str, Any]:
    """One swarm: whether each interval covers, and the proposal's regret."""
    random = np.random.default_rng(seed)
    form, planted = planted_by(case, random)
    kl = float(getattr(case.law, "kl", 0.0))
    question = Question(NAMES, WEIGHT, Bounds(PRIOR, np.ones(3), kl), NOWHERE, seed=seed)
    x = np.repeat(random.dirichlet(5 * PRIOR, case.mixtures), case.seeds, 0)
    clean = np.column_stack([one[0].at(Settings(NAMES, x)) for one in planted])
    noise = random.normal(0, case.noise, (9 * len(x), 3))
    settings, noisy = swarm(case, x, clean, noise)
    more = short(np.array(max(TOKENS)), np.array(max(SIZES))) if settings.values else 0.0
    law, full, many = case.law, [], []
    for outcome in range(3):
        runs = Runs(settings, noisy[:, outcome], groups_of(settings))
        full.append([law.fit(runs)])
        counts = resamples(together(runs, law.drawn), case.resamples, seed)
        many.append(law.refit(runs, counts, full[-1][0]))
    drawn = many[0][0].posterior
    proposals, proposed = lowest(question, many) if drawn else question.best(law, many), question.best(law, full)
    best = question.best(law if law.simulated and not drawn else form, planted)
    covers = []
    for at in range(3):
        low, high = interval(proposals[:, at])
        covers.append(bool(low - ROUNDING <= best[0, at] <= high + ROUNDING))
    points = np.stack([best[0], PRIOR])
    each = np.stack([question.value(many, b, points) for b in range(case.resamples)])
    exact = question.value(planted, 0, points) + more
    low, high = interval(each[:, 0])
    gain_low, gain_high = interval(each[:, 1] - each[:, 0])
    return {
        "weights": covers,
        "loss": bool(low <= exact[0] <= high),
        "gain": bool(gain_low <= exact[1] - exact[0] <= gain_high),
        "regret": float(question.value(planted, 0, proposed)[0] + more - exact[0]),
        "best": best[0].tolist(),
    }


def simulations(case: Case, count: int, workers: int) -> list[dict[str, Any]]:
    """So many of them, in order of their seeds; how far they are is told every 20."""
    found = []
    with ProcessPoolExecutor(workers) as pool:
        for one in pool.map(partial(simulate, case=case), range(count)):
            found.append(one)
            if len(found) % 20 == 0:
                held = np.mean([[*one["weights"], one["loss"], one["gain"]] for one in found], 0)
                print(f"{len(found)} of {count}: {held.round(3).tolist()}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", default=",".join(CASES))
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--workers", type=int, default=1, help="processes [1]")
    parser.add_argument("--truth", help="only cases whose truth has this class's form")
    asked = parser.parse_args()
    rows = []
    for name in asked.laws.split(","):
        for case in CASES[name]:
            truth = "Process" if case.drawn else type(case.form or case.law).__name__
            if asked.truth not in (None, truth):
                continue
            begun = sum(os.times()[:4])
            found = simulations(case, asked.simulations, asked.workers)
            row = {
                "law": name,
                "mixtures": case.mixtures,
                "seeds": case.seeds,
                "noise": case.noise,
                "truth": truth,
                "resamples": case.resamples,
                "simulations": len(found),
                "weights": np.mean([one["weights"] for one in found], 0).round(4).tolist(),
                "loss": float(np.mean([one["loss"] for one in found])),
                "gain": float(np.mean([one["gain"] for one in found])),
                "median_regret": float(np.median([one["regret"] for one in found])),
                "best": np.round(found[0]["best"], 3).tolist(),
                "cpu_seconds": round(sum(os.times()[:4]) - begun, 1),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
            if asked.json:
                known = json.loads(asked.json.read_text()) if asked.json.exists() else []
                key = ("law", "mixtures", "seeds", "noise", "truth")
                known = [one for one in known if any(one.get(part) != row[part] for part in key)]
                asked.json.write_text(json.dumps([*known, row], indent=1) + "\n")


if __name__ == "__main__":
    main()
