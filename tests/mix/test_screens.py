"""What a mix and a search print: all weights up to some twenty, and no warning left out without a word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cuvee.mix import wording as mixes
from cuvee.report.terminal import warning_lines
from cuvee.search import wording as searches

SENTENCE = "A warning number {} that goes on for a while, so that it needs more than one line of a terminal to be read."


def sources(number: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"source-{at:02d}", "weight": (number - at) / (number * (number + 1) / 2), "tokens": 1000,
            "passes": 1.0, "low": 0.01, "high": 0.2,
            **{f"{other}{what}": 1 / number for other in ("proportional", "uniform") for what in ("", "_passes")},
        }
        for at in range(number)
    ]  # fmt: skip


def a_search(number: int, warnings: list[str]) -> dict[str, Any]:
    loss = {"loss": 2.0, "low": 1.9, "high": 2.1}
    cost = {"runs": 24, "tokens": 9_580_000}
    return {
        "verdict": "Better than proportional. " * 8, "proposal": sources(number), "warnings": warnings,
        "expected": dict.fromkeys(searches.LABELS, loss), "caution": None, "counts": {"found": 3},
        "confidence": {"error": 0.1, "error_in_noise": 2.0, "rank": 0.9, "rank_best": 0.8},
        "cost": {"swarm": cost, "trial": {"runs": 12, "tokens": 4_800_000}, "seconds": {"swarm": 60.0, "trial": 30.0}},
        "trial": {"multiples": [{"said": "Proportional needs about twice the tokens for the same loss. " * 3}]},
        "next": "cuvee mix export out/search --to megatron",
    }  # fmt: skip


def a_mix(number: int, warnings: list[str]) -> dict[str, Any]:
    found = {"verdict": "3M tokens of sources.", "sources": sources(number), "warnings": warnings}
    return {**found, "next": "cuvee mix export out/mix --to megatron"}


def screen(kind: str, number: int, warnings: list[str]) -> list[str]:
    if kind == "mix":
        return mixes.mix_lines(Path("out/mix"), a_mix(number, warnings))
    return searches.search_lines(Path("out/search"), a_search(number, warnings))


@pytest.mark.parametrize("kind", ["mix", "search"])
@pytest.mark.parametrize("told", [0, 2, 7, 40])
@pytest.mark.parametrize("number", [2, 11, 20, 40, 5000])
def test_every_warning_is_shown_or_counted(kind: str, number: int, told: int) -> None:
    shown = screen(kind, number, [SENTENCE.format(at) for at in range(told)])
    text = "\n".join(shown)
    assert len(shown) <= 24 and all(len(line) <= 80 for line in shown)
    seen = text.count("(!)")
    more = re.search(r"and (\d+) more warnings? in the report", text)
    assert seen + (int(more.group(1)) if more else 0) == told
    assert seen >= min(told, 2) and (not told or "A warning number 0 that goes on" in text)
    named = [name for name in (f"source-{at:02d}" for at in range(number)) if f"{name} " in text]
    assert len(named) == min(number, 20), text
    if number > 20:
        assert re.search(rf"{number - 20:,} more with \S+ % together,\s+see (mix|search).json", text), text


def test_the_cost_counts_what_the_seconds_count() -> None:
    text = " ".join(" ".join(screen("search", 3, [])).split())
    assert "9.58M tokens in 24 runs, 4.80M in 12 of the trial;" in text


def test_warnings_give_lines_before_they_give_way() -> None:
    three = [SENTENCE.format(at) * 4 for at in range(3)]
    assert [len(warning_lines(three, room)) for room in (12, 9, 6)] == [12, 9, 6]
    assert warning_lines(three, 5)[-1] == "  and 1 more warning in the report"
    assert warning_lines(three, 2)[-1] == "  3 warnings in the report"
    assert warning_lines(three, 0) == [] == warning_lines([], 5)


def test_the_gravest_comes_first() -> None:
    """What the trial showed, then what is wrong with the data, then doubts of the law."""
    told = searches.warnings(
        {
            "comparisons": [
                {"primary": True, "against": "proportional", "verdict": "worse", "differences": [0.1], "group": None}
            ],
            "caution": None, "outcomes": [{"weight": 1.0, "error": 2.0}], "counts": {"diverged": 0},
            "confidence": {"guesses": {"mean": 1.0}, "error": 2.0, "error_in_noise": None}, "extrapolation": [],
            "proposal": [],
        },
        ["4,932 documents of the pool, 75 %, hold evaluation text."],
    )  # fmt: skip
    assert "worse than proportional" in told[0] and "evaluation text" in told[1] and "misses mixtures" in told[2]
