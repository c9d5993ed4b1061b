"""One search of QuaDMix's sampler: random parameters instead of mixtures, a regression on them, the mean of the best.

The paper runs 3,000 proxies, fits boosted trees to their losses by the parameters, predicts 100,000 random settings and
takes the mean of the best ten: that is ``law=regmix``, here with 20,000 settings, and of steepness the logarithm is
averaged. A few dozen runs say little about dozens of parameters. So where no law is asked for, ridge is fitted to what
settings do instead of to what they are (:class:`cuvee.search.quality.Effects`). On 56 runs of a pool of five domains
with two scores, this raised the rank correlation on settings left out from 0.33 (ridge on parameters; trees 0.52) to
0.74. It predicts 5,000 random settings and those that were run; and since the mean of settings is no mean of samplers,
the means of the best 1, 2, ... 10 are predicted anew, and the best is taken. Best is what has the least bound, the
prediction and 1.645 standard deviations of those of bootstrap resamples, among settings whose effects lie within those
that were measured (``--bold``: the least prediction anywhere; a law of 22 runs then gave all to one domain, and the
trial was worse than random by 0.2 bits).

Losses of the worst fifth count as the best of them: some settings leave hardly any text, and a law that has to follow
these misses the others. There is no path from proportional to a sampler along which a law could be asked, as there is
for mixtures; so proportional is never the proposal, and the trial decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Columns, Prediction, Settings
from ..core import Runs as Finished
from ..engine.plan import parameters
from ..errors import DataError, UsageError
from ..feature import named_values
from ..law.baselines import BASELINES
from ..law.judge import interval, judge, resamples
from ..law.regmix import RegMix
from ..law.table import Table
from ..mix.base import Sources
from ..proof.draws import Part
from . import design
from .job import Job
from .quality import NARROWEST, WIDER, Effects, Rated, SampledRuns, Space
from .runs import Asked
from .stock import Grid
from .surface import Surface, settings_of
from .surface import columns as columns_of

Floats = npt.NDArray[np.float64]
CANDIDATES = {"linear": 5_000, "lightgbm": 20_000}
TOP = 10
WORST, BOUND = 0.8, 1.645
RESAMPLES = {"linear": 100, "lightgbm": 40}
ANCHORS, PLAIN = ("proportional", "uniform"), "plain"
BIBTEX = """@article{liu2025quadmix,
  title={{QuaDMix}: Quality-Diversity Balanced Data Selection for Efficient {LLM} Pretraining},
  author={Liu, Fengze and Zhou, Weidong and Liu, Binbin and others},
  journal={arXiv preprint arXiv:2504.16511},
  year={2025}
}"""


@dataclass(frozen=True)
class Quality:
    """``--over quadmix``: a file of scores, its columns, and the largest threshold (0: by the run's share)."""

    ratings: str = ""
    criteria: tuple[str, ...] = ("overall_score",)
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if not self.ratings or not self.criteria:
            raise UsageError(
                "quadmix needs ratings=FILE.parquet with the rows' scores (key, id or text, and columns of numbers), "
                "and criteria, the names of these columns: --over quadmix:ratings=scores.parquet,criteria=clean/useful."
            )
        if len(set(self.criteria)) < len(self.criteria):
            raise UsageError("quadmix: criteria names a column twice.")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"quadmix: threshold is a share of a domain from 0 to 1, not {self.threshold}.")


