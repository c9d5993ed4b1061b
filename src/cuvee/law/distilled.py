"""Distilled runs: the formulas of ``distillation``, what a fit leaves open, and what was measured at equal compute.

For the comparison no law is fitted. Training takes 6 N D operations for N parameters and D tokens, and a teacher's
predictions on D tokens 2 N_T D. A student distilled on D tokens is compared with one of its own size that was trained
without a teacher on so many tokens as make up the same compute: with nothing of the teacher counted (its predictions
are kept, or many students share them), with its predictions, and with its own training, 6 N_T D_T, besides. Supervised
losses are taken between measured ones, in a straight line over the logarithm of tokens, and never beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..core import Runs
from ..proof.power import t_quantile
from .curve import Numbers, Value, bounded_exp
from .judge import group_means, seed_noise

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
OPEN = 1.0
"""A number's standard error, of its logarithm, from which it counts as not identified."""


SUPERVISED = ("E", "A", "B", "alpha", "beta", "gamma")
DISTILLED = ("c0", "c1", "d1", "f1", "A", "B", "alpha", "beta", "gamma")
STEEP, C1, F1 = 3.0, 8.0, 3.0
"""The largest logarithms of alpha, beta and gamma, of c1 and of f1."""


def bulk(theta: Numbers, n: Floats, d: Floats) -> Numbers:
    """(A / N^alpha + B / D^beta)^gamma; ``theta``, (b, 5): log A / alpha, log B / beta, log alpha, beta, gamma."""
    a, b = theta[:, :1], theta[:, 1:2]
    alpha, beta, gamma = (bounded_exp(theta[:, at : at + 1], STEEP) for at in (2, 3, 4))
    inner = bounded_exp(alpha * (a - np.log(n))) + bounded_exp(beta * (b - np.log(d)))
    return bounded_exp(gamma * np.log(inner))


def supervised(theta: Numbers, n: Floats, d: Floats) -> Numbers:
    """L0, (b, n); ``theta``, (b, 6): log E and the numbers of :func:`bulk`."""
    return bounded_exp(theta[:, :1]) + bulk(theta[:, 1:], n, d)


def distilled(theta: Numbers, n: Floats, d: Floats, teacher: Floats, alone: Floats) -> Numbers:
    """L, (b, n); ``theta``, (b, 9): c0, log c1, log d1, log f1, and the numbers of :func:`bulk`. ``alone``: L0."""
    c0, c1, d1, f1 = theta[:, :1], *(theta[:, at : at + 1] for at in (1, 2, 3))
    c1, f1 = bounded_exp(c1, C1), bounded_exp(f1, F1)
    x = (np.log(teacher) - np.log(alone) - d1) / f1
    # log(1 + e^x), written so that neither end overflows
    turn = np.where(x.real > 0, x, 0) + np.log(1 + np.exp(np.where(x.real > 0, -x, x)))
    return teacher + bounded_exp(-c0 * np.log(teacher) - c1 * f1 * turn) * bulk(theta[:, 4:], n, d)


def named(theta: Floats, first: int) -> dict[str, float]:
    """The numbers as the paper writes them."""
    names = SUPERVISED if first == 1 else DISTILLED
    most = {"alpha": STEEP, "beta": STEEP, "gamma": STEEP, "c1": C1, "f1": F1}
    found = {name: float(bounded_exp(one, most.get(name, 30.0))) for name, one in zip(names, theta, strict=True)}
    if first != 1:
        found["c0"] = float(theta[0])
    return found | {
        "A": float(np.exp(theta[first] * found["alpha"])),
        "B": float(np.exp(theta[first + 1] * found["beta"])),
    }


