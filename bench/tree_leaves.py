"""What leaves RegMix's trees need: errors on planted surfaces by the fewest runs in a leaf, and by the number of runs.

    python -m bench.tree_leaves [--json FILE]

Losses are 2 + exp(a linear function of the shares) / 2, with slopes drawn anew in each of six swarms of 3, 6 and 12
sources, and noise of 10, 30 and 70 % of the spread of the losses. Errors are mean absolute ones on 400 mixtures that
were not run, in units of that spread.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cuvee.core import Runs, Settings
from cuvee.law.regmix import RegMix
from cuvee.law.table import groups_of

LEAVES = (3, 5, 8, 12, 20)
SWARMS = 6


def errors(sources: int, runs: int, noise: float, swarm: int) -> list[float]:
    """The error of each of ``LEAVES``."""
    random = np.random.default_rng([swarm, sources, runs])
    prior = random.dirichlet(np.full(sources, 3.0))
    slope = 2 * random.normal(size=sources)
    names = tuple(f"source {at}" for at in range(sources))
    fitted, asked = (Settings(names, random.dirichlet(5 * prior + 0.05, count)) for count in (runs, 400))
    clean, truth = (2 + 0.5 * np.exp(one.mixture @ slope) for one in (fitted, asked))
    spread = float(clean.std())
    outcome = clean + random.normal(0, noise * spread, runs)
    made = Runs(fitted, outcome, groups_of(fitted))
    return [float(np.abs(RegMix(leaf=leaf).fit(made).at(asked) - truth).mean()) / spread for leaf in LEAVES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    for noise in (0.1, 0.3, 0.7):
        for sources in (3, 6, 12):
            for runs in (40, 64, 120, 250):
                found = np.mean([errors(sources, runs, noise, swarm) for swarm in range(SWARMS)], axis=0)
                told = {str(leaf): round(float(one), 3) for leaf, one in zip(LEAVES, found, strict=True)}
                rows.append({"noise": noise, "sources": sources, "runs": runs, "errors": told})
                print(json.dumps(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
