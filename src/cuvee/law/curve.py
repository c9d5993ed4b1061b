"""Fitting laws that are formulas: robust least squares, many starts and many resamples at once.

The objective is the sum of Huber losses of the residuals (quadratic within ``delta``, linear beyond), which published
fits of such laws minimise by L-BFGS. Here it is minimised by Levenberg-Marquardt steps on reweighted residuals: all
starts, folds and bootstrap resamples of a fit are rows of one array, so that a fit takes milliseconds. Derivatives are
exact: a step of 1e-30 along the imaginary axis (Squire and Trapp, "Using Complex Variables to Estimate Derivatives of
Real Functions", 1998), so a law is written as one formula and nothing else.

A formula must therefore be made of functions that are analytic where it is used: no ``abs``, ``maximum`` or ``clip``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..core import Law, Prediction, Runs, Settings
from ..errors import DataError, UsageError

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[Any]
"""float64 or complex128."""
Value = Callable[[Numbers], Numbers]
Derived = Callable[[Floats], tuple[Floats, Floats]]
"""(b, p) parameters to (b, n) values and their (b, p, n) derivatives."""
_STEP = 1e-30
_CELLS = 1 << 21
"""Derivatives are held for at most so many (fit, run, parameter) at a time."""


def bounded_exp(x: Numbers, limit: float = 30.0) -> Numbers:
    """exp(x), constant beyond ``limit``: parameters on their way to a minimum must not overflow."""
    return np.exp(x - np.maximum(x.real - limit, 0.0))


def dot(mixture: Numbers, direction: Numbers) -> Numbers:
    """Inner products with every row of a mixture: (n, k) or (b, n, k) by (b, k) gives (b, n)."""
    if mixture.ndim == 2:
        return direction @ mixture.T
    return (mixture @ direction[..., None])[..., 0]


def huber(residual: Floats, delta: float) -> Floats:
    """r^2 / 2 up to ``delta``, beyond it delta (|r| - delta / 2)."""
    size = np.abs(residual)
    return np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))


def minimise(
    value: Value,
    starts: Floats,
    target: Floats,
    weight: Floats,
    delta: float,
    ridge: float = 0.0,
    steps: int = 150,
    derived: Derived | None = None,
) -> tuple[Floats, Floats]:
    """Minimise sum_i weight_i huber(value_i - target_i) + ridge |theta|^2 / 2 from every start.

    Args:
        value: (b, p) parameters, real or complex, to (b, n) values.
        starts: float64, (b, p).
        target: float64, (n,). weight: float64, (b, n), not negative.
        derived: values and derivatives by formula; by complex steps without it.

    Returns:
        float64, (b, p) parameters, and float64, (b,) objectives: infinite where nothing finite was found.
    """
    found = []
    derived = derived or _complex_steps(value)
    rows = max(1, _CELLS // max(1, len(target) * starts.shape[1] ** 2))
    for low in range(0, len(starts), rows):
        part = slice(low, low + rows)
        with np.errstate(all="ignore"):
            found.append(_levenberg(value, derived, starts[part], target, weight[part], delta, ridge, steps))
    return np.concatenate([theta for theta, _ in found]), np.concatenate([objective for _, objective in found])


def _complex_steps(value: Value) -> Derived:
    def derived(theta: Floats) -> tuple[Floats, Floats]:
        many, count = theta.shape
        moved = theta[:, None, :] + 1j * _STEP * np.eye(count)
        values = value(moved.reshape(-1, count)).reshape(many, count, -1)
        return values[:, 0].real, values.imag / _STEP

    return derived


def _levenberg(
    value: Value, derived: Derived, starts: Floats, target: Floats, weight: Floats, delta: float, ridge: float,
    steps: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    theta = starts.copy()
    count = theta.shape[1]

    def objective(at: Floats, w: Floats) -> Floats:
        total = (w * huber(value(at).real - target, delta)).sum(1) + 0.5 * ridge * (at**2).sum(1)
        return np.where(np.isfinite(total), total, np.inf)

    best = objective(theta, weight)
    damping = np.full(len(theta), 1e-2)
    active = np.flatnonzero(np.isfinite(best))
    eye = np.eye(count)
    for _ in range(steps):
        if not len(active):
            break
        here, w = theta[active], weight[active]
        values, jacobian = derived(here)
        residual = values - target
        robust = w * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
        weighted = jacobian * robust[:, None, :]
        gradient = (weighted @ residual[..., None])[..., 0] + ridge * here
        curvature = weighted @ jacobian.transpose(0, 2, 1) + ridge * eye
        diagonal = np.einsum("bpp->bp", curvature)
        scale = diagonal + 1e-12 * diagonal.max(1, keepdims=True) + 1e-300
        damped = curvature + damping[active, None, None] * (scale[..., None] * eye)
        usable = np.isfinite(damped).all((1, 2)) & np.isfinite(gradient).all(1)
        damped[~usable] = eye
        gradient[~usable] = 0.0
        step = np.linalg.solve(
            damped + 1e-14 * diagonal.max(1)[:, None, None] * eye + 1e-290 * eye, gradient[..., None]
        )
        tried = here - step[..., 0]
        reached = objective(tried, w)
        before = best[active]
        better = reached < before
        theta[active[better]] = tried[better]
        best[active[better]] = reached[better]
        damping[active] = np.where(better, np.maximum(0.2 * damping[active], 1e-12), 5.0 * damping[active])
        settled = better & (before - reached <= 1e-13 * (before + 1e-12))
        active = active[~(settled | (damping[active] > 1e12) | ~usable)]
    return theta, best


@dataclass(frozen=True)
class Curve(Prediction):
    """A fitted formula: its law and parameter vector, float64, (p,)."""

    law: CurveLaw
    theta: Floats
    objective: float
    parameters: dict[str, Any] = field(default_factory=dict)

    def at(self, settings: Settings) -> Floats:
        with np.errstate(all="ignore"):
            found = self.law.value(self.theta[None, :].astype(np.complex128), settings)[0].real
        return np.where(np.isfinite(found), found, np.nan)

    def slope(self, settings: Settings) -> Floats | None:
        return slopes(self.law, self.theta[None, :], settings)[0]


def slopes(law: CurveLaw, theta: Floats, settings: Settings) -> Floats:
    """Derivatives by each share: float64, (b, n, k), by complex steps unless the law writes them out."""
    written = law.by_share(theta, settings)
    if written is not None:
        return written
    found = []
    complex_theta = theta.astype(np.complex128)
    for at in range(settings.mixture.shape[-1]):
        moved = settings.mixture.astype(np.complex128)
        moved[..., at] += 1j * _STEP
        found.append(law.value(complex_theta, replace(settings, mixture=moved)).imag / _STEP)  # type: ignore[arg-type]
    return np.stack(found, axis=-1)


class CurveLaw(Law):
    """A law that is a formula in real parameters; subclasses give the formula, its starts, and names."""

    delta: float = 0.02
    """Where residuals begin to count linearly, in the unit of the outcome (of its logarithm with ``logarithmic``)."""
    ridge: ClassVar[float] = 1e-9
    """Keeps directions that nothing identifies where they began."""
    logarithmic: ClassVar[bool] = False
    """Whether residuals are of logarithms."""

    @abstractmethod
    def value(self, theta: Numbers, settings: Settings) -> Numbers:
        """(b, p) parameters to (b, n) outcomes; analytic in both."""

    def derived(self, theta: Floats, settings: Settings) -> tuple[Floats, Floats] | None:
        """Outcomes, (b, n), and their derivatives by the parameters, (b, p, n), for laws that write them out.

        Complex steps give the same to the last digits, at a cost that grows with the square of the parameters.
        """
        return None

    def by_share(self, theta: Floats, settings: Settings) -> Floats | None:
        """The derivatives by each share, (b, n, k), for laws that write them out; mixtures may be (b, n, k), too."""
        return None

    @abstractmethod
    def starts(self, runs: Runs) -> Floats:
        """Where to begin, float64, (s, p): the likeliest first."""

    @abstractmethod
    def named(self, theta: Floats, sources: tuple[str, ...]) -> dict[str, Any]:
        """The parameters by name, in the form that the paper gives them."""

    def fit(self, runs: Runs) -> Curve:
        return self._curves(runs, np.ones((1, len(runs))), self._begun(runs))[0]

    def refit(self, runs: Runs, counts: npt.NDArray[np.int64], begin: Prediction | None = None) -> list[Prediction]:
        starts = self._begun(runs) if not isinstance(begin, Curve) else begin.theta[None, :]
        return list(self._curves(runs, counts.astype(np.float64), starts))

    def checked(self) -> None:
        """Refuse parameters that all such laws share and that no fit can have.

        Raises:
            UsageError: ``delta`` is not above 0, or ``restarts`` below 1.
        """
        name = type(self).__module__.rpartition(".")[2]
        if not self.delta > 0:
            raise UsageError(f"{name}: delta must be a number above 0, not {self.delta:g}.")
        if getattr(self, "restarts", 1) < 1:
            raise UsageError(f"{name}: restarts must be at least 1, not {getattr(self, 'restarts', 1)}.")

    def _begun(self, runs: Runs) -> Floats:
        self.checked()
        return self.starts(runs)

    def _held(self, target: Floats) -> float:
        """The ridge beside residuals of this target: less where it is below 1, whose squares it would outweigh."""
        return self.ridge if self.logarithmic else self.ridge * min(1.0, float(np.abs(target).mean())) ** 2

    def _curves(self, runs: Runs, weight: Floats, starts: Floats) -> list[Curve]:
        target = runs.outcome
        if self.logarithmic:
            if (target <= 0).any():
                raise DataError("An outcome is not above 0, and this law is fitted to logarithms. Leave that run out.")
            target = np.log(target)

        def value(theta: Numbers) -> Numbers:
            found = self.value(theta, runs.settings)
            return np.log(found) if self.logarithmic else found

        def derived(theta: Floats) -> tuple[Floats, Floats]:
            written = self.derived(theta, runs.settings)
            assert written is not None
            return (np.log(written[0]), written[1] / written[0][:, None, :]) if self.logarithmic else written

        many, begun = len(weight), len(starts)
        by_formula = derived if self.derived(starts[:1], runs.settings) is not None else None
        theta, reached = minimise(
            value, np.tile(starts, (many, 1)), target, np.repeat(weight, begun, 0), self.delta,
            self._held(target), derived=by_formula,
        )  # fmt: skip
        theta, reached = theta.reshape(many, begun, -1), reached.reshape(many, begun)
        best = reached.argmin(1)
        if not np.isfinite(reached[np.arange(many), best]).all():
            raise DataError("No start of the fit gave finite values. Look for outcomes or settings of extreme size.")
        found = []
        for at, place in enumerate(best):
            own = theta[at, place]
            found.append(Curve(self, own, float(reached[at, place]), self.named(own, runs.settings.sources)))
        return found


def spread(law_seed: int, count: int, low: Floats, high: Floats) -> Floats:
    """``count`` starts, uniform between bounds: a generator of its own, so no fit depends on another."""
    return np.random.default_rng(law_seed).uniform(low, high, (count, len(low)))
