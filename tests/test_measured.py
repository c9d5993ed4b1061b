"""What was measured of a method: the terminal and its page tell the records' verdicts, places and costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cuvee import describing, measured, registry
from cuvee.cli import cli

ROOT = Path(__file__).parents[1]


def claim_of(name: str) -> tuple[str, float, float]:
    """Verdict and interval of a claim's first comparison, from its record."""
    record = json.loads((ROOT / "claims" / "results" / f"{name}.json").read_text())
    first = record["contrasts"][0]
    return record["verdict"], first["low"], first["high"]


@pytest.mark.parametrize("name", ["gotd", "quad"])
def test_terminal_and_page_tell_the_same(name: str) -> None:
    verdict, low, high = claim_of(name)
    told = " ".join(CliRunner().invoke(cli, ["methods", name]).output.split())
    page = (ROOT / "docs" / "methods" / f"{name}.md").read_text()
    facts = describing.facts(name)
    interval = f"[{measured.number(low)}, {measured.number(high)}]"
    for text in (told, page):
        assert facts["use_when"] in text and facts["fails_when"] in text and facts["example"] in text
        assert verdict in text and interval in text and "all tasks" in text
    assert f"Claim {name}: {verdict}" in told and "League, all tasks: place " in told


def test_rules_and_claims_of_others() -> None:
    """A rule is shown with a method that gives what it reads; its claim is its own, else those that try it, and a tool
    has none."""
    assert describing.arguments("k_center") == ["--with", "embedding", "--choose", "k_center"]
    k_center = measured.of("k_center")
    assert [(one["claim"], one["arm"]) for one in k_center["claims"]] == [("k_center", "k_center")]
    assert [one["claim"] for one in measured.of("keep_probability")["claims"]] == ["perplexity"]
    assert k_center["league"][0]["contender"] == "embedding + k_center"
    assert "claims" not in measured.of("top_k") and measured.of("top_k")["league"][0]["contender"] == "classifier"


def test_a_method_without_records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing was measured of another package's method, or of any if the record is missing: the page does without."""
    assert measured.of("no_such_method") == {} and measured.lines({}) == []
    monkeypatch.setattr(measured, "RECORD", tmp_path / "missing.json")
    measured.everything.cache_clear()
    try:
        page = describing.page(describing.facts("gotd"))
    finally:
        measured.everything.cache_clear()
    assert "Use it when: " in page and "League" not in page and "Claim gotd" not in page


def test_costs_in_words() -> None:
    said = {value: measured.seconds(value) for value in (-0.01, 1.74, 12.3, 600.0, 9_000.0)}
    assert list(said.values()) == [
        "0.0 CPU seconds", "1.7 CPU seconds", "12 CPU seconds", "10 CPU minutes", "2.5 CPU hours",
    ]  # fmt: skip
    cost = {"cpu_seconds": 30.0, "peak_mb": 1_234, "documents": 600, "estimated": True, "over_random": 42.0}
    text = measured.cost({"cost": cost, "million_mb": 900})
    assert "estimated from up to 600" in text and "42.0 times" in text and "1,234 MB" in text and "900 MB" in text
    assert measured.cost({}) == ""


def test_the_table_lists_one_family_and_the_help_names_every_rule() -> None:
    def methods(*words: str) -> str:
        return CliRunner().invoke(cli, ["methods", *words]).output

    every, one = methods(), methods("target", "similarity")
    for family in ("target similarity", "choose", "baseline", "gradients"):
        assert family in " ".join(every.split("families: ")[1].split("(cuvee")[0].split())
    assert one == methods("target-similarity") == methods("Target similarity")
    assert "  dsir " in one and "  tracin " not in one and "families:" not in one
    assert {entry["family"] for entry in json.loads(methods("choose", "--json"))} == {"choose"}
    assert methods("perplexity").startswith("perplexity (perplexity)"), "a method's own name comes first"
    told = CliRunner().invoke(cli, ["select", "--help"]).output
    named = set(told.replace(",", " ").replace(";", " ").replace(".", " ").split())
    assert set(registry.rules()) <= named
