"""A proposal that is not tried is held against the best mixture run."""

from __future__ import annotations

from typing import Any

from cuvee.search import wording


def told(predicted: float, measured: float) -> dict[str, Any]:
    path = [[0.0, 0.0, 0.0, 0.0], [1.0, -0.3, 0.1, 0.2]]
    return {
        "comparisons": [],
        "unit": "bits per character",
        "caution": {"share": 0.0, "path": path},
        "confidence": {"error": 0.1, "error_in_noise": 1.0, "guesses": {"mean": 0.2}},
        "outcomes": [{"weight": 1.0, "error": 0.1}],
        "counts": {"diverged": 0},
        "extrapolation": [],
        "proposal": [],
        "expected": {"proposal": {"loss": predicted}},
        "gains": {"best_measured": {"gain": -0.2, "low": -0.3, "high": -0.1}},
        "mixtures": [{"name": "mixture 4", "loss": measured}, {"name": "uniform", "loss": 2.9}],
    }


def test_a_better_run_is_named() -> None:
    said = " ".join(wording.warnings(told(2.5, 2.4)))
    assert (
        "predicted at 2.5 bits per character, and 'mixture 4', the best of 2 mixtures run, was measured at 2.4" in said
    )
    assert "best of 2" not in " ".join(wording.warnings(told(2.3, 2.4)))
    itself = told(2.5, 2.4)
    itself["mixtures"][0]["name"] = "proportional"
    assert "best of 2" not in " ".join(wording.warnings(itself))
    tried = told(2.5, 2.4)
    tried["comparisons"] = [{"against": "uniform", "primary": True, "verdict": "better", "differences": [-0.1]}]
    tried["comparisons"][0] |= {"group": None}
    assert "best of 2" not in " ".join(wording.warnings(tried))


def test_a_run_that_the_law_takes_for_better_is_to_be_trained() -> None:
    """Where its gain over the best run lies below 0, and the proposal is not proportional anyway."""
    both = "in part luck, but try both (--seeds 8)."
    assert both in " ".join(wording.warnings(told(2.5, 2.4)))
    moved = told(2.5, 2.4)
    moved["caution"]["share"] = 1.0
    said = " ".join(wording.warnings(moved))
    assert "the law, too, predicts that one to be better, by 0.1 to 0.3. Train that one." in said and both not in said
    moved["gains"]["best_measured"]["high"] = 0.05
    assert both in " ".join(wording.warnings(moved))


def test_a_proposal_that_is_worse_than_proportional_is_called_worse() -> None:
    """By its interval: then it is no luck, and neither verdict nor next command lead to using it."""
    lost = told(3.363, 3.051) | {"caution": None, "tokens": 9, "spec": {}, "sampler": None, "clusters": None}
    lost["mixtures"] = [{"name": "proportional", "loss": 3.051}, {"name": "uniform", "loss": 3.057}]
    lost["proposal"] = [{"name": "a", "passes": None}]
    lost["gains"] |= {"proportional": {"gain": -0.313, "low": -0.326, "high": -0.299}}
    lost["outcomes"] = [{**lost["outcomes"][0], "baselines": {}, "observed": [1, 2, 3], "predicted": [1, 2, 3]}]
    said = " ".join(wording.warnings(lost))
    assert "the proposal is worse by 0.299 to 0.326. Train on that one instead." in said and "luck" not in said
    assert "Proposed, not tried: the law expects it to be worse than proportional, by +0.313 [" in wording.verdict(lost)
    assert wording.next_command(lost, "x", ["p"], "") == "cuvee mix pool p --by domain --with proportional --tokens 9"
    lost["gains"]["proportional"]["high"] = lost["gains"]["best_measured"]["high"] = 0.01
    assert "in part luck" in " ".join(wording.warnings(lost)) and "below 0 is better" in wording.verdict(lost)
    assert wording.next_command(lost, "x", ["p"], "").startswith("cuvee mix export")
    tried = {"primary": True, "against": "proportional", "mean": 0.01}
    for verdict, following in (("not shown", "pool p --by domain --with proportional"), ("better", "export x")):
        lost["comparisons"] = [tried | {"verdict": verdict}]
        assert wording.next_command(lost, "x", ["p"], "").startswith(f"cuvee mix {following}")


def test_why_proportional_stays_is_said_plainly() -> None:
    said = " ".join(wording.warnings(told(2.3, 2.4)))
    assert "would be better than proportional by 0.3 bits per character if the law were right" in said
