"""How many times the tokens proportional would need for the proposal's loss: further runs in the trial of a search.

As ``cuvee prove`` tells of random data (:mod:`cuvee.proof.multiples`): proportional is trained with other amounts of
tokens, each a run of its own at the trial's seeds, and the answer lies where its losses cross the proposal's. Learning
curves would not do: those of n-grams have one point, and those of a falling learning rate are not losses of shorter
runs. A run of twice the tokens draws from stocks twice as large, so that it goes through every source as often as the
others: what is asked is how much more text of the pool's own mix would do as well, not whether repeating it would.
(More passes over the same stocks make n-grams worse.) So no run is longer than the planned one, whose stocks are the
sources themselves. Where it is open whether the proposal differs, nothing is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..proof.multiples import multiple
from ..proof.verdict import Comparison
from ..proof_wording import multiple as told
from .runs import Asked, Done, Runs
from .stock import Grid

PLAIN = "proportional"


def tokens_needed(
    runs: Runs,
    natural: npt.NDArray[np.float64],
    proposal: str,
    made: Sequence[Done],
    primary: Sequence[Comparison],
) -> tuple[list[dict[str, Any]], list[Done]]:
    """Per evaluation set where the proposal is shown to differ from proportional: what that would need; and the runs.

    Args:
        natural: (k,): the shares of proportional.
        proposal: the arm that ``primary`` compares with proportional; ``made``: the trial's runs of both.
    """
    shown = [one for one in primary if one.against == PLAIN and one.verdict in ("better", "worse")]
    if not shown or not runs.counts:
        return [], []
    seeds = shown[0].seeds[: runs.proxy.multiple_seeds]
    at = {(one.asked.arm, one.asked.seed): one.record.metrics for one in made if one.record.status == "finished"}
    losses = {1.0: {seed: at[PLAIN, seed] for seed in seeds}}
    wanted = {one.evaluation: {seed: at[proposal, seed][one.evaluation] for seed in seeds} for one in shown}
    better = [one.evaluation for one in shown if one.verdict == "better"]
    grid = runs.grid
    further: list[Done] = []
    for times in runs.proxy.multiples:
        if (times > 1 and not better) or (times < 1 and len(better) == len(shown)):
            continue
        if times * grid.tokens > grid.planned:
            break
        mean = {name: np.mean([one[name] for one in losses[max(losses)].values()]) for name in better}
        if times > 1 and all(mean[name] <= np.mean(list(wanted[name].values())) for name in better):
            break
        try:
            done = at_times(runs, natural, times, seeds)
        except DataError:  # a source's stock would be less than a document
            continue
        further += done
        if all(one.record.status == "finished" for one in done):
            losses[times] = {one.asked.seed: one.record.metrics for one in done}
    if len(losses) < 2 or len(seeds) < 2:
        return [], further
    order, found = sorted(losses), []
    for one in shown:
        curve = {times: {seed: each[one.evaluation] for seed, each in losses[times].items()} for times in order}
        own = wanted[one.evaluation]
        found.append(
            {
                "arm": proposal,
                "against": PLAIN,
                "evaluation": one.evaluation,
                "seeds": len(seeds),
                "tokens": [round(grid.tokens * times) for times in order],
                "loss": [float(np.mean(list(curve[times].values()))) for times in order],
                "proposal_loss": float(np.mean(list(own.values()))),
                **told(multiple(own, curve, luck=one.parts.luck), "Proportional"),
            }
        )
    return found, further


def at_times(runs: Runs, natural: npt.NDArray[np.float64], times: float, seeds: Sequence[int]) -> list[Done]:
    """Runs of proportional with so many times the tokens, from stocks that hold as much more."""
    grid = runs.grid
    longer = Grid.of(grid.names, grid.available, grid.planned, round(grid.tokens * times))
    more = replace(runs, grid=longer, caps=natural, stocks={}, found=0, trained=set())
    done = more.run([Asked(f"{PLAIN} x{times:g}", natural, seed) for seed in seeds])
    runs.found += more.found
    return done
