"""The marginal likelihood of a Gaussian process, and where it is largest: see :mod:`cuvee.law.gaussian_process`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BOUNDS = np.log([[1e-3, 1e3], [1e-2, 1e2], [1e-5, 1e1]])
"""Logarithms of the least and largest C, l and s^2 of a plain process."""
FIRST = np.log([1.0, 1.0, 0.1])
STEPS = 100


def squares(left: Floats, right: Floats) -> Floats:
    """Squared distances between mixtures: (n, k) and (m, k) to float64, (n, m)."""
    found = np.zeros((len(left), len(right)))
    for column in range(left.shape[1]):
        found += (left[:, column, None] - right[:, column]) ** 2
    return found


def likelihood(theta: Floats, far: Floats, noise: Floats, y: Floats) -> tuple[float, Floats, Floats]:
    """The log marginal likelihood, its slope, (p,), and Fisher's information, (p, p), by the logarithms ``theta``.

    Args:
        theta: float64, (3,): of C, l and s^2; or (3 + k,): besides, how many times longer the length of each source
            is, of which standard normal logarithms are expected.
        far: float64, (n, n): squared distances, or what stands for them; (k, n, n), by source, for 3 + k numbers.
        noise: float64, (n,): each run's share of s^2. y: float64, (n,).
    """
    c, length, white = np.exp(theta[:3])
    longer = theta[3:]
    each = far * np.exp(-2 * longer)[:, None, None] if len(longer) else far[None]
    smooth = c * np.exp(-0.5 * each.sum(0) / length**2)
    k = smooth + np.diag(white * noise)
    try:
        inverse = np.linalg.inv(k)
    except np.linalg.LinAlgError:  # far beyond what numbers hold: no place to climb to
        return -math.inf, np.zeros(len(theta)), np.eye(len(theta))
    told = inverse @ y
    by_white = inverse * (white * noise)
    by_longer = [inverse @ (smooth * one / length**2) for one in each]
    parts = [np.eye(len(y)) - by_white, np.sum(by_longer, axis=0), by_white]  # K^-1 dK, by C, l and s^2
    parts += by_longer if len(longer) else []
    slope = np.array([y @ one @ told - np.trace(one) for one in parts]) / 2
    turned = np.stack([one.T.ravel() for one in parts])
    information = np.stack([one.ravel() for one in parts]) @ turned.T / 2
    sign, size = np.linalg.slogdet(k)
    value = -0.5 * (y @ told + size + len(y) * math.log(2 * math.pi) + longer @ longer)
    slope[3:] -= longer
    information[3:, 3:] += np.eye(len(longer))
    able = sign > 0 and np.isfinite(value) and np.isfinite(slope).all() and np.isfinite(information).all()
    return float(value) if able else -math.inf, slope, information


def log_likelihood(theta: Floats, far: Floats, noise: Floats, y: Floats) -> float:
    """The value of :func:`likelihood` alone, at a third of the cost."""
    c, length, white = np.exp(theta)
    k = c * np.exp(-0.5 * far / length**2) + np.diag(white * noise)
    try:
        root = np.linalg.cholesky(k)
    except np.linalg.LinAlgError:
        return -math.inf
    told = np.linalg.solve(root, y)
    return float(-0.5 * (told @ told + len(y) * math.log(2 * math.pi)) - np.log(np.diag(root)).sum())


def climb(theta: Floats, far: Floats, noise: Floats, y: Floats, bounds: Floats = BOUNDS) -> tuple[Floats, float]:
    """The likelihood's maximum uphill of ``theta`` within the bounds, and its value."""
    value, slope, information = likelihood(theta, far, noise, y)
    damping = 1e-2
    for _ in range(STEPS):
        held = ((theta <= bounds[:, 0]) & (slope < 0)) | ((theta >= bounds[:, 1]) & (slope > 0))
        damped = information + np.diag(damping * np.diag(information) + 1e-9)
        damped[held] = damped[:, held] = 0.0
        damped[held, held] = 1.0
        step = np.clip(np.linalg.solve(damped, np.where(held, 0.0, slope)), -2.0, 2.0)
        tried = np.clip(theta + step, bounds[:, 0], bounds[:, 1])
        reached, steeper, bent = likelihood(tried, far, noise, y)
        if reached > value:
            small = reached - value < 1e-11 * (1 + abs(value))
            theta, value, slope, information = tried, reached, steeper, bent
            damping = max(damping * 0.2, 1e-9)
            if small:
                break
        else:
            damping *= 6.0
            if damping > 1e9:
                break
    return theta, value
