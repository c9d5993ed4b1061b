"""How far laws of mixtures miss planted losses, by what is planted and how many runs there are.

    python -m bench.law_errors [--seeds 10] [--json bench/results/law_errors.json]

Losses of six sources are planted as in ``claims/caution.py`` (exponentials of the shares, powers of them that fade with
repetition, the same with bumps of no law's form) and as a sum of three exponentials, the validation set of implicit
domains. Swarms are those of ``cuvee mix search``, noise has a standard deviation of 0.005. Errors are mean absolute
differences to the planted loss over 300 fresh mixtures of the same design, in hundredths of the losses' own mean
absolute deviation there: 100 is what a law that knows the mean alone would miss.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from claims.caution import planted
from cuvee.core import Law, Runs, Settings
from cuvee.law.baselines import Baseline
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.gaussian_process import GaussianProcess
from cuvee.law.implicit_domains import ImplicitDomains
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.search import design

Floats = npt.NDArray[np.float64]
NAMES = tuple("abcdef")
KINDS = ("exponential", "implicit", "powers", "rough")
RUNS = (24, 64, 128)
NOISE = 0.005
LAWS: dict[str, Callable[[Floats], Law]] = {
    "linear": lambda natural: Baseline("linear"),
    "data_mixing_laws": lambda natural: DataMixingLaws(),
    "implicit_domains:domains=2": lambda natural: ImplicitDomains(2),
    "implicit_domains:domains=3": lambda natural: ImplicitDomains(3),
    "implicit_domains:boosts=30": lambda natural: ImplicitDomains(boosts=30),
    "optimal_mixtures": lambda natural: OptimalMixtures(one_pass=tuple(natural.tolist())),
    "gaussian_process": lambda natural: GaussianProcess(),
}


def surface(kind: str, natural: Floats, random: np.random.Generator) -> Callable[[Floats], Floats]:
    """A planted loss of mixtures, (n, k) to (n,)."""
    if kind != "implicit":
        return planted(kind, natural, random)
    tilt, level = -random.uniform(0, 6.0, (3, len(natural))), random.uniform(0.05, 0.3, 3)
    return lambda x: np.asarray(1.5 + np.exp(x @ tilt.T) @ level)


def errors(kind: str, runs: int, seed: int) -> dict[str, float | None]:
    """Each law's error in hundredths; None where there are too few runs for its numbers."""
    random = np.random.default_rng([seed, KINDS.index(kind), runs])
    natural = np.maximum(random.dirichlet(np.full(len(NAMES), 3.0)), 0.02)
    natural = natural / natural.sum()
    caps = np.minimum(1.0, 4 * natural)
    truth = surface(kind, natural, random)
    x = design.swarm(natural, caps, runs, seed, np.empty((0, len(NAMES))))
    fresh = Settings(NAMES, design.swarm(natural, caps, 300, seed + 1_000, x))
    told = Runs(Settings(NAMES, x), truth(x) + random.normal(0, NOISE, len(x)), np.arange(len(x)))
    clean = truth(fresh.mixture)
    usual = float(np.abs(clean - clean.mean()).mean())
    found: dict[str, float | None] = {}
    for name, make in LAWS.items():
        law = make(natural)
        enough = law.numbers(len(NAMES)) < len(x)
        found[name] = 100 * float(np.abs(law.fit(told).at(fresh) - clean).mean()) / usual if enough else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    begun = time.process_time()
    for kind in KINDS:
        for runs in RUNS:
            found = [errors(kind, runs, seed) for seed in range(asked.seeds)]
            row: dict[str, Any] = {"planted": kind, "runs": runs, "seeds": asked.seeds, "noise": NOISE}
            for name in LAWS:
                each = [one[name] for one in found]
                known = np.array([one for one in each if one is not None])
                row[name] = [round(float(np.median(known)), 1), round(float(known.max()), 1)] if len(known) else None
            rows.append(row)
            print(json.dumps(row), flush=True)
    if asked.json:
        told = {"cpu_seconds": round(time.process_time() - begun, 1), "median_and_worst": rows}
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
