"""What two options of a search are worth on planted losses: ``--proposer perturbed`` and ``--design cover``.

    python -m bench.search_options perturbed [--seeds 8] [--json bench/results/search_options.json]
    python -m bench.search_options cover [--seeds 10] [--json ...]
    python -m bench.search_options caution [--seeds 8]

Losses are planted as in ``bench/law_errors.py``, natural shares drawn anew, at most four times the natural share
allowed, noise of 0.005. A proposal's regret is its planted loss above the least that many draws find, in hundredths of
what proportional loses: 0 is the best mixture, 100 proportional. It is cut at 300. The optimum of the law itself is
judged, without caution.

* ``perturbed``: regret of the mean of the best 128 draws, of 20,000 around the natural mixture ("law"), of 30,000 of
  these, and of 20,000 and 10,000 near their best; trees, and lines, fitted to 64 or 256 runs of 6 or 16 sources.
* ``cover``: swarms of the usual design and those that cover the simplex, both with proportional and uniform: errors of
  laws over 300 fresh mixtures, half of the usual design and half uniform on the simplex within the caps, in hundredths
  of what the mean alone would miss; and regret.
* ``caution``: swarms of the claim ``caution`` at other seeds, by both designs: how many proposals are worse than
  proportional, and how much of the possible gain they keep.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import claims.caution as claim
from cuvee.core import Law, Prediction, Runs, Settings
from cuvee.law import caution, perturbed
from cuvee.law.data_mixing_laws import DataMixingLaws
from cuvee.law.gaussian_process import GaussianProcess
from cuvee.law.optimal_mixtures import OptimalMixtures
from cuvee.law.propose import Bounds, Question, mean_of_best, random_mixtures
from cuvee.law.regmix import RegMix
from cuvee.law.rounds import around, within
from cuvee.search import cover, design

from .law_errors import KINDS, NOISE, surface

Floats = npt.NDArray[np.float64]
Surface = Callable[[Floats], Floats]
MOST = 300.0


def planted(kind: str, k: int, runs: int, seed: int) -> tuple[np.random.Generator, Bounds, Surface]:
    """A loss, the natural mixture with its caps, and the generator that drew them."""
    random = np.random.default_rng([seed, KINDS.index(kind), runs, k])
    natural = np.maximum(random.dirichlet(np.full(k, 3.0)), 0.02 if k < 10 else 0.005)
    natural = natural / natural.sum()
    return random, Bounds(natural, np.minimum(1.0, 4 * natural)), surface(kind, natural, random)


def least(truth: Surface, bounds: Bounds, seed: int) -> float:
    """The least planted loss that ever nearer draws find."""
    drawn = random_mixtures(bounds, 20_000, seed + 99)
    best, found = drawn[truth(drawn).argmin()], float(truth(drawn).min())
    random = np.random.default_rng(seed)
    for at in range(8):
        centre = np.maximum(best, 1e-3)
        strength = np.exp(random.uniform(np.log(20 * 3**at), np.log(60 * 3**at), 4_000))
        drawn = within(around(centre / centre.sum(), strength, random), bounds)
        if truth(drawn).min() < found:
            best, found = drawn[truth(drawn).argmin()], float(truth(drawn).min())
    return found


def regret(truth: Surface, bounds: Bounds, seed: int) -> Callable[[Floats], float]:
    """What a mixture loses, in hundredths of what proportional does."""
    low = least(truth, bounds, seed)
    whole = float(truth(bounds.prior[None])[0]) - low
    return lambda mixture: min(MOST, 100 * (float(truth(mixture[None])[0]) - low) / whole)


def question(names: tuple[str, ...], bounds: Bounds, seed: int) -> Question:
    return Question(names, np.ones(1), bounds, Settings((), np.empty((1, 0))), seed=seed)


def near_the_best(seeds: int) -> list[dict[str, Any]]:
    """Rows of the first part."""
    rows: list[dict[str, Any]] = []
    for law in (RegMix(), RegMix("linear")):
        every: dict[str, list[float]] = {}
        for k, kind, runs in ((k, kind, runs) for k in (6, 16) for kind in KINDS for runs in (64, 256)):
            names = tuple(f"s{at}" for at in range(k))
            cell: dict[str, list[float]] = {}
            for seed in range(seeds):
                random, bounds, truth = planted(kind, k, runs, seed)
                x = design.swarm(bounds.prior, bounds.caps, runs, seed, np.empty((0, k)))
                told = Runs(Settings(names, x), truth(x) + random.normal(0, NOISE, len(x)), np.arange(len(x)))
                fits: list[list[Prediction]] = [[law.fit(told)]]
                asked, lost = question(names, bounds, seed), regret(truth, bounds, seed)
                more = random_mixtures(bounds, 3 * asked.draws // 2, seed)
                value = asked.value(fits, 0, more)
                found = {
                    "law": asked.best(law, fits)[0],
                    "more draws": mean_of_best(lambda _, v=value: v, more, asked.top),  # type: ignore[misc]
                    "perturbed": perturbed.best(asked, fits, 0),
                }
                for name, mixture in found.items():
                    cell.setdefault(name, []).append(lost(mixture))
            said = {name: round(float(np.mean(one)), 1) for name, one in cell.items()}
            rows.append({"law": law.model, "sources": k, "planted": kind, "runs": runs, "seeds": seeds, "regret": said})
            print(json.dumps(rows[-1]), flush=True)
            for name, one in cell.items():
                every.setdefault(name, []).extend(one)
        for name in ("more draws", "perturbed"):
            moved = np.array(every[name]) - np.array(every["law"])
            row = {
                "law": law.model,
                "of": len(moved),
                "regret of law": round(float(np.mean(every["law"])), 2),
                f"{name} less law": [
                    round(float(moved.mean()), 2),
                    round(float(1.96 * moved.std() / len(moved) ** 0.5), 2),
                ],
                "better, worse by half a hundredth": [int((moved < -0.5).sum()), int((moved > 0.5).sum())],
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def covering(seeds: int) -> list[dict[str, Any]]:
    """Rows of the second part."""
    rows: list[dict[str, Any]] = []
    for k, runs in ((3, 16), (6, 24), (6, 64), (16, 64)):
        for kind in KINDS:
            names = tuple(f"s{at}" for at in range(k))
            cell: dict[str, list[tuple[float, ...]]] = {}
            for seed in range(seeds):
                random, bounds, truth = planted(kind, k, runs, seed)
                known, lost = (
                    np.stack(list(design.anchors(bounds.prior, bounds.caps).values())),
                    regret(truth, bounds, seed),
                )
                wide = within(random.dirichlet(np.ones(k), 150), bounds)
                usual = design.swarm(bounds.prior, bounds.caps, 150, seed + 1_000, known)
                fresh = Settings(names, np.concatenate([usual, wide]))
                clean, noise = truth(fresh.mixture), random.normal(0, NOISE, runs)
                swarms = {
                    "swarm": design.swarm(bounds.prior, bounds.caps, runs - 2, seed, known),
                    "cover": cover.swarm(bounds.caps, runs - 2, seed, known),
                }
                laws: dict[str, Law] = {
                    "data_mixing_laws": DataMixingLaws(),
                    "optimal_mixtures": OptimalMixtures(one_pass=tuple(bounds.prior.tolist()), shared=k == 16),
                    "gaussian_process": GaussianProcess(),
                }
                for how, mixtures in swarms.items():
                    x = np.concatenate([known, mixtures])
                    told = Runs(Settings(names, x), truth(x) + noise[: len(x)], np.arange(len(x)))
                    for name, law in laws.items():
                        fitted = law.fit(told)
                        missed = np.abs(fitted.at(fresh) - clean) / np.abs(clean - clean.mean()).mean()
                        best = question(names, bounds, seed).best(law, [[fitted]])[0]
                        one = (100 * missed[: len(usual)].mean(), 100 * missed[len(usual) :].mean(), lost(best))
                        cell.setdefault(f"{name}, {how}", []).append(one)
            said = {name: np.median(one, 0).round(1).tolist() for name, one in cell.items()}
            rows.append({"sources": k, "runs": runs, "planted": kind, "seeds": seeds, "near, wide, regret": said})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def cautiously(seeds: int) -> list[dict[str, Any]]:
    """Rows of the third part."""
    told: dict[tuple[str, str], list[tuple[float, float, bool]]] = {}
    usual = design.swarm

    def spread(natural: Floats, caps: Floats, count: int, seed: int, known: Floats) -> Floats:
        return cover.swarm(caps, count, seed, known)

    for seed, family, at in product(range(300, 300 + seeds), range(len(claim.FAMILIES)), range(len(claim.SWARMS))):
        for how, drawn in (("random", usual), ("cover", spread)):
            with patch.object(design, "swarm", drawn):
                one = claim.swarm(*claim.FAMILIES[family], claim.SWARMS[at], np.random.default_rng([seed, family, at]))
            step = caution.cautious(one.natural, one.proposals, one.full, one.resampled, one.mixtures, one.errors)
            proposed = one.natural + step.t * (step.toward - one.natural)
            gain = float((one.surface(one.natural[None]) - one.surface(proposed[None]))[0])
            sources, runs, _ = claim.SWARMS[at]
            told.setdefault((f"{runs} runs of {sources}", how), []).append((gain, claim.possible(one), step.t > 0))
    rows = []
    for (what, how), found in sorted(told.items()):
        gains, possible, moved = map(np.array, zip(*found, strict=True))
        row = {"swarms": what, "design": how, "of": len(gains), "worse": int((gains < -1e-6).sum())}
        rows.append(row | {"kept": round(float(gains.sum() / possible.sum()), 3), "moved": int(moved.sum())})
        print(json.dumps(rows[-1]), flush=True)
    return rows


PARTS: dict[str, Callable[[int], list[dict[str, Any]]]] = {
    "perturbed": near_the_best,
    "cover": covering,
    "caution": cautiously,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = PARTS[asked.part](asked.seeds)
    if asked.json:
        known = json.loads(asked.json.read_text()) if asked.json.exists() else {}
        asked.json.write_text(json.dumps({**known, asked.part: found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
