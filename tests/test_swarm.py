"""What claims about mixing laws are made of: shares are exact, nothing is repeated, helpers against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from claims import autoscale, bimix, data_mixing_laws
from claims.swarm import DOMAINS, FLOOR, SMALL, Ground, Swarm, accuracy, predicted


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.of(101)


def test_a_run_takes_its_bytes_of_every_domain_and_repeats_nothing(ground: Ground) -> None:
    for name in DOMAINS:
        taken = ground.text(name, 50_000, 0)
        assert 50_000 - 3 <= sum(map(len, taken)) <= 50_000  # a character is not cut in two
        own = ground.pool.of(name).text
        assert all(one in own for one in taken[:-1])
        assert ground.text(name, 20_000, 0)[:-1] == taken[: len(ground.text(name, 20_000, 0)) - 1]
        assert ground.text(name, 50_000, 1) != taken


def test_no_source_of_held_out_text_is_trained_on(ground: Ground) -> None:
    parts = [set(one.source) for one in (ground.pool, ground.held, ground.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_mixtures_are_shares_within_the_floor_and_alike_at_every_size(ground: Ground) -> None:
    found = ground.mixtures(12, 0)
    np.testing.assert_allclose(found.sum(1), 1.0)
    assert found.min() >= FLOOR
    np.testing.assert_array_equal(found, ground.mixtures(12, 0))
    assert not np.isclose(found, ground.mixtures(12, 1)).all()


def test_more_of_a_domain_makes_its_own_loss_smaller(ground: Ground) -> None:
    k = len(DOMAINS)
    x = np.full((2, k), 1 / k)
    x[1] = 0.5 * x[1] + 0.5 * np.eye(k)[0]
    few, many = (ground.bits(ground.train(one, SMALL, 0), ground.held) for one in x)
    assert many[0] < few[0]
    assert many[1:].sum() > few[1:].sum()


def test_the_paper_s_bimix_recovers_a_power_of_the_own_share() -> None:
    x = np.random.default_rng(0).dirichlet(np.ones(len(DOMAINS)), 30)
    factor, power = np.linspace(1, 2, len(DOMAINS)), np.linspace(0.1, 0.4, len(DOMAINS))
    losses = factor * x**-power
    np.testing.assert_allclose(predicted(bimix.own_share(Swarm(x, losses)), x), losses, rtol=1e-5)


def test_extrapolated_amounts_go_on_by_their_factors() -> None:
    first, second = np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.3, 0.1])
    steps = np.log(6) / np.log(4)
    amounts = 100_000 * second * (4 * second / first) ** steps
    np.testing.assert_allclose(autoscale.extrapolated(first, second, np.ones(3)), amounts / amounts.sum())


def test_nested_losses_are_those_of_planted_curves() -> None:
    random = np.random.default_rng(1)
    x = random.dirichlet(np.ones(len(DOMAINS)), 8)
    floor, height = random.uniform(2, 3, (8, 3)), random.uniform(0.3, 0.6, (8, 3))
    swarms = {size: Swarm(x, floor + height * (size / 1e5) ** -0.3) for size in (25_000, 50_000, 100_000)}
    found = data_mixing_laws.nested(swarms)
    wanted = floor + height * 6**-0.3
    for mixture, loss in zip(found.mixtures, found.losses, strict=True):
        np.testing.assert_allclose(loss, wanted[np.abs(x - mixture).sum(1).argmin()], atol=1e-6)


def test_accuracy_is_the_mean_error_and_the_rank_of_the_mean() -> None:
    left_out = Swarm(np.full((4, 6), 1 / 6), np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0], [4.0, 5.0]]))
    one = accuracy(left_out.losses + 0.1, left_out, 10 - left_out.losses)
    assert one["error"] == pytest.approx(0.1)
    assert one["rank at target size"] == pytest.approx(-1.0)
