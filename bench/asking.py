"""How often 90 % intervals of answers to ``cuvee mix fit --at`` cover the truth: planted tables, many of them.

    python -m bench.asking [--cases "ood_scaling;fine_line"] [--simulations 200] [--json FILE]

For each case, outcomes of the law's own form are planted, with noise. Each simulation fits, draws as many resamples as
``cuvee mix fit`` does, and asks whether its intervals hold the planted values; for ``ood_scaling`` also whether the
95 % interval that it reports holds the planted difference of exponents. Counts over 200 simulations have a standard
error of 2 %. Laws that propose mixtures are measured by ``bench.mixing``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvee.core import Law, Runs, Settings
from cuvee.fitting import FEW_RESAMPLES
from cuvee.law.distillation import Distillation, Student
from cuvee.law.distilled import supervised
from cuvee.law.fine_line import FineLine
from cuvee.law.judge import interval, resamples, together
from cuvee.law.ood_scaling import OodScaling, TwoPowers
from cuvee.law.table import groups_of

Floats = npt.NDArray[np.float64]


def settings(**columns: Any) -> Settings:
    values = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    return Settings((), np.empty((len(next(iter(values.values()))), 0)), values)


def runs_of(asked: Settings, outcome: Floats) -> Runs:
    return Runs(asked, outcome, groups_of(asked))


@dataclass(frozen=True)
class Planted:
    """Runs, the questions, and the true answers, float64, (questions,)."""

    runs: Runs
    asked: Settings
    truth: Floats


@dataclass(frozen=True)
class Case:
    """A law and how its tables are planted; ``questions`` names what is asked, in order."""

    law: Law
    plant: Callable[[np.random.Generator], Planted]
    questions: tuple[str, ...]


ALPHA_INSIDE, ALPHA_OUTSIDE = 0.12, 0.08


def powers(count: int, noise: float, floor: float) -> Callable[[np.random.Generator], Planted]:
    """Runs of ``count`` sizes over three decades; both losses share half of their noise's variance."""

    def plant(random: np.random.Generator) -> Planted:
        size = np.geomspace(1e6, 1e9, count)
        shared, own, other = random.normal(0, noise * np.sqrt(0.5), (3, count))

        def loss(alpha: float, at: Any) -> Any:
            return floor + (1e12 / at) ** alpha

        inside = loss(ALPHA_INSIDE, size) * np.exp(shared + own)
        asked = np.array([1e8, 1e9, 8e9])
        known = settings(size=size, loss_inside=inside)
        outside = loss(ALPHA_OUTSIDE, size) * np.exp(shared + other)
        question = settings(size=asked, loss_inside=np.ones(3))
        return Planted(runs_of(known, outside), question, loss(ALPHA_OUTSIDE, asked))

    return plant


def checkpoints(noise: float, seen: float) -> Callable[[np.random.Generator], Planted]:
    """A small model's 30 checkpoints, and those of a large one up to a share of its tokens; the end is asked about."""

    def plant(random: np.random.Generator) -> Planted:
        tokens = np.linspace(1e9, 3e10, 30)
        curve = 1 / (1 + np.exp(-(tokens / 3e10 - 0.4) / 0.2))
        known = tokens <= seen * 3e10
        asked = settings(
            parameters=np.concatenate([np.full(30, 1e7), np.full(int(known.sum()), 1e8)]),
            tokens=np.concatenate([tokens, tokens[known]]),
        )
        clean = np.concatenate([0.25 + 0.3 * curve, (0.2 + 0.5 * curve)[known]])
        value = clean + random.normal(0, noise, len(clean))
        question = settings(parameters=[1e8, 1e8], tokens=[2e10, 3e10])
        return Planted(runs_of(asked, value), question, 0.2 + 0.5 * curve[[19, 29]])

    return plant


