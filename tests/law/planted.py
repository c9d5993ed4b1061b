"""Planted swarms: runs of a known truth with noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from cuvee.core import Runs, Settings
from cuvee.law.table import groups_of

NAMES = ("books", "code", "web")
TILT = np.array([[-1.8, -0.3, -0.6], [-0.2, -2.0, -0.5], [-0.4, -0.2, -2.2]])
FLOOR, SCALE = np.array([2.0, 1.2, 1.6]), np.array([1.0, 1.5, 0.8])


def loss(mixture: Any, outcome: int) -> Any:
    """The planted data mixing law of one of three outcomes."""
    return FLOOR[outcome] + SCALE[outcome] * np.exp(mixture @ TILT[outcome])


def swarm(count: int, noise: float, seed: int = 0, repeats: int = 1, outcome: int = 0) -> Runs:
    """``count`` Dirichlet mixtures, each run ``repeats`` times."""
    random = np.random.default_rng(seed)
    mixture = np.repeat(random.dirichlet([2.5, 1.5, 1.0], count), repeats, 0)
    noisy = loss(mixture, outcome) + random.normal(0, noise, len(mixture))
    return Runs(Settings(NAMES, mixture), noisy, np.repeat(np.arange(count), repeats))


def table(outcome: Any, **columns: Any) -> Runs:
    """Runs without a mixture from columns."""
    values = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    rows = len(next(iter(values.values())))
    settings = Settings((), np.empty((rows, 0)), values)
    return Runs(settings, np.asarray(outcome, np.float64), groups_of(settings))


def at(**columns: Any) -> Settings:
    """Settings without a mixture."""
    return table(next(iter(columns.values())), **columns).settings
