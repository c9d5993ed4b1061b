"""How often 90 % intervals of mixing laws cover the truth: planted swarms, many of them.

    python -m bench.mixing [--simulations 200] [--json FILE]

Each simulation draws a swarm of runs from three planted data mixing laws with noise, fits, and asks whether the
intervals hold the planted best shares, the planted loss there, and the planted gain over the natural mixture. Counts
over 200 simulations have a standard error of 2 %.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvee.core import Runs, Settings
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.judge import interval, resamples
from cuvee.law.propose import Bounds, Question, descend

Floats = npt.NDArray[np.float64]
NAMES = ("books", "code", "web")
FLOOR, SCALE = np.array([2.0, 1.2, 1.6]), np.array([1.0, 1.5, 0.8])
TILT = np.array([[-1.8, -0.3, -0.6], [-0.2, -2.0, -0.5], [-0.4, -0.2, -2.2]])
WEIGHT = np.full(3, 1 / 3)
PRIOR = np.array([0.5, 0.3, 0.2])
CASES = ((20, 1, 0.01), (24, 2, 0.01), (40, 1, 0.02))
"""Mixtures, seeds of each, and the standard deviation of noise."""
RESAMPLES = 200
NOWHERE = Settings((), np.empty((1, 0)))


def losses(mixture: Floats) -> Floats:
    """Planted losses: (n, 3)."""
    return FLOOR + SCALE * np.exp(mixture @ TILT.T)


def truth(mixture: Floats) -> tuple[Floats, Floats]:
    """Their weighted sum, and its slope."""
    parts = losses(mixture) - FLOOR
    return losses(mixture) @ WEIGHT, (parts * WEIGHT) @ TILT


def simulate(seed: int, mixtures: int, seeds: int, noise: float) -> dict[str, Any]:
    """One swarm: whether each interval covers, and the proposal's regret."""
    random = np.random.default_rng(seed)
    bounds = Bounds(PRIOR, np.ones(3))
    best = descend(truth, bounds, np.full((1, 3), 1 / 3))[0]
    x = np.repeat(random.dirichlet(5 * PRIOR, mixtures), seeds, 0)
    group = np.repeat(np.arange(mixtures), seeds)
    noisy = losses(x) + random.normal(0, noise, (len(x), 3))
    law, full, many = DataMixingLaws(), [], []
    for outcome in range(3):
        runs = Runs(Settings(NAMES, x), noisy[:, outcome], group)
        full.append([law.fit(runs)])
        many.append(law.refit(runs, resamples(runs, RESAMPLES, seed), full[-1][0]))
    question = Question(NAMES, WEIGHT, bounds, NOWHERE, seed=seed)
    proposals = question.best(law, many)
    proposed = question.best(law, full)
    covers = []
    for at in range(3):
        low, high = interval(proposals[:, at])
        covers.append(bool(low <= best[0, at] <= high))
    points = np.stack([best[0], PRIOR])
    each = np.stack([question.value(many, b, points) for b in range(RESAMPLES)])
    exact = truth(points)[0]
    low, high = interval(each[:, 0])
    gain_low, gain_high = interval(each[:, 1] - each[:, 0])
    return {
        "weights": covers,
        "loss": bool(low <= exact[0] <= high),
        "gain": bool(gain_low <= exact[1] - exact[0] <= gain_high),
        "regret": float(truth(proposed)[0][0] - exact[0]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for mixtures, seeds, noise in CASES:
        begun = time.monotonic()
        found = [simulate(seed, mixtures, seeds, noise) for seed in range(asked.simulations)]
        row = {
            "mixtures": mixtures,
            "seeds": seeds,
            "noise": noise,
            "simulations": len(found),
            "weights": np.mean([one["weights"] for one in found], 0).tolist(),
            "loss": float(np.mean([one["loss"] for one in found])),
            "gain": float(np.mean([one["gain"] for one in found])),
            "median_regret": float(np.median([one["regret"] for one in found])),
            "seconds": round(time.monotonic() - begun, 1),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
