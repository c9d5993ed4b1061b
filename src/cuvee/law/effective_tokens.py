"""Effective tokens: tokens count by the diversity of their text and by how synthetic it is.

Chang et al., "Scaling Parameter-Constrained Language Models with Quality Data", EMNLP 2024, arXiv 2410.03083: more than
200 models of 25 million to 1.5 billion parameters. In a law of size and data, tokens D count as

    D_q = D exp(c1 diversity + c2 syntheticity),    L = E + A / N^alpha + B / D_q^beta,

diversity a compression ratio, syntheticity the inverse perplexity under a teacher. The exponential could not be checked
against the paper's text, so the signs of c1 and c2 are fitted, never assumed; they are per unit of the indicators.

Inputs: columns parameters, tokens, diversity, syntheticity. Measure diversity with one compressor at one block size
(:func:`compression_ratio`), because the ratio grows with the block. Cost: a fraction of a second. Traps: c1 and c2 need
several data sets at the same D; with fewer than about 20 data sets their intervals are wide; compression sees
repetition and not shuffled words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..core import Card, Prediction, Runs, Settings
from .curve import Curve, CurveLaw, Floats, Numbers, bounded_exp, spread
from .judge import clusters, interval, resamples, together
from .moved import wider

FEWEST_SETS, RESAMPLES, LEVEL = 20, 200, 0.9
INDICATORS = ("diversity", "syntheticity")
FREE = 3
"""Numbers that data sets tell: c1, c2 and what tokens are worth at both indicators 0."""


@dataclass(frozen=True)
class EffectiveTokens(CurveLaw):
    """``delta``: where residuals of log losses begin to count linearly."""

    delta: float = 1e-3
    restarts: int = 48
    logarithmic: ClassVar[bool] = True
    left_out: ClassVar[str | tuple[str, ...] | None] = ("diversity", "syntheticity")

    card: ClassVar[Card] = Card(
        summary="Tokens count by the diversity of their text and how synthetic it is.",
        family="law",
        needs=("parameters", "tokens", "diversity", "syntheticity"),
        cost="a fraction of a second a fit",
        bibtex="""@inproceedings{chang2024scaling,
  title={Scaling Parameter-Constrained Language Models with Quality Data},
  author={Chang, Ernie and Paltenghi, Matteo and Li, Yang and Lin, Pin-Jie and others},
  booktitle={Proceedings of EMNLP: Industry Track},
  year={2024}
}""",
        evidence="planted parameters recovered",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return 7

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        e, a, b, alpha, beta, first, second = (theta[:, at : at + 1] for at in range(7))
        n, d = np.log(settings.values["parameters"]), np.log(settings.values["tokens"])
        worth = d + first * settings.values["diversity"] + second * settings.values["syntheticity"]
        return (
            bounded_exp(e)
            + bounded_exp(bounded_exp(alpha, 3.0) * (a - n))
            + bounded_exp(bounded_exp(beta, 3.0) * (b - worth))
        )

    def starts(self, runs: Runs) -> Floats:
        values = runs.settings.values
        n, d = np.log(values["parameters"]), np.log(values["tokens"])
        floor = np.log(max(float(runs.outcome.min()), 1e-6))
        unit = [1 / max(float(values[name].std()), 1e-9) for name in ("diversity", "syntheticity")]
        shift = [-float(values[name].mean()) * u for name, u in zip(("diversity", "syntheticity"), unit, strict=True)]
        low = np.array([floor - 1.0, n.min() - 6.0, d.min() - 6.0, -1.6, -1.6, -1.0, -1.0])
        high = np.array([floor - 0.02, n.max(), d.max(), -0.2, -0.2, 1.0, 1.0])
        found = spread(0, self.restarts, low, high)
        found[:, 2] += found[:, 5] * -shift[0] + found[:, 6] * -shift[1]
        found[:, 5] *= unit[0]
        found[:, 6] *= unit[1]
        return found

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        positive = dict(zip(("E", "A", "B"), np.exp(theta[:3]).tolist(), strict=True))
        positive |= dict(zip(("alpha", "beta"), bounded_exp(theta[3:5], 3.0).tolist(), strict=True))
        positive["A"], positive["B"] = positive["A"] ** positive["alpha"], positive["B"] ** positive["beta"]
        return {**positive, "diversity": float(theta[5]), "syntheticity": float(theta[6])}

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        assert isinstance(fitted, Curve)
        sets = clusters(together(runs, self.left_out))[0]
        if sets >= FEWEST_SETS:
            return []
        found = f"Runs of {sets} data sets hardly tell diversity from syntheticity: rank no data by them, or run 20."
        if sets <= FREE:
            return [found]
        named = (
            f"{name} {value:.3g} [{low:.3g}, {high:.3g}]"
            for name, value, (low, high) in zip(INDICATORS, fitted.theta[5:7], self.between(runs, fitted), strict=True)
        )
        return [f"{found} Their numbers, with {100 * LEVEL:.0f} % over data sets: {', '.join(named)}."]

    def between(self, runs: Runs, fitted: Curve) -> list[tuple[float, float]]:
        """The intervals of c1 and c2 over resampled data sets, of more than three; as wide as few sets ask for.

        Of 60 planted tables each of 4 to 12 data sets they held c1 and c2 in 93 to 100 %, also where sets differ by
        more than their indicators.
        """
        whole = together(runs, self.left_out)
        sets, label = clusters(whole)
        counts = resamples(whole, RESAMPLES, 0)
        told = [len(np.unique(label[row > 0])) >= FREE for row in counts]  # fewer leave c1 and c2 where they were
        again = [one.theta[5:7] for one in self.refit(runs, counts[told], fitted) if isinstance(one, Curve)]
        factor = wider(sets, FREE, LEVEL)
        ends = [interval(column, LEVEL) for column in np.array(again).reshape(-1, 2).T]
        return [
            (float(value + factor * (low - value)), float(value + factor * (high - value)))
            for value, (low, high) in zip(fitted.theta[5:7], ends, strict=True)
        ]


def compression_ratio(data: bytes, block: int = 1 << 20) -> float:
    """Raw over compressed bytes, zlib level 6 on blocks of one size: higher for text that repeats itself."""
    import zlib

    packed = sum(len(zlib.compress(data[at : at + block], 6)) for at in range(0, len(data), block))
    return len(data) / packed if packed else float("nan")
