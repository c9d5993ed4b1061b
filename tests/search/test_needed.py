"""What proportional would need for the proposal's loss: planted learning curves, and when nothing is run or told."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cuvee.errors import DataError
from cuvee.proof.multiples import crossing
from cuvee.search import needed, wording
from cuvee.search.stock import Grid

NATURAL = np.array([0.75, 0.25])
SEEDS = (7, 8, 9, 10)


def curve(times: float) -> float:
    return 3.0 * times**-0.1


def done(arm: str, seed: int, loss: float, status: str = "finished") -> Any:
    record = SimpleNamespace(status=status, metrics={"held": loss + 0.001 * (seed % 2)})
    return SimpleNamespace(asked=SimpleNamespace(arm=arm, seed=seed), record=record)


def question(verdict: str, luck: float = 0.0) -> Any:
    parts = SimpleNamespace(luck=luck)
    return SimpleNamespace(against="proportional", evaluation="held", verdict=verdict, seeds=SEEDS, parts=parts)


class Asked:
    """Runs that are not made: what is asked for is noted, and losses are the planted curve's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, planned: int = 4_000, lost: float = math.nan) -> None:
        self.times: list[float] = []

        def at_times(runs: Any, natural: Any, times: float, seeds: Any) -> list[Any]:
            self.times.append(times)
            status = "diverged" if times == lost else "finished"
            return [done("proportional", seed, curve(times), status) for seed in seeds]

        monkeypatch.setattr(needed, "at_times", at_times)
        proxy = SimpleNamespace(multiples=(0.5, 2.0, 4.0), multiple_seeds=None)
        self.runs: Any = SimpleNamespace(proxy=proxy, counts=True, grid=SimpleNamespace(tokens=1_000, planned=planned))

    def ask(self, equal: float, verdict: str) -> list[dict[str, Any]]:
        """The proposal does as well as proportional with ``equal`` times the tokens."""
        made = [done("proportional", seed, curve(1.0)) for seed in SEEDS]
        made += [done("proposal", seed, curve(equal)) for seed in SEEDS]
        found, further = needed.tokens_needed(self.runs, NATURAL, "proposal", made, [question(verdict)])
        assert len(further) == len(SEEDS) * len(self.times)
        return found


@pytest.mark.parametrize(
    ("equal", "verdict", "asked"),
    [(1.5, "better", [2.0]), (3.0, "better", [2.0, 4.0]), (0.7, "worse", [0.5])],
)
def test_it_is_where_the_curve_falls_to_the_loss(
    equal: float, verdict: str, asked: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer runs until proportional has caught up, shorter ones where the proposal is worse; then interpolation."""
    given = Asked(monkeypatch)
    (found,) = given.ask(equal, verdict)
    assert given.times == asked
    steps = np.array(sorted([1.0, *asked]))
    assert found["times"] == pytest.approx(crossing(steps, curve_of(steps), curve(equal)), rel=1e-6)
    assert found["times"] == pytest.approx(equal, rel=0.03) and found["bound"] is None
    assert found["low"] <= found["times"] <= found["high"]
    assert found["tokens"] == [round(1_000 * one) for one in steps] and found["said"].startswith("Proportional would")


def curve_of(steps: np.ndarray) -> np.ndarray:
    return np.array([curve(one) for one in steps])


def test_runs_too_short_for_a_document_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Asked(monkeypatch)

    def refused(*_: Any) -> list[Any]:
        raise DataError("less than a document")

    monkeypatch.setattr(needed, "at_times", refused)
    assert given.ask(0.7, "worse") == []


def test_nothing_beyond_what_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = Asked(monkeypatch).ask(9.0, "better")
    assert (found["times"], found["bound"]) == (4.0, "more than")
    given = Asked(monkeypatch, planned=3_000)  # not even four times the tokens are in the pool
    (found,) = given.ask(9.0, "better")
    assert given.times == [2.0] and (found["times"], found["bound"]) == (2.0, "more than")
    assert "more than 2 times" in found["said"]


def test_nothing_is_run_where_it_is_open_or_there_is_no_more_text(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Asked(monkeypatch)
    assert given.ask(1.5, "not shown") == [] and given.times == []
    given = Asked(monkeypatch, planned=1_999)
    assert given.ask(1.5, "better") == [] and given.times == []
    given.runs.counts = False  # a sampler's runs have no stocks
    assert given.ask(1.5, "better") == []


def test_why_nothing_is_told_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where runs take so much of the pool that there is no text for longer ones."""
    summary: dict[str, Any] = {"run_tokens": 600, "tokens": 1_000, "optimism": 0.0, "proxy": {"name": "ngram"}}
    summary |= {"comparisons": [{"primary": True, "against": "proportional", "verdict": "better"}], "trial": {}}

    def said(**more: Any) -> bool:
        return any("Give fewer --run-tokens" in one for one in wording.limits({**summary, **more}))

    assert said() and not said(run_tokens=500) and not said(sampler={"ratings": ""})
    assert not said(comparisons=[{"primary": True, "against": "proportional", "verdict": "not shown"}])


def test_runs_that_diverged_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = Asked(monkeypatch, lost=2.0).ask(3.0, "better")
    assert found["tokens"] == [1_000, 4_000]


def test_stocks_grow_with_the_run() -> None:
    """So a run of twice the tokens goes through every source as often as one of the trial."""
    available = np.array([30_000, 10_000])
    short, longer = (Grid.of(("a", "b"), available, 40_000, tokens) for tokens in (5_000, 10_000))
    for grid in (short, longer):
        assert grid.slices(NATURAL) == pytest.approx(grid.whole)  # one pass
    assert longer.size * longer.whole == pytest.approx(2 * short.size * short.whole)
