"""The additive law of shares: fits of many sources reach the least misfit, and runs left out have no part in them."""

from __future__ import annotations

import numpy as np

from cuvee.core import Runs, Settings
from cuvee.law.optimal_mixtures import FLOOR, OptimalMixtures


def planted(seed: int, k: int, n: int) -> tuple[OptimalMixtures, Runs]:
    """A law with repetition and one power, and noisy runs of its losses around the natural mixture."""
    random = np.random.default_rng(seed)
    natural = random.dirichlet(np.full(k, 2.0))
    law = OptimalMixtures(one_pass=tuple(natural.tolist()), shared=True)
    theta = np.concatenate([[0.5], random.normal(0, 0.8, k), [np.log(0.4), np.log(4.0)]])
    mixture = random.dirichlet(natural**0.5 * 4 * k, n)
    settings = Settings(tuple(f"d{at}" for at in range(k)), mixture)
    loss = law.value(theta[None].astype(complex), settings)[0].real
    return law, Runs(settings, loss + random.normal(0, 0.02 * loss.std(), n), np.arange(n))


def test_many_sources() -> None:
    """As little misfit as 32 starts that all go to their end; three random ones had 8 and 18 times as much."""
    for seed in range(2):
        law, runs = planted(seed, 12, 64)
        thorough = OptimalMixtures(restarts=32, one_pass=law.one_pass, shared=True).fit(runs)
        assert law.fit(runs).objective <= 1.01 * thorough.objective


def test_told_numbers_are_those_used() -> None:
    """Within their bounds, whatever the search for them ended at."""
    law, runs = planted(0, 3, 8)
    theta = np.array([0.5, 0.1, -0.3, 0.8, 3.0, 6.0])  # of which gamma is at most e, and R at most e^4
    told = law.named(theta, runs.settings.sources)
    once, share, lasting = np.array(law.one_pass), runs.settings.mixture, told["R"]
    more = once * (1 + lasting * (1 - np.exp(-(share / once - 1) / lasting)))
    worth = np.array([told["C"][name] for name in runs.settings.sources])
    seen = np.where(share > once, more, share)
    expected = told["E"] + 1 / (worth * (seen + FLOOR) ** told["gamma"]).sum(1)
    np.testing.assert_allclose(law.value(theta[None].astype(complex), runs.settings)[0].real, expected, rtol=1e-12)


def test_runs_left_out_have_no_part() -> None:
    """Whatever they are: the fit to the others is the same to the bit."""
    law, runs = planted(9, 6, 24)
    counts = np.ones((2, 24), np.int64)
    counts[0, :6] = counts[1, 6:12] = 0
    told = np.where(np.arange(24) < 6, 9.0 + np.arange(24), runs.outcome)
    first = law.refit(runs, counts)[0].at(runs.settings)
    again = law.refit(Runs(runs.settings, told, runs.group), counts)[0].at(runs.settings)
    np.testing.assert_array_equal(first, again)
