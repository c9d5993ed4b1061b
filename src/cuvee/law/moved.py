"""Resamples taken farther from the fit than they lie: intervals of few runs, and of fits that noise pulls aside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Prediction, Runs, Settings
from ..proof.power import NORMAL, t_quantile
from .curve import Curve, CurveLaw, Numbers

Floats = npt.NDArray[np.float64]


def few(freedom: int, level: float = 0.9) -> float:
    """How much wider than a normal interval Student's is with so many degrees of freedom; 1 is the least taken."""
    tail = 0.5 + level / 2
    return t_quantile(tail, max(freedom, 1)) / NORMAL.inv_cdf(tail)


def wider(drawn: int, numbers: int, level: float = 0.9) -> float:
    """By what factor resamples spread too little: of ``drawn`` sets of runs, to which ``numbers`` were fitted.

    Residuals of a fit are smaller than the noise by (1 - p / n)^(1/2), and so is what resampling makes of them; the
    rest is :func:`few` for n - p degrees of freedom.
    """
    return math.sqrt(drawn / max(drawn - numbers, 1)) * few(drawn - numbers, level)


@dataclass(frozen=True)
class Moved(Prediction):
    """A resample's predictions, taken farther from the fit's: fit + ``factor`` (resample - fit).

    A factor above 1 widens intervals of few runs; one below 0 puts a resample on the other side of the fit, as the
    pivotal bootstrap does where noise pulls every fit to one side.
    """

    centre: Prediction
    drawn: Prediction
    factor: float

    @property
    def parameters(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self.drawn.parameters

    def at(self, settings: Settings) -> Floats:
        centre = self.centre.at(settings)
        return centre + self.factor * (self.drawn.at(settings) - centre)


def moved_curve(centre: Curve, drawn: Curve, factor: float) -> Curve:
    """:class:`Moved` for formulas: a formula again, with slopes, so that all resamples are descended at once."""
    law = MovedCurves(drawn.law, factor)
    return Curve(law, np.concatenate([centre.theta, drawn.theta]), drawn.objective, drawn.parameters)


@dataclass(frozen=True)
class MovedCurves(CurveLaw):
    """What :func:`moved_curve` makes: parameters are those of the fit, then those of the resample; never fitted."""

    law: CurveLaw
    factor: float
    card: ClassVar[Card] = Card("A formula taken farther from another.", "law", (), "none", "", gives=("loss",))

    def numbers(self, sources: int) -> int:
        return self.law.numbers(sources)

    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        centre, drawn = np.split(theta, 2, axis=1)
        told = self.law.value(centre, settings)
        return np.asarray(told + self.factor * (self.law.value(drawn, settings) - told))

    def by_share(self, theta: Floats, settings: Settings) -> Floats | None:
        centre, drawn = (self.law.by_share(part, settings) for part in np.split(theta, 2, axis=1))
        return None if centre is None or drawn is None else centre + self.factor * (drawn - centre)

    def starts(self, runs: Runs) -> Floats:
        raise TypeError("a moved formula is not fitted")

    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        return self.law.named(np.split(theta, 2)[1], sources)