@dataclass(frozen=True)
class Difference:
    """A distilled loss less the supervised one of equal compute: below 0 where distilling is better.

    Attributes:
        tokens: on which the supervised student would have been trained.
        value: NaN where no supervised runs of that size enclose these tokens.
        low, high: 95 %, by the noise between seeds; NaN if no setting was run twice.
    """

    tokens: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One distilled setting: its student's size and tokens, its teacher's loss, and what is counted in the comparison:

    nothing of the teacher, its predictions, or its training besides.
    """

    parameters: float
    tokens: float
    teacher_loss: float
    loss: float
    excluded: Difference
    predictions: Difference
    included: Difference


def compared(runs: Runs) -> list[Comparison]:
    """Every distilled setting against supervised runs of its size, in the order of size, tokens and teacher.

    Args:
        runs: columns parameters, tokens, teacher_loss, teacher_parameters and teacher_tokens; the last three are 0 in
            runs without a teacher. The cost of a teacher of 0 parameters or tokens is not known: NaN where it counts.
    """
    settings, mean, times = group_means(runs)
    n, d, loss, size, seen = (
        settings.values[name]
        for name in ("parameters", "tokens", "teacher_loss", "teacher_parameters", "teacher_tokens")
    )
    noise, freedom = seed_noise(runs)
    taught = np.flatnonzero(loss > 0)
    found = []
    for at in taught[np.lexsort((loss[taught], d[taught], n[taught]))]:
        taken = d[at] * (1 + size[at] / (3 * n[at])) if size[at] > 0 else math.nan
        paid = taken + size[at] * seen[at] / n[at] if seen[at] > 0 else math.nan
        own = np.flatnonzero((loss <= 0) & (n == n[at]))
        own = own[np.argsort(d[own], kind="stable")]
        each = [
            _difference(float(mean[at]), float(times[at]), d[own], mean[own], times[own], float(tokens), noise, freedom)
            for tokens in (d[at], taken, paid)
        ]
        found.append(Comparison(float(n[at]), float(d[at]), float(loss[at]), float(mean[at]), *each))
    return found


def _difference(
    loss: float,
    times: float,
    tokens: Floats,
    alone: Floats,
    runs: Floats,
    asked: float,
    noise: float | None,
    freedom: int,
) -> Difference:
    if not len(tokens) or not tokens[0] * (1 - 1e-9) <= asked <= tokens[-1] * (1 + 1e-9):
        return Difference(asked, math.nan, math.nan, math.nan)
    weight = np.array([np.interp(np.log(asked), np.log(tokens), one) for one in np.eye(len(tokens))])
    value = loss - float(weight @ alone)
    if noise is None:
        return Difference(asked, value, math.nan, math.nan)
    wide = t_quantile(0.5 + LEVEL / 2, freedom) * noise * math.sqrt(1 / times + float(weight**2 @ (1 / runs)))
    return Difference(asked, value, value - wide, value + wide)


def said(comparisons: list[Comparison]) -> list[str]:
    """What the comparisons come to, a sentence each."""
    found = []
    for name, words in (
        ("excluded", "with nothing of the teacher counted"),
        ("predictions", "with the teacher's predictions counted"),
        ("included", "with the teacher's training counted"),
    ):
        every: list[Difference] = [getattr(one, name) for one in comparisons]
        known = [one for one in every if math.isfinite(one.value)]
        if every and all(math.isnan(one.tokens) for one in every):
            found.append(f"Nothing is compared {words}: what the teachers cost is not known (their tokens are 0).")
            continue
        if not known:
            found.append(f"No supervised run of equal size and compute is there to compare with, {words}.")
            continue
        better = sum(one.value < 0 for one in known)
        text = f"At equal compute {words}, distilled students are better than supervised ones of their size in "
        text += f"{better} of {len(known)} comparisons"
        if math.isfinite(known[0].low):
            surely = [sum(one.high < 0 for one in known), sum(one.low > 0 for one in known)]
            text += f" ({surely[0]} better and {surely[1]} worse beyond seed noise)"
        found.append(
            f"{text}; differences {min(one.value for one in known):+.3g} to {max(o.value for o in known):+.3g}."
        )
    return found


def unidentified(value: Value, theta: Floats, target: Floats, names: Sequence[str]) -> list[str]:
    """The numbers of a fit that runs leave open: those whose standard error is above ``OPEN``, or infinite.

    Args:
        value: (b, p) numbers, real or complex, to (b, n) predictions. ``theta``: (p,), the fit. ``target``: (n,).

    Errors are those of least squares, from the derivatives at the fit and its residuals.
    """
    moved = theta[None] + 1e-30j * np.eye(len(theta))
    slope = value(moved).imag / 1e-30
    residual = value(theta[None])[0].real - target
    freedom = len(target) - len(theta)
    if freedom < 1:
        return list(names)
    size, axes = np.linalg.eigh(slope @ slope.T)
    blind = size <= 1e-13 * size.max()
    variance = axes**2 @ np.where(blind, 0.0, float(residual @ residual) / freedom / np.where(blind, 1.0, size))
    wide = (variance > OPEN**2) | ((axes[:, blind] ** 2).sum(1) > 0.01)
    return [name for name, one in zip(names, wide, strict=True) if one]