@dataclass
class QualityJob(Job):
    """A search over samplers."""

    quality: Quality = field(kw_only=True)

    what: ClassVar[str] = "sampler"
    space: Space = field(init=False)
    found: named_values.NamedValues = field(init=False)
    share: float = field(init=False)
    """Of the planned run in the pool's tokens."""

    def _without(self, columns: Columns, bad: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows that hold evaluation text, and those that are not rated."""
        found = named_values.read(self.quality.ratings, self.quality.criteria, "quadmix")
        order = np.argsort(found.key)
        self.found = named_values.NamedValues(found.names, found.is_text, found.key[order], found.values[order])
        key, parts, rows = self.found.key, [bad], 0
        for block in columns.blocks("row", "key"):
            at = np.minimum(np.searchsorted(key, block["key"]), max(len(key) - 1, 0))
            parts.append(block["row"][key[at] != block["key"]] if len(key) else block["row"])
            rows += len(block["row"])
        missing = sum(map(len, parts[1:]))
        if missing == rows:
            raise DataError(f"No row of the pool is rated in {self.quality.ratings}. Are they the pool's own ids?")
        if missing:
            self.warnings.append(f"{missing:,} of {rows:,} documents are not rated; no run draws them.")
        return np.unique(np.concatenate(parts))

    def _settle(self, part: Part, sources: Sources, grid: Grid, caps: Floats) -> None:
        question, names = self.question, grid.names
        if question.passes != int(question.passes) or question.passes < 1:
            raise UsageError(f"quadmix takes whole copies of rows: --passes is 1, 2, 3 ..., not {question.passes:g}.")
        share = grid.planned / max(int(grid.available.sum()), 1)
        self.share = share
        widest = self.quality.threshold or min(1.0, max(NARROWEST, WIDER * share))
        self.space = Space(self.quality.criteria, names, widest)
        rated = Rated.of(part, self.found.key, self.found.values, self.quality.criteria)
        self.runs = SampledRuns(
            self.engine, part, grid, caps, question.proxy, self.sets, self.place,
            rated=rated, space=self.space, anchors=ANCHORS, passes=question.passes,
        )  # fmt: skip

    def _enough(self) -> None:
        drawn, numbers = self.question.runs - 3 * len(self.swarm_seeds()), self.space.width
        if drawn < numbers:
            self.warnings.append(
                f"{drawn} random settings are run, and a setting has {numbers} numbers: little can be learnt of each. "
                "Give more --runs."
            )

    def first_round(self) -> list[Asked]:
        """The anchors and the plain sampler at their seeds, and random settings, each at one of these seeds."""
        question, seeds = self.question, self.swarm_seeds()
        fixed = design.anchors(self.natural, self.runs.caps) | {PLAIN: self.space.plain(self.share)}
        asked = [Asked(name, mixture, seed) for name, mixture in fixed.items() for seed in seeds]
        return asked + self._numbered(self.space.draw(question.runs - len(asked), question.seed), 0)

    def outlook(self) -> dict[str, Any]:
        told = super().outlook()
        told["searches"] = f"samplers of {', '.join(self.space.criteria)}: {self.space.width} parameters"
        return told

    def _fit(self) -> dict[str, Any]:
        """A regression on the parameters, the mean of the best settings, and what is expected of it."""
        question, runs = self.question, self.runs
        assert isinstance(question.law, RegMix) and isinstance(runs, SampledRuns)
        law, kind = Surface(question.law), question.law.model
        total = np.array([self._objective_of(one) for one in self.done])
        arms = np.array([one.asked.arm for one in self.done])
        drawn = np.flatnonzero(~np.isin(arms, ANCHORS))
        names, group = np.unique(arms[drawn], return_inverse=True)
        if len(names) < 3:
            raise DataError("Fewer than three settings were run to their end. Give more --runs.")
        points = np.stack([self.done[at].asked.mixture for at in drawn])
        cut = np.minimum(total[drawn], np.quantile(total[drawn], WORST))
        effects = Effects.of(runs.rated, len(runs.grid.names), self.share, runs.passes, question.seed)

        def seen_as(some: Floats) -> Settings:
            return settings_of(effects.features(self.space, some) if kind == "linear" else some)

        swarm = Finished(seen_as(points), cut, group.astype(np.int64))
        counts = resamples(swarm, question.resample or RESAMPLES[kind], question.seed)
        full, many = law.fit(swarm), law.refit(swarm, counts)
        judged = judge(law, swarm, BASELINES)
        candidates = self.space.draw(CANDIDATES[kind], question.seed + 1)
        if kind == "linear":
            candidates = np.concatenate([points, candidates])
        asked = seen_as(candidates)

        bold, measured = question.bold or kind != "linear", columns_of(swarm.settings)
        low_edge, high_edge = measured.min(axis=0), measured.max(axis=0)

        def doubt(where: Settings) -> Floats:
            """How much less than it seems may be believed of settings."""
            if bold:
                return np.zeros(len(where))
            told = columns_of(where)
            beyond = ((told < low_edge) | (told > high_edge)).any(axis=1)
            return np.where(beyond, np.inf, BOUND * np.std([one.at(where) for one in many], axis=0))

        doubts = doubt(asked)

        def best_of(law: Prediction) -> Floats:
            order = np.argsort(law.at(asked) + doubts, kind="stable")[:TOP]
            means = np.cumsum(candidates[order], axis=0) / np.arange(1, TOP + 1)[:, None]
            if kind != "linear":
                return np.asarray(means[-1])
            again = seen_as(means)
            return np.asarray(means[int((law.at(again) + doubt(again)).argmin())])

        point, others = best_of(full), np.stack([best_of(one) for one in many])
        here, there = seen_as(point[None]), seen_as(others)
        # what the winner of a resample promises beyond what the fit to all runs grants it
        own = np.array([one.at(there.take(np.array([at])))[0] for at, one in enumerate(many)])
        optimism = max(0.0, float(np.mean(full.at(there) - own)))
        at_point = np.array([one.at(here)[0] for one in many])
        low, high = interval(at_point)
        loss = float(full.at(here)[0])
        expected = {"proposal": {"loss": loss + optimism, "low": low + optimism, "high": high + optimism}}
        gains = {}
        for name in ANCHORS:
            seen = total[arms == name]
            middle, error = (float(seen.mean()), _error(seen)) if len(seen) else (math.nan, math.nan)
            expected[name] = {"loss": middle, "low": middle - 1.645 * error, "high": middle + 1.645 * error}
            low, high = interval(middle - at_point)
            gains[name] = {"gain": middle - loss - optimism, "low": low - optimism, "high": high - optimism}
        means = np.bincount(group, weights=total[drawn]) / np.bincount(group)
        best = int(drawn[int(np.flatnonzero(group == means.argmin())[0])])
        told = seen_as(self.done[best].asked.mixture[None])
        low, high = interval(np.array([one.at(told)[0] for one in many]))
        expected["best_measured"] = {"loss": float(full.at(told)[0]), "low": low, "high": high}
        expected["best_measured"]["observed"] = float(means.min())
        return {
            "law": {"name": question.law_name, "parameters": parameters(question.law), "gives": "loss"},
            "counts": {
                "runs": len(self.done),
                "settings": len(np.unique(arms)),
                "sources": len(runs.grid.names),
                "resamples": len(counts),
            },
            "point": point,
            "proposal": self._rows(runs, point, others, self.done[best].asked.mixture),
            "expected": expected,
            "gains": gains,
            "optimism": optimism,
            "extrapolation": [],
            "outcomes": [self._outcome(full, judged, total, arms, drawn)],
        }

    def _rows(self, runs: SampledRuns, point: Floats, others: Floats, best: Floats) -> list[dict[str, Any]]:
        """What every domain gets in the planned run; its interval is that of the proposals of resamples."""

        def shares(one: Floats) -> Floats:
            return runs.shares(runs.rated.values(self.space.sampler(one)))

        weight, measured = shares(point), shares(best)
        spread = np.stack([shares(one) for one in others])
        rows = []
        for at, name in enumerate(runs.grid.names):
            low, high = interval(spread[:, at])
            rows.append(
                {
                    "name": name,
                    "weight": float(weight[at]),
                    "low": min(low, float(weight[at])),
                    "high": max(high, float(weight[at])),
                    "best_measured": float(measured[at]),
                    "available": int(runs.grid.available[at]),
                    "passes": float(runs.grid.passes(weight)[at]),
                }
            )
        return rows

    def _outcome(self, full: Any, judged: Any, total: Floats, arms: Any, drawn: Any) -> dict[str, Any]:
        """How well the objective is predicted, with NaN for the anchors, which have no parameters."""
        names, inverse = np.unique(arms, return_inverse=True)
        observed = np.bincount(inverse, weights=total) / np.bincount(inverse)
        predicted = np.full(len(names), np.nan)
        predicted[np.searchsorted(names, np.unique(arms[drawn]))] = judged.predicted
        return {
            "name": "objective",
            "weight": 1.0,
            "parameters": dict(full.parameters),
            "error": judged.error,
            "noise": None,
            "error_in_noise": None,
            "rank": judged.rank,
            "rank_best": judged.rank_best,
            "baselines": judged.baselines,
            "largest": {},
            "observed": observed.tolist(),
            "predicted": predicted.tolist(),
        }

    def _proposed(self, fitted: Mapping[str, Any]) -> Floats:
        return np.asarray(fitted["point"])

    def _more(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        assert isinstance(self.runs, SampledRuns)
        return {
            "sampler": {
                "ratings": self.quality.ratings,
                "criteria": list(self.space.criteria),
                "mean": self.runs.rated.mean.tolist(),
                "deviation": self.runs.rated.deviation.tolist(),
                "passes": int(self.question.passes),
                "widest": self.space.widest,
                "domains": self.space.sampler(fitted["point"]).as_json(self.space.domains),
            }
        }

    def _identity(self, fitted: Mapping[str, Any], planned: list[int]) -> list[Any]:
        return [*super()._identity(fitted, planned), np.asarray(fitted["point"]).tolist()]

    def _citations(self) -> Sequence[str]:
        return [BIBTEX, *super()._citations()]

    def _surface(self, table: Table) -> None:
        return None


def _error(seen: Floats) -> float:
    """Of the mean; NaN with one run."""
    return float(seen.std(ddof=1) / math.sqrt(len(seen))) if len(seen) > 1 else math.nan
