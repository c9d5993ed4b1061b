"""Mixing laws nested with laws of steps and of size: from short runs of small models to a large one.

Ye et al., "Data Mixing Laws", ICLR 2025, arXiv 2403.16952, section 4, the pipeline. (1) For every mixture and model
size, L(D) = c + (D_0 / D)^alpha over tokens, taken to ``tokens``; (2) for every mixture, the same form over parameters,
taken to ``parameters``; (3) ``data_mixing_laws`` on the losses so predicted. In (1) and (2) alpha is shared by the
curves of all mixtures, which is what makes three points a curve enough (the paper shares it by validation sets).

Inputs: mixtures, columns tokens and parameters, one loss. A stage without a curve of three points, as where tokens
always grow with size, is left out and said so: the runs at its largest value alone are fitted. A curve of one point
that is not at the size asked about leads nowhere and is set aside. Cost: hundredths of a second. Traps: errors add up
from stage to stage, so each stage's own is among the parameters; every D should end its own schedule, or the exponent
is one of runs that never cooled down.

A question that names its tokens and parameters is answered there, by the same stages taken to them; so the law is
judged at the sizes of the runs left out, and whole mixtures are left out and drawn. Of 82 planted swarms of 24 mixtures
90 % intervals held the best shares in 88 to 95 %, the loss in 90 % and the gain in 94 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import UsageError
from .curve import Curve
from .data_mixing_laws import DataMixingLaws

Floats = npt.NDArray[np.float64]
COPY = "copy"
"""The column that tells a mixture drawn twice apart from itself."""
FEW, APART = "left out: fewer than three values", "left out: no curve of three points"
"""Why a stage has no law."""


def shared_power(curve: npt.NDArray[np.int64], x: Floats, y: Floats, at: float) -> tuple[Floats, float, float]:
    """Fit y = c + b (x / x_max)^-alpha to every curve, alpha shared, b and c not negative, and extrapolate.

    Args:
        curve: int64, (n,), from 0 without gaps. x: above 0. at: where to predict.

    Returns:
        predictions float64, (curves,), NaN where a curve has points at one x alone, and not at ``at``; alpha; and the
        residuals' standard deviation, NaN where there are as many numbers as points.
    """
    scaled = x / x.max()
    points = _points(curve, x)
    count = np.bincount(curve).astype(np.float64)

    def fit(alpha: float) -> tuple[float, Floats, Floats]:
        z = scaled**-alpha
        mean_z, mean_y = np.bincount(curve, z) / count, np.bincount(curve, y) / count
        zc, yc = z - mean_z[curve], y - mean_y[curve]
        b = np.maximum(np.bincount(curve, zc * yc) / np.maximum(np.bincount(curve, zc**2), 1e-300), 0.0)
        c = mean_y - b * mean_z
        under = c < 0  # then a pure power
        b = np.where(under, np.bincount(curve, z * y) / np.bincount(curve, z**2), b)
        c = np.where(under, 0.0, c)
        return float(((y - c[curve] - b[curve] * z) ** 2).sum()), b, c

    grid = np.geomspace(0.02, 3.0, 80)
    best = int(np.argmin([fit(alpha)[0] for alpha in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        first, second = high - ratio * (high - low), low + ratio * (high - low)
        if fit(first)[0] < fit(second)[0]:
            high = second
        else:
            low = first
    alpha = float(0.5 * (low + high))
    squares, b, c = fit(alpha)
    free = len(y) - int(np.minimum(points, 2).sum()) - 1
    error = float(np.sqrt(squares / free)) if free > 0 else np.nan
    alone = (points == 1) & (x[np.unique(curve, return_index=True)[1]] != at)
    return np.where(alone, np.nan, c + b * (at / x.max()) ** -alpha), alpha, error


def _points(curve: npt.NDArray[np.int64], x: Floats) -> npt.NDArray[np.int64]:
    """At how many x every curve has points."""
    return np.bincount(np.unique(np.column_stack([curve, x]), axis=0)[:, 0].astype(np.int64))


@dataclass(frozen=True)
class _Nested(Prediction):
    """``curves``: the mixing law at each pair of tokens and parameters that was asked for."""

    law: NestedMixing
    runs: Runs
    target: tuple[float, float]
    curves: dict[tuple[float, float], Curve]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> Floats:
        found = np.empty(len(settings))
        for rows, curve in self._curves(settings):
            found[rows] = curve.at(Settings(settings.sources, settings.mixture[rows]))
        for stage, name, target in zip(("tokens", "size"), ("tokens", "parameters"), self.target, strict=True):
            if isinstance(self.parameters[stage], str) and name in settings.values:  # then no curve leads elsewhere
                known = [self.runs.settings.values[name].max(), target]
                found[~np.isin(settings.values[name], known)] = np.nan
        return found

    def slope(self, settings: Settings) -> Floats | None:
        found = np.empty(settings.mixture.shape)
        for rows, curve in self._curves(settings):
            found[rows] = curve.slope(Settings(settings.sources, settings.mixture[rows]))
        return found

    def _curves(self, settings: Settings) -> Iterator[tuple[npt.NDArray[np.bool_], Curve]]:
        columns = [settings.values.get(name) for name in ("tokens", "parameters")]
        held = [np.full(len(settings), own) if c is None else c for c, own in zip(columns, self.target, strict=True)]
        pairs, place = np.unique(np.column_stack(held), axis=0, return_inverse=True)
        for at, (tokens, size) in enumerate(pairs.tolist()):
            if (tokens, size) not in self.curves:
                last, _ = self.law.taken(self.runs, tokens, size)
                every, begin = np.ones((1, len(last)), np.int64), self.curves[self.target]
                again = DataMixingLaws(self.law.delta).refit(last, every, begin)[0]
                assert isinstance(again, Curve)
                self.curves[tokens, size] = again
            yield place.ravel() == at, self.curves[tokens, size]


@dataclass(frozen=True)
class NestedMixing(Law):
    """``tokens``, ``parameters``: of the run that is asked about; 0 is the largest measured."""

    tokens: float = 0.0
    parameters: float = 0.0
    delta: float = 0.05

    left_out: ClassVar[str | None] = "mixture"
    drawn: ClassVar[str | None] = "mixture"
    card: ClassVar[Card] = Card(
        summary="A mixing law on losses that laws of tokens and of size predict for a larger run.",
        family="law",
        needs=("mixture", "tokens", "parameters"),
        cost="hundredths of a second a fit",
        bibtex="""@inproceedings{ye2025data,
  title={Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling Performance},
  author={Ye, Jiasheng and Liu, Peiju and Sun, Tianxiang and Zhan, Jun and Zhou, Yunhua and Qiu, Xipeng},
  booktitle={International Conference on Learning Representations},
  year={2025}
}""",
        evidence="planted three-stage law recovered at ten times the tokens and size; "
        "claim data_mixing_laws: its optimum at six times the size is no better than proportional (8 seeds)",
        gives=("loss",),
    )

    def __post_init__(self) -> None:
        if self.tokens < 0 or self.parameters < 0:
            raise UsageError("nested_mixing: tokens and parameters must be at least 0.")
        if not self.delta > 0:
            raise UsageError(f"nested_mixing: delta must be a number above 0, not {self.delta:g}.")

    def numbers(self, sources: int) -> int:
        return DataMixingLaws().numbers(sources)

    def fit(self, runs: Runs) -> Prediction:
        return self._fit(runs, None)

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        """A mixture drawn twice counts as two, each with curves of its own."""
        found = []
        for row in counts:
            drawn = runs.take(np.repeat(np.arange(len(runs)), row))
            values = {**drawn.settings.values, COPY: np.concatenate([np.arange(n, dtype=np.float64) for n in row])}
            again = replace(drawn, settings=replace(drawn.settings, values=values))
            found.append(self._fit(again, begin if isinstance(begin, _Nested) else None))
        return found

    def _fit(self, runs: Runs, begin: _Nested | None) -> Prediction:
        values = runs.settings.values
        target = self.tokens or float(values["tokens"].max()), self.parameters or float(values["parameters"].max())
        last, told = self.taken(runs, *target)
        law, first = DataMixingLaws(self.delta), begin.curves.get(target) if begin else None
        inner = law.fit(last) if first is None else law.refit(last, np.ones((1, len(last)), np.int64), first)[0]
        assert isinstance(inner, Curve)
        error = float(np.sqrt(((inner.at(last.settings) - last.outcome) ** 2).mean()))
        fitted = {"error": error, "mixtures": len(last)}
        return _Nested(self, runs, target, {target: inner}, {**told, "mixture": {**inner.parameters, **fitted}})

    def taken(self, runs: Runs, tokens: float, parameters: float) -> tuple[Runs, dict[str, Any]]:
        """The first two stages: each mixture's loss taken to a size, and what each stage was."""
        values = runs.settings.values
        mixture, loss = runs.settings.mixture, runs.outcome
        held = {name: values[name] for name in ("tokens", "parameters")} | {COPY: values.get(COPY, np.zeros(len(loss)))}
        told: dict[str, Any] = {}
        for stage, name, target in (("tokens", "tokens", tokens), ("size", "parameters", parameters)):
            column = held[name]
            key = np.column_stack([mixture, held[COPY], *([held["parameters"]] if stage == "tokens" else [])])
            _, first, curve = np.unique(key, axis=0, return_index=True, return_inverse=True)
            if _points(curve.ravel(), column).max() < 3:  # losses at different sizes do not belong into one fit
                most = column == column.max()
                mixture, loss = mixture[most], loss[most]
                held = {other: kept[most] for other, kept in held.items()}
                told[stage] = FEW if len(np.unique(column)) < 3 else APART
                told[stage] += "" if most.all() else ", the largest alone fitted"
                continue
            loss, alpha, error = shared_power(curve.ravel(), column, loss, target)
            known = np.isfinite(loss)
            told[stage] = {"alpha": alpha, "error": None if np.isnan(error) else error, "at": target}
            if not known.all():
                told[stage]["set_aside"] = int((~known).sum())
            mixture, loss = mixture[first][known], loss[known]
            held = {other: kept[first][known] for other, kept in held.items()}
        return Runs(Settings(runs.settings.sources, mixture), loss, np.arange(len(loss))), told

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        found = []
        for stage, name in (("tokens", "tokens"), ("size", "parameters")):
            column, told = runs.settings.values[name], fitted.parameters[stage]
            if isinstance(told, str):
                within = " at one size" if stage == "tokens" else ""
                left = " among the runs that are left" if len(np.unique(column)) > 2 else ""
                said = (
                    f"No mixture was run{within} with three values of {name}"
                    if told.startswith(APART)
                    else f"There are fewer than three values of {stage}{left}"
                ) + ": nothing was taken to a larger one."
                if less := int((column < column.max()).sum()):
                    said += f" The {less:,} runs below {column.max():g} were set aside: a fit is to losses of one size."
                found.append(said)
            elif aside := told.get("set_aside", 0):
                found.append(
                    f"{aside:,} {'curve' if aside == 1 else 'curves'} over {name} with one point, not at "
                    f"{told['at']:g}, set aside: nothing tells where they lead. Run these mixtures at more {name}."
                )
        if (mixtures := fitted.parameters["mixture"]["mixtures"]) <= self.numbers(len(runs.settings.sources)):
            found.append(f"Only {mixtures} mixtures are left for the mixing law: run more of them at every size.")
        return found
