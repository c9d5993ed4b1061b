"""The policies themselves, told what the public codes were told, against the shares that these decided."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvee.core import Draw, Feedback, State
from cuvee.methods.policy.aioli import Aioli
from cuvee.methods.policy.doge import Doge
from cuvee.methods.policy.doremi import Doremi
from cuvee.methods.policy.skill_it import SkillIt
from cuvee.online import law
from cuvee.online.mixture import Groups, MixturePolicy, Turn

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    found = json.loads((GOLDEN / name).read_text())
    return found["inputs"], found["outputs"]


def begun(policy: MixturePolicy, k: int) -> State:
    return policy.fresh(Groups(tuple("abcdef"[:k]), np.full(k, 1000)))


def after(policy: MixturePolicy, state: State, turn: Turn, feedback: Feedback | None = None) -> State:
    """The state after a turn of an example of each group."""
    state = policy.account(state, turn, np.ones(len(turn.mixture), np.int64))
    return state if feedback is None else policy.told(state, turn, feedback)


@pytest.mark.parametrize("name", ["no_ema", "ema"])
def test_aioli(name: str) -> None:
    """Sweeps in the recorded orders, round after round."""
    given, wanted = case(f"aioli/closed_loop_{name}_k3.json")
    sweeps, factor = given["lp_rounds"], given["one_hot_factor"]
    policy = Aioli(len(given["rounds"]), sweeps, factor, given["eta"], given["ema"])
    state = begun(policy, given["k"])
    for one, told in zip(given["rounds"], wanted["rounds"], strict=True):
        losses = np.array([one["loss_before"], *one["losses_after_each_interval"]])
        for step, mixture in enumerate(np.array(one["mixtures_played"])):
            turn = Turn(mixture, 0.01, ("validation",), mark=int(mixture.argmax()))
            state = after(policy, state, turn, Feedback(0.0, losses[step], losses[step + 1]))
        np.testing.assert_allclose(state["mixture"], told["proportions"], rtol=0, atol=1e-9)
        state = after(policy, state, Turn(state["mixture"], 0.1))


def test_skill_it() -> None:
    """A measurement a turn; the public code decides anew at every second one."""
    given, wanted = case("skill_it/skillit_k3.json")
    every = given["update_steps"] // given["eval_every"]
    policy = SkillIt(eta=given["eta"], window=given["window"], graph=tuple(np.ravel(given["graph"]).tolist()))
    state, decided = begun(policy, 3), []
    for number, losses in enumerate(np.array(given["losses_at_evals"])):
        if number % every == 0:
            decided.append(state["mixture"])
        state = after(policy, state, Turn(state["mixture"], 0.1, ("validation",)), Feedback(0.0, losses, losses))
    np.testing.assert_allclose(decided, wanted["proportions_per_round"][: len(decided)], rtol=0, atol=1e-9)
    assert len(decided) >= 4


def test_doremi() -> None:
    """Token by token, from the recorded beginning; the weights kept are the mean over all updates."""
    given, wanted = case("doremi/doremi_token_clip_k4.json")
    policy = Doremi(updates=len(given["steps"]), eta=given["eta"], smoothing=given["smoothing"])
    state = begun(policy, given["k"])
    state = {**state, "mixture": np.array(given["initial_weights"]), "excess": np.array(given["initial_scores"])}
    for one, told in zip(given["steps"], wanted["steps"], strict=True):
        excess, mask = np.array(one["excess"]), np.array(one["mask"])
        found = law.excess_by_group(excess, np.zeros_like(excess), np.array(one["domains"]), given["k"], mask)
        turn = Turn(np.full(4, 0.25), 0.01, ("excess",), mark=2)
        state = after(policy, state, turn, Feedback(0.0, excess=found))
        np.testing.assert_allclose(state["mixture"], told["weights"], rtol=0, atol=1e-5)
    last = policy.turn(state, 1.0, Draw(0))
    np.testing.assert_allclose(last.mixture, wanted["average"], rtol=0, atol=1e-5)


def test_doge() -> None:
    given, wanted = case("doge/doge_mixgrad_k3.json")
    policy = Doge(updates=len(given["steps"]), step=given["lr"] / given["mu"], most=given["dw_max"])
    state = begun(policy, 3)
    for one, told in zip(given["steps"], wanted["steps"], strict=True):
        slopes = np.array(one["train_grads"] + one["val_grads"])
        slopes[[at for at in range(3) if at not in one["train_domains_present"]]] = 0
        turn = Turn(np.full(3, 1 / 3), 0.01, ("gradients",), mark=1)
        state = after(policy, state, turn, Feedback(0.0, gradients=slopes @ slopes.T))
        np.testing.assert_allclose(state["mixture"], told["weights"], rtol=0, atol=1e-5)
    last = policy.turn(state, 1.0, Draw(0))
    np.testing.assert_allclose(last.mixture, wanted["average"], rtol=0, atol=1e-5)
