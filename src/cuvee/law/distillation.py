"""Distillation scaling law: what a student reaches by its size, the tokens it is distilled on, and its teacher's loss.

Busbridge et al., "Distillation Scaling Laws", ICML 2025, arXiv 2502.08606, equation 8. In two stages: runs without a
teacher give the loss of a student of N parameters and D tokens by supervised training,

    L0 = E + (A / N^alpha + B / D^beta)^gamma,

and with it fixed, runs with a teacher of loss L_T give

    L = L_T + L_T^(-c0) (1 + (L_T / (L0 d1))^(1 / f1))^(-c1 f1) (A' / N^alpha' + B' / D^beta')^gamma'.

Beside a far better teacher L_T + L_T^(-c0) (...)^gamma' is left; a far worse one is imitated, L -> L_T, as is any by a
student without bounds. Every number but c0 is positive. Huber's loss of logarithms, from many starts.

What was measured is compared, too: each distilled run with supervised runs of its own size at the same compute, 6 N D
for training alone, with 2 N_T D for the teacher's predictions, and with the teacher's own 6 N_T D_T besides.

Inputs: columns parameters, tokens, teacher_loss, teacher_parameters, teacher_tokens; the last three 0 in runs without a
teacher (teacher_tokens 0 besides where they are not known). Cost: tenths of a second. Traps: nine numbers of the second
stage ask for three teachers, sizes and token counts or more; which ones the runs leave open is said, and predictions
then hold between the runs alone; a better teacher may be worse for a small student, which the law can say only if such
teachers were tried.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Card, Law, Prediction, Runs, Settings
from ..errors import DataError, UsageError
from .curve import Numbers, minimise, spread
from .distilled import DISTILLED, SUPERVISED, compared, distilled, named, said, supervised, unidentified

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Student(Prediction):
    """The numbers of both stages as they are fitted, float64, (6,) and (9,)."""

    alone: Floats
    taught: Floats
    parameters: Mapping[str, Any]

    def at(self, settings: Settings) -> Floats:
        """Supervised where teacher_loss is 0."""
        n, d, teacher = (settings.values[name] for name in ("parameters", "tokens", "teacher_loss"))
        base = supervised(self.alone[None], n, d)[0]
        with np.errstate(all="ignore"):
            found = distilled(self.taught[None], n, d, np.where(teacher > 0, teacher, 1.0), base)[0]
        return np.where(teacher > 0, found, base)


@dataclass(frozen=True)
class Distillation(Law):
    """``delta``: where residuals of logarithms begin to count linearly; ``restarts``: starts of each stage."""

    delta: float = 1e-3
    restarts: int = 48

    card: ClassVar[Card] = Card(
        summary="A distilled student's loss by its size, its tokens and its teacher's loss.",
        family="law",
        needs=("parameters", "tokens", "teacher_loss", "teacher_parameters", "teacher_tokens"),
        cost="tenths of a second a fit",
        bibtex="""@inproceedings{busbridge2025distillation,
  title={Distillation Scaling Laws},
  author={Busbridge, Dan and Shidani, Amitis and Weers, Floris and Ramapuram, Jason and Littwin, Etai and Webb, Russ},
  booktitle={International Conference on Machine Learning},
  year={2025}
}""",
        evidence="planted parameters; limits in closed form; claim: reproduced (6 seeds): a teacher "
        "pays while letters are few, not if it is trained for one student",
        gives=("loss",),
    )

    def numbers(self, sources: int) -> int:
        return len(SUPERVISED) + len(DISTILLED)

    def fit(self, runs: Runs) -> Student:
        values = runs.settings.values
        if min(values["parameters"].min(), values["tokens"].min(), runs.outcome.min()) <= 0:
            raise DataError("distillation: parameters, tokens and losses must be above 0. Leave that run out.")
        taught = values["teacher_loss"] > 0
        pairs = np.column_stack([values[name] for name in ("parameters", "tokens", "teacher_loss")])
        for what, rows, least in (
            ("without a teacher (teacher_loss 0)", ~taught, len(SUPERVISED) + 1),
            ("with a teacher", taught, len(DISTILLED) + 1),
        ):
            there = len(np.unique(pairs[rows], axis=0))
            if there < least:
                raise DataError(
                    f"distillation needs runs of {least} settings or more {what}, and there are {there}. Train more, "
                    "or compare at equal compute alone: cuvee.law.distilled.compared."
                )
        if not self.delta > 0 or self.restarts < 1:
            raise UsageError(
                f"distillation: delta must be above 0 and restarts at least 1, not {self.delta:g} and {self.restarts}."
            )
        if len(np.unique(pairs[taught, 2])) < 2:
            raise DataError("distillation: one teacher says nothing of others. Distil from teachers of other losses.")
        return self._fit(runs, np.ones(len(runs)), None)

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        start = begin if isinstance(begin, Student) else None
        return [self._fit(runs, row.astype(np.float64), start) for row in counts]

    def _fit(self, runs: Runs, weight: Floats, begin: Student | None) -> Student:
        taught = runs.settings.values["teacher_loss"] > 0
        n, d, teacher = (runs.settings.values[name] for name in ("parameters", "tokens", "teacher_loss"))
        y = np.log(runs.outcome)

        def solve(value: Any, rows: Any, starts: Floats) -> Floats:
            weights = np.tile(weight[rows], (len(starts), 1))
            theta, reached = minimise(value, starts, y[rows], weights, self.delta, 1e-9)
            return np.asarray(theta[int(reached.argmin())])

        u, v = n[~taught], d[~taught]
        starts = self._starts(runs, ~taught, 1) if begin is None else begin.alone[None]
        alone = solve(lambda theta: np.log(supervised(theta, u, v)), ~taught, starts)
        base = supervised(alone[None], n[taught], d[taught])
        p, q, t = n[taught], d[taught], teacher[taught]
        starts = self._starts(runs, taught, 4) if begin is None else begin.taught[None]
        theta = solve(lambda theta: np.log(distilled(theta, p, q, t, base)), taught, starts)
        return Student(alone, theta, {"supervised": named(alone, 1), "distilled": named(theta, 4)})

    def _starts(self, runs: Runs, rows: npt.NDArray[np.bool_], first: int) -> Floats:
        n, d = (np.log(runs.settings.values[name][rows]) for name in ("parameters", "tokens"))
        floor = math.log(float(runs.outcome[rows].min()))
        before = [(floor - 1.0, floor - 0.02)] if first == 1 else [(0.0, 2.0), (-1.0, 4.0), (-0.3, 0.4), (-3.0, 0.0)]
        after = [(n.min() - 6, n.max()), (d.min() - 6, d.max()), (-1.6, -0.2), (-1.6, -0.2), (-1.0, 0.3)]
        low, high = np.array([*before, *after]).T
        return spread(0, self.restarts, low, high)

    def remarks(self, runs: Runs, fitted: Prediction) -> list[str]:
        assert isinstance(fitted, Student)
        taught = runs.take(runs.settings.values["teacher_loss"] > 0)
        n, d, teacher = (taught.settings.values[name] for name in ("parameters", "tokens", "teacher_loss"))
        found = [
            f"Distilled runs have {len(np.unique(one))} {words}; three or more are needed to tell their part."
            for one, words in ((teacher, "teachers"), (n, "sizes of students"), (d, "token counts"))
            if len(np.unique(one)) < 3
        ]
        base = supervised(fitted.alone[None], n, d)

        def value(theta: Numbers) -> Numbers:
            return np.asarray(np.log(distilled(theta, n, d, teacher, base)))

        if loose := unidentified(value, fitted.taught, np.log(taught.outcome), DISTILLED):
            told = ", ".join(loose)
            found.append(
                f"Not identified by the distilled runs: {told}. Predictions hold between the runs, not beyond."
            )
        return [*found, *said(compared(runs))]
