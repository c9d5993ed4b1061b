"""From records to CLAIMS.md. The reasons behind the verdicts are written by hand, after the runs, in reasons.toml."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from typing import Any

from .harness import HERE, RESULTS, names, program, write

PAGE = HERE.parent / "CLAIMS.md"
UNEXPLAINED = "Not examined yet."
HEAD = """# Claims

<!-- Written by `python -m claims` from claims/results and claims/reasons.toml. Change those, then run it. -->

What the papers say about their methods, tried again at a scale that a laptop repeats in minutes. The verdicts follow
rules that stand in each program and were fixed before it ran:

* **reproduced**: every comparison that the rule asks for came out as in the paper, with its interval apart from zero;
* **direction only**: part of them did;
* **not reproduced**: the rest.

Read them with care. The "model" is an n-gram language model fitted on the kept text, which rewards nearness of
n-grams and little else (for policies, a small classifier or transformer); pools hold some thousands of documents;
seeds share one corpus of eleven domains, so intervals tell what a repetition on this corpus would give. A verdict says
nothing about large models.

Intervals are 95 %: Student's t over the seeds, by which the verdicts are given; the bootstrap over the same paired
differences (percentiles; too narrow for so few seeds) stands beside it. Lower bits and nats are better. Programs:
`claims/NAME.py`; what they share: `claims/harness.py`; every number of every seed: `claims/results/NAME.json`.

All methods on the same tasks, side by side: [the league](docs/league.md).
"""


def reasons() -> dict[str, dict[str, str]]:
    """Per claim: the verdict that the reason was written for, and the reason."""
    return tomllib.loads((HERE / "reasons.toml").read_text("utf-8"))


def records() -> list[dict[str, Any]]:
    """All records, in the order of their names, each with its reason if that was written for this verdict."""
    written, found = reasons(), []
    for name in names():
        path = RESULTS / f"{name}.json"
        if path.is_file():
            record = json.loads(path.read_text("utf-8"))
            told = written.get(name, {})
            fits = told.get("verdict") == record["verdict"]
            found.append(record | {"reason": told["reason"].strip() if fits else UNEXPLAINED})
    return found


def number(value: float) -> str:
    """Four digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{3 if abs(value) < 10 else 1}f}"


def interval(found: dict[str, float], prefix: str = "") -> str:
    """[low, high]"""
    return f"[{number(found[f'{prefix}low'])}, {number(found[f'{prefix}high'])}]"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|-" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]
    )


def section(record: dict[str, Any]) -> str:
    """One claim."""
    module = program(record["name"])
    metrics = module.CLAIM.metrics
    title, _, rest = module.__doc__.strip().partition("\n")
    arms = [
        [arm, *(f"{number(of[m]['mean'])} {interval(of[m])}" if m in of else "" for m in metrics)]
        for arm, of in record["arms"].items()
    ]
    differences = [
        [one["metric"], one["arm"], one["against"], number(one["mean"]), interval(one), interval(one, "bootstrap_")]
        for one in record["contrasts"]
    ]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    parts = [
        f"## {record['name']}: {record['verdict']}",
        title,
        rest.strip(),
        f"**Outcome: {record['verdict']}.** {record['reason']}",
        table(["arm", *metrics], arms),
        "Paired differences, first arm less second:",
        table(["metric", "arm", "less", "mean", "95 %, t", "95 %, bootstrap"], differences),
        "\n".join(f"* {metric}: {meaning}." for metric, meaning in metrics.items()),
        f"{len(record['seeds'])} seeds; {record['cpu_seconds']:.0f} s of processor time; {versions}; "
        f"{record['hardware']}; code {record['digests']['code']}, data {record['digests']['data']}.",
    ]
    return "\n\n".join(parts)


def page(found: list[dict[str, Any]]) -> str:
    """The whole page."""
    overview = [
        [
            f"[{one['name']}](#{one['name']}-{one['verdict'].replace(' ', '-')})",
            one["verdict"],
            one["reason"].split(". ")[0] + ".",
        ]
        for one in found
    ]
    overview = [[cell.replace("..", ".") for cell in row] for row in overview]
    flat = [[" ".join(cell.split()) for cell in row] for row in overview]
    return "\n\n".join([HEAD.strip(), table(["claim", "verdict", "why"], flat), *map(section, found)]) + "\n"


def line(record: dict[str, Any]) -> str:
    """What the command prints about a claim."""
    first = record["contrasts"][0]
    told = f"{first['metric']}, {first['arm']} less {first['against']}: {number(first['mean'])} {interval(first)}"
    return f"{record['name']:<12} {record['verdict']:<15} {told}, {len(record['seeds'])} seeds, {record['seconds']} s"


def update() -> None:
    """Put the reasons into the records and write the page."""
    found = records()
    for record in found:
        write(RESULTS / f"{record['name']}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write(PAGE, page(found))


def update_methods() -> None:
    """Write the methods' pages anew: they tell verdicts and places."""
    subprocess.run([sys.executable, str(HERE.parent / "scripts" / "make_docs.py")], check=True)
