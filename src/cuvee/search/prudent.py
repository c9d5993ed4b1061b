"""A search of a sampler that stays at the plain one, where its law has nothing to say.

The plain sampler weighs scores and domains alike. On the way to a searched one no law can be asked, so it is proposed
instead where the law is not to be relied on (:mod:`cuvee.law.trust`), or where it predicts the sampler that
it found to be no better than proportional was when measured. ``--bold`` proposes what the law says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..law import trust
from .quality import SampledRuns
from .quality_job import ANCHORS, PLAIN, QualityJob
from .runs import Done

NO_BETTER = "the law predicts the sampler that it found to be no better than proportional"


@dataclass
class PrudentJob(QualityJob):
    """A search over samplers that is not to be worse than none."""

    def _fit(self) -> dict[str, Any]:
        fitted = super()._fit()
        why = trust.doubt(fitted["outcomes"])
        if not why and not fitted["gains"]["proportional"]["gain"] > 0:
            why = NO_BETTER
        measured = [one for one in self.done if one.asked.arm == PLAIN]
        if self.question.bold or not why or not measured:
            return {**fitted, "stays": ""}
        return {**fitted, **self._plain(fitted, measured), "stays": why}

    def _plain(self, fitted: Mapping[str, Any], measured: list[Done]) -> dict[str, Any]:
        """The plain sampler as the proposal; what is expected of it is what its runs in the swarm had."""
        runs = self.runs
        assert isinstance(runs, SampledRuns)
        point = measured[0].asked.mixture
        weight = runs.shares(runs.rated.values(self.space.sampler(point)))
        passes = runs.grid.passes(weight)
        rows = [
            {**row, "passes": float(passes[at]), **dict.fromkeys(("weight", "low", "high"), float(weight[at]))}
            for at, row in enumerate(fitted["proposal"])
        ]
        losses = np.array([self._objective_of(one) for one in measured])
        loss = float(losses.mean())
        half = 1.645 * float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
        expected = {**fitted["expected"], "proposal": {"loss": loss, "low": loss - half, "high": loss + half}}
        gains = {}
        for name in ANCHORS:
            other = expected[name]
            both = math.hypot(half, other["high"] - other["loss"])
            gain = other["loss"] - loss
            gains[name] = {"gain": gain, "low": gain - both, "high": gain + both}
        return {"point": point, "proposal": rows, "expected": expected, "gains": gains, "optimism": 0.0}

    def _more(self, fitted: Mapping[str, Any]) -> dict[str, Any]:
        told = super()._more(fitted)
        return {"sampler": {**told["sampler"], "stays": fitted["stays"]}}
