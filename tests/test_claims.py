"""The claims' records are there, of the present code, complete, and what CLAIMS.md says. Nothing is run again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from claims import harness, report
from cuvee import registry

NAMES = harness.names()
RECORDS = {record["name"]: record for record in report.records()}


def test_every_scoring_method_has_a_claim() -> None:
    scoring = {name for name, entry in registry.entries().items() if entry.module.startswith("cuvee.methods.score.")}
    assert scoring <= set(NAMES)
    assert {"random"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_of_the_present_code(name: str) -> None:
    assert name in RECORDS, f"run: python -m claims {name}"
    assert RECORDS[name]["digests"] == harness.program(name).CLAIM.digests(), f"stale; run: python -m claims {name}"


@pytest.mark.parametrize("name", NAMES)
def test_the_record_is_complete(name: str) -> None:
    record, claim = RECORDS[name], harness.program(name).CLAIM
    assert claim.name == name
    assert record["verdict"] in harness.VERDICTS
    assert record["reason"] != report.UNEXPLAINED, "write the reason for this verdict into claims/reasons.toml"
    assert len(set(record["seeds"])) >= 5
    assert len(record["trials"]) == len(record["seeds"])
    assert len(record["contrasts"]) == sum(len(others) for _, _, others in claim.contrasts)
    for one in record["contrasts"]:
        assert one["low"] < one["mean"] < one["high"]
        assert one["bootstrap_low"] <= one["mean"] <= one["bootstrap_high"]
    assert {"python", "numpy", "cuvee"} <= set(record["versions"])
    assert record["hardware"]
    assert record["seconds"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_verdict_and_numbers_follow_from_the_trials(name: str) -> None:
    record, module = RECORDS[name], harness.program(name)
    found = harness.Found(record["trials"])
    assert module.judge(found) == record["verdict"]
    for arm, metrics in record["arms"].items():
        for metric, effect in metrics.items():
            assert vars(found.of(metric, arm)) == pytest.approx(effect)


@pytest.mark.parametrize("name", NAMES)
def test_the_program_says_beforehand_what_counts(name: str) -> None:
    text = harness.program(name).__doc__
    assert "claim**" in text
    assert "**Small scale.**" in text
    assert "**Reproduced** if" in text
    assert re.search(r"\*\*direction\s+only\*\*", text, re.IGNORECASE)
    assert re.search(r"\*\*not\s+reproduced\*\*", text, re.IGNORECASE)


def test_the_page_is_what_the_records_say() -> None:
    assert report.PAGE.read_text("utf-8") == report.page(report.records()), "run: python -m claims"


def test_cards_tell_the_verdict() -> None:
    scorers = [name for name in NAMES if name in registry.entries()]
    for name in scorers:
        told = f"claim: {RECORDS[name]['verdict']} ({len(RECORDS[name]['seeds'])} seeds)"
        assert told in registry.card(name).evidence


def test_digests_ignore_comments_docstrings_and_cards_alone() -> None:
    body = '    """Doc."""\n\n    card: Card = Card(\n        evidence="",\n    )\n    y: int = 2\n'
    code = f'"""Doc."""\nx = 1  # why\n\n\nclass A:\n{body}'
    assert harness.bare(code) == "x = 1\nclass A:\n    y: int = 2"
    assert harness.bare(code.replace("x = 1", "x = 2")) != harness.bare(code)


def test_intervals_against_a_worked_example() -> None:
    found: Any = harness.effect([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.low, found.high) == pytest.approx((3.0, 1.0368, 4.9632), abs=1e-3)
    assert found.low < found.bootstrap_low < found.bootstrap_high < found.high
    assert found.above and not found.below


def test_no_source_is_in_two_parts() -> None:
    parts = harness.split(harness.demo(), 3, 0.15, 0.15)
    assert sum(map(len, parts)) == len(harness.demo())
    for at, part in enumerate(parts):
        for other in parts[at + 1 :]:
            assert not set(part.source) & set(other.source)
    assert 0.12 < len(parts[0]) / len(harness.demo()) < 0.18
