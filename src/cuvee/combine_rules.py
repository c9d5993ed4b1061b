"""How several scores become one: the rules of ``--combine``, and what they are when fitted.

Formulas and traps in ``combining.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from .core import Card, Run
from .errors import DataError, UsageError

PURPOSE, FAMILY = "combined scores", "combine"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """Ranks by a sample: ``value`` ascending and distinct, ``rank`` their mean ranks, both float64 (m,)."""

    value: Floats
    rank: Floats

    def of(self, score: Floats) -> Floats:
        """Between 0 and 1, rising with the score; -inf for -inf and NaN."""
        low, high = self.value[0], self.value[-1]
        width = max(high - low, 1e-300)
        with np.errstate(invalid="ignore", over="ignore"):
            above, below = np.maximum(score - high, 0) / width, np.maximum(low - score, 0) / width
            inside = np.interp(score, self.value, self.rank)
            rank = (1 - (1 - inside) / (1 + above)) / (1 + below)
        return np.where(score > -np.inf, np.where(score == np.inf, 1.0, rank), -np.inf)


def ranks_of(sample: Floats, name: str) -> Ranks:
    """From a sample of scores; those not finite do not count."""
    finite = sample[np.isfinite(sample)]
    if not len(finite):
        raise DataError(
            f"'{name}' gives no row of the sample a finite score, so its ranks are not known. Leave it out."
        )
    value, count = np.unique(finite, return_counts=True)
    return Ranks(value, (np.cumsum(count) - 0.5 * count) / len(finite))


class Rule(ABC):
    """How scores become one. Subclasses are frozen dataclasses of what the user sets."""

    card: ClassVar[Card]

    def check(self, names: Sequence[str]) -> None:
        """Refuse parameters that do not suit these methods, before any file is opened."""
        return

    @abstractmethod
    def fit(self, run: Run, names: Sequence[str], sample: Floats) -> Scores:
        """What turns scores (rows, methods) into one, learned from the sample (rows, methods)."""


class Scores(ABC):
    """A fitted rule."""

    @abstractmethod
    def of(self, score: Floats) -> Floats:
        """One number a row, float64 (n,), from (n, methods) without NaN."""

    def notes(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, eq=False)
class ByRank(Scores):
    """The weighted mean of ranks, or with no ``weights`` the smallest."""

    ranks: tuple[Ranks, ...]
    weights: tuple[float, ...]

    def of(self, score: Floats) -> Floats:
        found = np.stack([ranks.of(score[:, at]) for at, ranks in enumerate(self.ranks)])
        if not self.weights:
            return np.asarray(found.min(axis=0))
        total = np.zeros(len(score))
        for one, weight in zip(found, self.weights, strict=True):
            total += np.where(one > -np.inf, weight * one, -np.inf)
        return total / sum(self.weights)

    def notes(self) -> dict[str, Any]:
        return {"weights": list(self.weights)} if self.weights else {}


@dataclass(frozen=True, eq=False)
class Passing(Scores):
    """The first score where the others are at or above their bounds."""

    bounds: tuple[float, ...]

    def of(self, score: Floats) -> Floats:
        passes = (score[:, 1:] >= np.array(self.bounds)) & (score[:, 1:] > -np.inf)
        return np.where(passes.all(axis=1), score[:, 0], -np.inf)

    def notes(self) -> dict[str, Any]:
        return {"bounds": list(self.bounds)}


@dataclass(frozen=True, eq=False)
class Linear(Scores):
    """A weighted sum of scores moved by ``shift`` and divided by ``scale``."""

    weights: Floats
    shift: Floats
    scale: Floats
    found: Mapping[str, Any] = field(compare=False)

    def of(self, score: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            moved = (np.where(np.isinf(score), np.copysign(1e30, score), score) - self.shift) / self.scale
        total = np.zeros(len(score))
        for at, weight in enumerate(self.weights.tolist()):
            total += weight * moved[:, at]
        return np.where((score > -np.inf).all(axis=1), total, -np.inf)

    def notes(self) -> dict[str, Any]:
        return {"weights": self.weights.tolist(), **self.found}


@dataclass(frozen=True)
class Rank(Rule):
    """``weights``: one number for each method, in their order (none: all alike)."""

    weights: tuple[float, ...] = ()

    card: ClassVar[Card] = Card(
        summary="the mean of a row's ranks by several methods, weighted",
        family=FAMILY,
        needs=(),
        cost="each method's; scoring a sample once more",
        bibtex="",
        evidence="closed form of ranks; the same for any cut into files",
        use_when="Several methods each tell something of a row, and none should decide alone.",
        fails_when="Ranks forget distances, and two methods that measure one thing count twice.",
    )

    def check(self, names: Sequence[str]) -> None:
        w = self.weights
        if w and (len(w) != len(names) or not all(0 <= one < np.inf for one in w) or not sum(w) > 0):
            raise UsageError(f"--combine rank needs {len(names)} weights of at least 0, like rank:weights=2/1.")

    def fit(self, run: Run, names: Sequence[str], sample: Floats) -> Scores:
        weights = self.weights or (1.0,) * len(names)
        return ByRank(tuple(ranks_of(sample[:, at], name) for at, name in enumerate(names)), weights)


@dataclass(frozen=True)
class Min(Rule):
    """The smallest rank."""

    card: ClassVar[Card] = Card(
        summary="the smallest of a row's ranks by several methods: all have to agree",
        family=FAMILY,
        needs=(),
        cost="each method's; scoring a sample once more",
        bibtex="",
        evidence="closed form of ranks; the same for any cut into files",
        use_when="A row that any of the methods rejects should not be kept.",
        fails_when="One method of chance rejects rows by chance.",
    )

    def fit(self, run: Run, names: Sequence[str], sample: Floats) -> Scores:
        return ByRank(tuple(ranks_of(sample[:, at], name) for at, name in enumerate(names)), ())


@dataclass(frozen=True)
class Filter(Rule):
    """A bound for every method but the first: ``above`` in its score's units, or ``top``, the share that passes."""

    above: tuple[float, ...] = ()
    top: tuple[float, ...] = ()

    card: ClassVar[Card] = Card(
        summary="the first method's score where the others are at or above their bounds",
        family=FAMILY,
        needs=(),
        cost="each method's; scoring a sample once more",
        bibtex="",
        evidence="closed form of bounds; the same for any cut into files",
        use_when="One method says what is good enough, another what to take first.",
        fails_when="A bound that leaves fewer rows than the budget asks for leaves the rest of it unused.",
    )

    def check(self, names: Sequence[str]) -> None:
        given = self.above or self.top
        if bool(self.above) == bool(self.top) or len(given) != len(names) - 1 or np.isnan(given).any():
            raise UsageError(
                f"--combine filter needs a bound for each method after the first, {len(names) - 1} here: "
                "filter:above=0.5/0 in the units of the scores, or filter:top=0.5/0.2 as shares of the pool."
            )
        if not all(0 < share <= 1 for share in self.top):
            raise UsageError("--combine filter:top takes shares of the pool above 0 and at most 1, like 0.5.")

    def fit(self, run: Run, names: Sequence[str], sample: Floats) -> Scores:
        if self.above:
            return Passing(self.above)
        bounds = []
        for at, share in enumerate(self.top, 1):
            order = np.sort(np.nan_to_num(sample[:, at], nan=-np.inf, posinf=np.inf, neginf=-np.inf))[::-1]
            bounds.append(float(order[max(0, int(np.ceil(share * len(order))) - 1)]) if len(order) else -np.inf)
        return Passing(tuple(max(bound, float(np.finfo(np.float64).min)) for bound in bounds))


