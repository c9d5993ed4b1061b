"""What was measured of each method: its cost, the verdicts of its claims, its places in the league.

The figures lie beside the methods in ``methods/measured.json``, which ``scripts/make_docs.py`` writes from the records
of claims and benchmarks; a method of another package has none.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "methods" / "measured.json"


@cache
def everything() -> dict[str, Any]:
    """All figures by method; none where the file is missing."""
    if not RECORD.is_file():
        return {}
    found: dict[str, Any] = json.loads(RECORD.read_text("utf-8"))
    return found


def of(name: str) -> dict[str, Any]:
    """One method's figures: "cost", "million_mb", "claims", "league", each only where there is one."""
    found: dict[str, Any] = everything().get(name, {})
    return found


def number(value: float) -> str:
    """Three digits behind the point for small values, one or none for large ones."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def interval(found: dict[str, float]) -> str:
    """A mean with its 95 % interval."""
    return f"{number(found['mean'])} [{number(found['low'])}, {number(found['high'])}]"


def seconds(value: float) -> str:
    """Seconds of a core, longer times in minutes or hours."""
    if value >= 7_200:
        return f"{value / 3_600:.1f} CPU hours"
    if value >= 120:
        return f"{value / 60:.0f} CPU minutes"
    return f"{value:.0f} CPU seconds" if value >= 10 else f"{max(value, 0.0):.1f} CPU seconds"


def cost(found: dict[str, Any]) -> str:
    """The cost in a sentence, or nothing."""
    one, said = found.get("cost"), []
    if one:
        times = f", {one['over_random']:,.1f} times those of random rows" if one["over_random"] != 1 else ""
        how = f", estimated from up to {one['documents']:,}" if one["estimated"] else ""
        said.append(
            f"{seconds(one['cpu_seconds'])} for 100,000 documents{how}{times}; {one['peak_mb']:,} MB at the peak."
        )
    if million := found.get("million_mb"):
        said.append(f"Over a million vectors of 256 dimensions: {million:,} MB at the peak.")
    return " ".join(said)


def claim(one: dict[str, Any]) -> str:
    """A claim in a sentence: verdict, first comparison, seeds."""
    compared = f"{one['metric']}, {one['arm']} less {one['against']}: {interval(one)}"
    return f"{one['claim']}: {one['verdict']}; {compared}, {one['seeds']} seeds"


def place(one: dict[str, Any]) -> str:
    """A row of the league in a sentence."""
    less = f"; bits less those of random rows: {interval(one['less_random'])}" if one.get("less_random") else ""
    return f"{one['task']}: place {one['place']} of {one['of']} ({one['contender']}){less}"


def lines(found: dict[str, Any]) -> list[str]:
    """For a terminal."""
    said = [f"Measured: {text}" for text in [cost(found)] if text]
    said += [f"Claim {claim(one)}" for one in found.get("claims", [])]
    return said + [f"League, {place(one)}" for one in found.get("league", [])]
