"""The sentences about a selection: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import shlex
import textwrap
from pathlib import Path
from typing import Any

from .core import Budget, Decision
from .engine.columns import DiskColumns
from .layout import REJECTS, REPORT
from .pool import Opened, Reading
from .report.terminal import number, percent, safe, spark
from .report.text import fit
from .summary import Arm

WIDTH, LINES = 80, 24
"""What fits on every terminal."""


def nothing_kept(decision: Decision, columns: DiskColumns, budget: Budget) -> str:
    """Why a selection came out empty."""
    amount = budget.resolve(columns.totals[budget.unit])
    larger, never = decision.notes.get("larger_than_budget", 0), decision.notes.get("never_taken", 0)
    why = f"all {columns.n_rows:,} rows"
    if larger:
        why = f"{larger:,} rows alone cost more than the budget"
    if never:
        why += f"{' and ' if larger else ': '}{never:,} rows are not eligible for the method (for example too short)"
    asked = f"{columns.n_rows:,} rows within {amount:,} {budget.unit}"
    return f"Nothing was kept of {asked}: {why}. Raise the budget or the limits."


def warnings(summary: dict[str, Any], decision: Decision, kept: Arm, columns: DiskColumns) -> list[str]:
    found = []
    size = summary["effective_sample_size"]
    if size is not None and size < 0.1 * kept.rows:
        found.append(
            f"The weights have collapsed: an effective sample size of {size:,.1f} for {kept.rows:,} rows kept. The "
            "random draw hardly matters, the choice is nearly the top of the score; raise the temperature to soften it."
        )
    pool, chosen = summary["quantiles"].get("pool"), summary["quantiles"].get("kept")
    if pool and chosen and not 0.5 <= chosen["p50"] / max(pool["p50"], 1) <= 2:
        found.append(
            f"Length shift: the median kept row has {chosen['p50']:,} bytes, the pool's {pool['p50']:,}. Compare with "
            "--with length_matched before crediting the score."
        )
    copies = summary["duplicates"]["rows"]
    if copies:
        found.append(f"{copies:,} of the {kept.rows:,} kept rows repeat another kept row's text exactly.")
    larger = decision.notes.get("larger_than_budget", 0)
    if larger:
        found.append(f"{larger:,} rows alone cost more than the budget allows and could not be kept.")
    never = decision.notes.get("never_taken", 0)
    if never:
        found.append(f"{never:,} rows were not eligible (score -inf, for example shorter than the minimum length).")
    asked, got = decision.notes.get("asked"), decision.notes.get("kept")
    if asked and got is not None and got < 0.95 * asked:
        found.append(f"Only {got:,} of the {asked:,} {decision.notes['unit']} asked for could be filled.")
    for name, quota in decision.notes.get("quota", {}).items():
        if quota["kept"] < 0.95 * quota["asked"]:
            found.append(f"Domain '{name}' fills {quota['kept']:,} of its quota of {quota['asked']:,}.")
    return found


def verdict(summary: dict[str, Any]) -> str:
    counts = summary["counts"]
    text = f"Kept {counts['kept']:,} of {counts['usable']:,} rows ({number(counts['kept_tokens'])} tokens)."
    distance = summary.get("distance")
    if distance:
        low, high = distance["random_range"]
        place = "nearer to" if distance["kept"] < low else "farther from" if distance["kept"] > high else "as near to"
        than = "as" if place.startswith("as") else "than"
        text += f" They are {place} the target {than} random rows."
    return text


def limits(reading: Reading, opened: Opened) -> list[str]:
    found = []
    if reading.tokenizer is None and opened.spec.tokens is None:
        found.append(
            "Token counts are estimates: one token for every 4 bytes of text. Give --tokenizer for exact ones."
        )
    if opened.skipped:
        named = ", ".join(f"{path} ({why})" for path, why in opened.skipped[:5])
        found.append(f"{len(opened.skipped):,} files were passed over as no data: {named}")
    found.append("Nearness to the target says nothing yet about a model trained on the selection.")
    return found


def select_lines(folder: Path, summary: dict[str, Any]) -> list[str]:
    """What ``cuvee select`` prints: verdict first, at most 24 lines of 80 columns."""
    counts, controls = summary["counts"], summary["controls"]
    lines = textwrap.wrap(safe(summary["verdict"], 160), WIDTH)
    if counts["rejected"]:
        reasons = ", ".join(f"{n:,} {why}" for why, n in summary["rejects"]["by_reason"].items())
        lines.append(f"  rejected   {safe(reasons, 50)} -> {REJECTS}")
    shared = [f"{name.replace('_', '-')} {one['overlap']:.2f}" for name, one in controls.items()]
    lines.append(f"  overlap    {', '.join(shared)} of the kept rows")
    distance = summary.get("distance")
    if distance:
        shown = [(name.replace("_", "-"), distance.get(name)) for name in ("kept", "random", "length_matched")]
        told = ", ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
        low, high = distance["random_range"]
        lines.append(f"  distance   {told} to the target")
        lines.append(f"             (99 of 100 random draws: {low:.3f} to {high:.3f})")
    rows = sorted(summary["domains"], key=lambda one: -one["kept_tokens"])
    if len(rows) > 1:
        for one in rows[:6]:
            before = one["pool_tokens"] / max(counts["pool_tokens"], 1)
            after = one["kept_tokens"] / max(counts["kept_tokens"], 1)
            lines.append(
                f"  {safe(one['name'], 16):<16} {percent(before):>6} of the pool -> {percent(after):>6} of the kept"
            )
        if len(rows) > 6:
            lines.append(f"  and {len(rows) - 6:,} more domains")
    pool, kept = summary["quantiles"].get("pool"), summary["quantiles"].get("kept")
    if pool and kept and summary["spec"]["text"] is not None:
        lines.append(
            f"  length     p50 {kept['p50']:,} bytes, pool {pool['p50']:,}   {spark(summary['lengths']['kept'])}"
        )
    for warning in summary["warnings"][:5]:
        wrapped = textwrap.wrap(safe(warning, 400), WIDTH - 6)[:3]
        lines += [f"  (!) {part}" if at == 0 else f"      {part}" for at, part in enumerate(wrapped)]
    tail = [f"  digest     {summary['reproduce']['digest']} (any worker count)"]
    tail += [*command_lines(safe(summary["next"], 400)), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def command_lines(command: str) -> list[str]:
    """The command to type next on as many lines as it needs, each going on as a shell understands it."""
    found = ["next:"]
    try:
        words = shlex.split(command)
    except ValueError:  # shortened inside quotes
        return [f"next: {command}"]
    for word in map(shlex.quote, words):
        if len(found[-1]) + len(word) + 3 > WIDTH and len(found[-1]) > 5:
            found[-1] += " \\"
            found.append("     ")
        found[-1] += f" {word}"
    return found
