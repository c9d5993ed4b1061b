"""CPU time of one fit of every law, on a table as people have them.

    OPENBLAS_NUM_THREADS=1 python -m bench.law_costs [--laws olmix,d_cpt] [--json bench/results/law_costs.json]

Laws of mixtures get 64 runs of six sources (128 for ``implicit_domains``, which needs them, and 512 for ``regmix``, as
its paper has) whose losses fall by exponentials of the shares; laws of sizes a grid of sizes, and losses of their own
form with 0.3 % noise. Told are the median of three fits, and what a resample costs beside: of 40 that are fitted at
once from the first fit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cuvee.core import Law, Runs, Settings
from cuvee.engine.plan import make
from cuvee.law.curve import CurveLaw, Floats
from cuvee.law.judge import resamples, together
from cuvee.law.table import groups_of
from cuvee.registry import find, found_in

from .asking import checkpoints, students

SOURCES = tuple("abcdef")
NOISE, REPEATS, RESAMPLES = 3e-3, 3, 40
GRIDS: Mapping[str, Mapping[str, Any]] = {
    "cross_domain_d_cpt": {
        "parameters": (1e8, 3e8, 1e9), "tokens": (1e9, 4e9, 1.6e10), "share": (0.1, 0.3, 0.5, 0.9),
        "early_loss": (1.8, 2.2, 2.6, 3.0),
    },
    "d_cpt": {
        "parameters": (1e8, 3e8, 1e9, 3e9), "tokens": (1e9, 2e9, 4e9, 8e9, 1.6e10), "share": (0.1, 0.2, 0.3, 0.5, 0.9),
    },
    "downstream_log": {"tokens": np.geomspace(1e8, 1e11, 12)},
    "effective_tokens": {
        "parameters": (3e7, 1e8, 5e8, 1.5e9), "tokens": (1e9, 4e9, 1.6e10), "diversity": (0.3, 0.4, 0.5, 0.6),
        "syntheticity": (0.02, 0.05, 0.1),
    },
    "joint_scaling": {"parameters": np.geomspace(1e7, 3e9, 6), "tokens": np.geomspace(1e9, 1e11, 6)},
    "loss_to_loss": {"loss_a": np.linspace(2.0, 4.0, 30)},
    "noise_price": {"clean": (1e3, 3e3, 1e4, 3e4, 1e5), "noisy": (0.0, 1e3, 1e4, 1e5, 1e6)},
    "ood_scaling": {"size": np.geomspace(1e6, 1e9, 12)},
    "piecewise_power_law": {"samples": np.geomspace(1e2, 1e5, 12)},
    "value_of_ood": {"target": (50.0,), "other": (0.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)},
}  # fmt: skip


def usual(name: str, law: Law, random: np.random.Generator) -> Runs:
    """A table of the law's columns, with losses that it can learn."""
    if name == "distillation":
        return students(NOISE)(random).runs
    if name == "fine_line":
        return checkpoints(NOISE, 1 / 2)(random).runs
    if name == "clustering_on_difficulty":
        return _items(random)
    if name in GRIDS:
        grid = np.array(list(itertools.product(*GRIDS[name].values()))).T
        values = dict(zip(GRIDS[name], grid, strict=True))
        if name == "cross_domain_d_cpt":
            values["early_decline"] = 0.1 * (values["early_loss"] - 1.5)
        if name == "ood_scaling":
            values["loss_inside"] = (1e12 / values["size"]) ** 0.12
        settings = Settings((), np.empty((grid.shape[1], 0)), values)
        return _runs(settings, _own(law, settings), random)
    rows = {"implicit_domains": 128, "regmix": 512}.get(name, 64)
    mixture = random.dirichlet(np.full(len(SOURCES), 2.0), rows)
    columns: dict[str, Floats] = {}
    if name == "nested_mixing":
        sizes = np.array(list(itertools.product((1e8, 2e8, 4e8), (1e9, 2e9, 4e9)))).T
        mixture = np.repeat(mixture[:24], 9, 0)
        columns = dict(zip(("parameters", "tokens"), np.tile(sizes, 24), strict=True))
    if name == "data_filtering":
        mixture = np.vstack([np.repeat(np.eye(len(SOURCES)), 10, 0), np.repeat(mixture[:4], 10, 0)])
        columns = {"samples": np.tile(np.geomspace(2e6, 6.4e7, 10), 10), "pass": np.full(100, 8e6)}
    if name == "projektor":
        mixture, columns["samples"] = np.repeat(mixture, 2, 0), np.tile([1e4, 1e5], rows)
        columns["distance"] = random.uniform(0.1, 0.5, 2 * rows)
    settings = Settings(SOURCES, mixture, columns)
    tilt = -random.uniform(0, 3.0, (3, len(SOURCES)))
    loss = 1.5 + np.exp(mixture @ tilt.T).sum(1) / 3
    loss += sum((one.min() / one) ** 0.3 for one in columns.values())
    return _runs(settings, loss, random)


def _own(law: Law, settings: Settings) -> Floats:
    """Outcomes of the law's form, at its first start; of a power law where it is no formula."""
    if isinstance(law, CurveLaw):
        flat = Runs(settings, np.linspace(2.5, 2.0, len(settings)), np.arange(len(settings)))
        return np.asarray(law.value(law.starts(flat)[:1].astype(np.complex128), settings)[0].real)
    return 1.2 * (next(iter(settings.values.values())) / 10.0) ** (-0.1 if "loss_a" not in settings.values else 1.1)


def _items(random: np.random.Generator) -> Runs:
    """Pass rates of 200 items in models of eight sizes."""
    compute = np.geomspace(1e18, 1e20, 8)
    steep = np.where(np.arange(200) % 2, 6.0, 2.5) * np.exp(random.normal(0, 0.05, 200))
    rate = np.exp(-steep[:, None] * (compute / 1e18) ** -0.6 - 0.02)
    values = {"compute": np.tile(compute, 200), "item": np.repeat(np.arange(200.0), 8)}
    settings = Settings((), np.empty((1600, 0)), values)
    return Runs(settings, random.binomial(100, rate).ravel() / 100, groups_of(settings))


def _runs(settings: Settings, outcome: Floats, random: np.random.Generator) -> Runs:
    assert np.isfinite(outcome).all()
    return Runs(settings, outcome * np.exp(random.normal(0, NOISE, len(outcome))), groups_of(settings))


def measured(name: str) -> dict[str, Any]:
    """CPU seconds of a fit, and of a resample's."""
    law: Law = make(find("law", name), {}, name)
    runs = usual(name, law, np.random.default_rng(0))
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        fitted = law.fit(runs)
        seconds.append(time.process_time() - begun)
    begun = time.process_time()
    law.refit(runs, resamples(together(runs, law.drawn), RESAMPLES, 0), fitted)
    each = (time.process_time() - begun) / RESAMPLES
    sources = len(runs.settings.sources)
    told = {"law": name, "runs": len(runs), "sources": sources, "numbers": law.numbers(sources)}
    return {**told, "fit_cpu_seconds": float(f"{np.median(seconds):.2g}"), "resample_cpu_seconds": float(f"{each:.2g}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", default=",".join(found_in("law")))
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", RuntimeWarning)
    rows = []
    for name in asked.laws.split(","):
        rows.append(measured(name))
        print(json.dumps(rows[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