@dataclass(frozen=True)
class Learned(Rule):
    """M-FLYT: ``steps`` of ``batch`` rows, at the scorer's ``rate``."""

    steps: int = 300
    batch: int = 1024
    rate: float = 0.05
    sample: int = 20_000

    card: ClassVar[Card] = Card(
        summary="a weighted sum of several scores, with weights learned on the target (M-FLYT)",
        family=FAMILY,
        needs=("text", "target"),
        cost="each method's; seconds to learn",
        bibtex="@article{shechter2025filter, title={Filter Like You Test: Data-Driven Data Filtering for {CLIP}"
        " Pretraining}, author={Shechter, Mikey and Carmon, Yair}, journal={arXiv:2503.08805}, year={2025}}",
        evidence="the gradients of flyt, checked by automatic differentiation",
        use_when="The target should decide how much each of several scores counts.",
        fails_when="Scores of which none points to the target: weights then follow noise.",
    )

    def check(self, names: Sequence[str]) -> None:
        if min(self.steps, self.batch - 1, self.sample - 1) < 1 or not self.rate > 0:
            raise UsageError("--combine learned: steps is at least 1, batch and sample at least 2, rate above 0.")

    def fit(self, run: Run, names: Sequence[str], sample: Floats) -> Scores:
        from .fold.flyt_step import Settings, learn, standardised

        shift, scale, inputs = standardised(sample[: self.sample])
        weights, found = learn(run, Settings(self.steps, self.batch, self.rate), inputs, PURPOSE)
        return Linear(weights, shift, scale, found)


RULES: dict[str, type[Rule]] = {"rank": Rank, "min": Min, "filter": Filter, "learned": Learned}