ALONE = np.array([np.log(1.5), np.log(3e3) / 0.4, np.log(1.2e4) / 0.42, np.log(0.4), np.log(0.42), np.log(0.5)])
TAUGHT = np.array(
    [1.2, np.log(8), np.log(1.1), np.log(0.12), np.log(400) / 0.33, np.log(4e3) / 0.5, *np.log([0.33, 0.5, 0.7])]
)


def students(noise: float) -> Callable[[np.random.Generator], Planted]:
    """Four sizes, four token counts and four teachers, and supervised runs of all sizes at five token counts."""

    def plant(random: np.random.Generator) -> Planted:
        sizes, tokens = (1e8, 3e8, 1e9, 3e9), (2e9, 8e9, 3e10, 1e11)
        teachers = [(n, d) for n, d in ((3e8, 2e10), (1e9, 4e10), (3e9, 1e11), (8e9, 2e11))]
        losses = [float(supervised(ALONE[None], np.array([n]), np.array([d]))[0, 0]) for n, d in teachers]
        rows = [(n, d, 0.0, 0.0, 0.0) for n in sizes for d in (*tokens, 4e11)]
        rows += [(n, d, loss, *of) for n in sizes for d in tokens for loss, of in zip(losses, teachers, strict=True)]
        names = ("parameters", "tokens", "teacher_loss", "teacher_parameters", "teacher_tokens")
        known = settings(**dict(zip(names, np.array(rows).T, strict=True)))
        true = Student(ALONE, TAUGHT, {})
        loss = true.at(known) * np.exp(random.normal(0, noise, len(known)))
        asked = np.array([(5e8, 1.5e10, losses[1], 1e9, 4e10), (1e9, 4e11, losses[2], 3e9, 1e11)])
        question = settings(**dict(zip(names, asked.T, strict=True)))
        return Planted(runs_of(known, loss), question, true.at(question))

    return plant


SIZES = ("within", "at the largest size", "at 8 times that")
CASES = {
    "ood_scaling": Case(OodScaling(), powers(12, 0.01, 0.0), SIZES),
    "ood_scaling, 6 runs": Case(OodScaling(), powers(6, 0.01, 0.0), SIZES),
    "ood_scaling:floor=true": Case(OodScaling(floor=True), powers(16, 0.003, 1.0), SIZES),
    "fine_line": Case(FineLine(), checkpoints(0.005, 1 / 3), ("at two thirds", "at the end")),
    "distillation": Case(Distillation(), students(0.003), ("between runs", "at 4 times the tokens")),
}


def simulate(seed: int, case: Case) -> dict[str, bool]:
    """Whether each interval covers, by the question's name."""
    planted = case.plant(np.random.default_rng(seed))
    runs, law = planted.runs, case.law
    full = law.fit(runs)
    many = law.refit(runs, resamples(together(runs, law.drawn), FEW_RESAMPLES, seed), full)
    each = np.stack([one.at(planted.asked) for one in many])
    found = {}
    for at, name in enumerate(case.questions):
        low, high = interval(each[:, at])
        found[name] = bool(low <= planted.truth[at] <= high)
    if isinstance(law, OodScaling):
        assert isinstance(full, TwoPowers)
        low, high = law.between(runs, full)
        found["difference of exponents, 95 %"] = bool(low <= ALPHA_INSIDE - ALPHA_OUTSIDE <= high)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=";".join(CASES), help="by name, with semicolons between")
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    for name in asked.cases.split(";"):
        begun = time.process_time()
        found = [simulate(seed, CASES[name]) for seed in range(asked.simulations)]
        row = {
            "case": name,
            "simulations": len(found),
            "resamples": FEW_RESAMPLES,
            "covered": {key: float(np.mean([one[key] for one in found])) for key in found[0]},
            "cpu_seconds": round(time.process_time() - begun, 1),
        }
        print(json.dumps(row), flush=True)
        if asked.json:
            known = json.loads(asked.json.read_text()) if asked.json.exists() else []
            asked.json.write_text(json.dumps([*(one for one in known if one["case"] != name), row], indent=1) + "\n")


if __name__ == "__main__":
    main()
