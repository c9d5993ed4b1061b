"""The marginal likelihood of a Gaussian process, and where it is largest: see :mod:`cuvee.law.gaussian_process`."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
BOUNDS = np.log([[1e-3, 1e3], [1e-2, 1e2], [1e-5, 1e1]])
"""Logarithms of the least and largest C, l and s^2."""
FIRST = np.log([1.0, 1.0, 0.1])
STEPS = 100


def squares(left: Floats, right: Floats) -> Floats:
    """Squared distances between mixtures: (n, k) and (m, k) to float64, (n, m)."""
    found = np.zeros((len(left), len(right)))
    for column in range(left.shape[1]):
        found += (left[:, column, None] - right[:, column]) ** 2
    return found


def likelihood(theta: Floats, far: Floats, noise: Floats, y: Floats) -> tuple[float, Floats, Floats]:
    """The log marginal likelihood, its slope, (3,), and Fisher's information, (3, 3), by the logarithms ``theta``.

    Args:
        far: float64, (n, n): squared distances. noise: float64, (n,): each run's share of s^2. y: float64, (n,).
    """
    c, length, white = np.exp(theta)
    smooth = c * np.exp(-0.5 * far / length**2)
    k = smooth + np.diag(white * noise)
    inverse = np.linalg.inv(k)
    told = inverse @ y
    by_white = inverse * (white * noise)
    by_length = inverse @ (smooth * far / length**2)
    parts = [np.eye(len(y)) - by_white, by_length, by_white]  # K^-1 dK, by C, l and s^2
    slope = np.array([y @ one @ told - np.trace(one) for one in parts]) / 2
    information = np.array([[(one * other.T).sum() for other in parts] for one in parts]) / 2
    value = -0.5 * (y @ told + np.linalg.slogdet(k)[1] + len(y) * math.log(2 * math.pi))
    return float(value), slope, information


def log_likelihood(theta: Floats, far: Floats, noise: Floats, y: Floats) -> float:
    """The value of :func:`likelihood` alone, at a third of the cost."""
    c, length, white = np.exp(theta)
    k = c * np.exp(-0.5 * far / length**2) + np.diag(white * noise)
    root = np.linalg.cholesky(k)
    told = np.linalg.solve(root, y)
    return float(-0.5 * (told @ told + len(y) * math.log(2 * math.pi)) - np.log(np.diag(root)).sum())


def climb(theta: Floats, far: Floats, noise: Floats, y: Floats) -> tuple[Floats, float]:
    """The likelihood's maximum uphill of ``theta`` within the bounds, and its value."""
    value, slope, information = likelihood(theta, far, noise, y)
    damping = 1e-2
    for _ in range(STEPS):
        held = ((theta <= BOUNDS[:, 0]) & (slope < 0)) | ((theta >= BOUNDS[:, 1]) & (slope > 0))
        damped = information + np.diag(damping * np.diag(information) + 1e-9)
        damped[held] = damped[:, held] = 0.0
        damped[held, held] = 1.0
        step = np.clip(np.linalg.solve(damped, np.where(held, 0.0, slope)), -2.0, 2.0)
        tried = np.clip(theta + step, BOUNDS[:, 0], BOUNDS[:, 1])
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
