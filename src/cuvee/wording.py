"""The sentences about a selection: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from .core import Budget, Choose, Decision
from .engine.columns import DiskColumns
from .feature.used import TABLE
from .layout import REJECTS, REPORT
from .methods.choose.layered import Layers
from .pool import Opened, Reading
from .quantities import next_lines, shell_path
from .report.terminal import number, percent, plural, safe, spark, warned
from .report.text import fit
from .summary import Arm

NO_VECTOR = "their score is -inf or not a number, as where a row has no vector: all zeros, or no known word"
WIDTH, LINES = 80, 24
"""What fits on every terminal."""


def nothing_kept(decision: Decision, columns: DiskColumns, budget: Budget, ineligible: int, why_not: str | None) -> str:
    """Why a selection came out empty."""
    amount = budget.resolve(columns.totals[budget.unit])
    larger, asked = decision.notes.get("larger_than_budget", 0), plural(columns.n_rows, "row")
    causes = []
    if ineligible:
        causes.append(f"{ineligible:,} are not eligible ({why_not or 'their score is -inf or not a number'})")
    if larger:
        causes.append(f"{larger:,} alone cost more than the whole budget of {amount:,} {budget.unit}")
    what = "Raise the budget"
    if ineligible and not larger:
        limit = why_not is not None and "=" in why_not  # such as "shorter than min_length = 3 words"
        what = (
            "Lower that limit" if limit else "Choose by another method, or give the rows what this one scores them by"
        )
    return f"Nothing was kept of {asked}: {' and '.join(causes) or 'no row was drawn'}. {what}."


SCORE_ALONE = frozenset({"score", "tokens", "bytes", "key", "row", "domain"})
"""Columns of rules that choose by a score and a budget: rows of equal scores are told apart by their keys alone."""


def warnings(
    summary: dict[str, Any], decision: Decision, kept: Arm, chooser: Choose, folder: str, equal: float | None = None
) -> list[str]:
    """What a user should know before trusting the selection, gravest first.

    ``equal``: the score, if all rows that have one have the same and not all of these are kept.
    """
    found = []
    counts, size = summary["counts"], summary["effective_sample_size"]
    inner = getattr(chooser, "inner", chooser)
    by_score = "score" in decision.needs and SCORE_ALONE.issuperset(decision.needs)
    if equal is not None and by_score:
        found.append(f"All scores are equal ({equal:,.6g}): they tell no rows apart, and this is a random draw.")
    if isinstance(inner, Layers) and kept.rows < len(inner.vectors) and not np.any(np.ptp(inner.vectors, axis=0)):
        found.append("All rows that the method looked at have the same vector: this is a random draw.")
    if size is not None and size < 0.1 * kept.rows and hasattr(inner, "temperature"):
        text = f"The weights have collapsed: an effective sample size of {size:,.1f} for {kept.rows:,} rows kept."
        top = summary["controls"].get("top_k", {}).get("overlap", 0.0)
        if top >= 0.9:
            text += f" {percent(top)} of these are simply the highest scores; a higher temperature softens the choice."
        found.append(text)
    if counts["target_in_pool"]:
        found.append(
            f"{counts['target_in_pool']:,} of the {counts['target_rows']:,} target texts stand in the pool word for "
            "word. They favour themselves, and must not be used to evaluate what is trained on the selection."
        )
    if kept.copies >= 2 * kept.rows:
        found.append(
            f"Rows are repeated {kept.copies / kept.rows:.1f} times on average: {kept.copies:,} copies in all."
        )
    scored = "scores" in summary or counts["ineligible"] > 0
    pool, chosen = summary["quantiles"].get("pool"), summary["quantiles"].get("kept")
    if pool and chosen and not 0.5 <= chosen["p50"] / max(pool["p50"], 1) <= 2:
        found.append(
            f"Length shift: the median kept row has {chosen['p50']:,} bytes, the pool's {pool['p50']:,}."
            + (
                f" Before crediting the score, compare with --with length_matched:like={shell_path(folder)}."
                if scored
                else ""
            )
        )
    copies = summary["duplicates"]["rows"]
    if copies:
        verb = "repeats" if copies == 1 else "repeat"
        found.append(f"{copies:,} of the {plural(kept.rows, 'kept row')} {verb} the text of another exactly.")
    larger = decision.notes.get("larger_than_budget", 0)
    if larger:
        found.append(f"{plural(larger, 'row')} alone cost more than the whole budget and could not be kept.")
    if counts["ineligible"]:
        why = summary["method"]["notes"].get("-inf", "their score is -inf or not a number")
        found.append(f"{plural(counts['ineligible'], 'row')} of {counts['usable']:,} not eligible: {why}.")
    asked, got = decision.notes.get("asked"), decision.notes.get("kept")
    if asked and got is not None and got < 0.95 * asked:
        found.append(f"Only {got:,} of the {asked:,} {decision.notes['unit']} asked for could be filled.")
    for name, quota in decision.notes.get("quota", {}).items():
        if quota["kept"] < 0.95 * quota["asked"]:
            found.append(f"Domain '{name}' fills {quota['kept']:,} of its quota of {quota['asked']:,}.")
    return found


def verdict(summary: dict[str, Any]) -> str:
    counts = summary["counts"]
    copies = f", {counts['kept_copies']:,} copies in all" if counts["kept_copies"] > counts["kept"] else ""
    text = f"Kept {counts['kept']:,} of {plural(counts['usable'], 'row')}{copies}"
    text += f" ({number(counts['kept_tokens'])} tokens)."
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


def _coverage_lines(coverage: dict[str, Any]) -> list[str]:
    """How much of the kept is like the target, and how much of the target it reaches, beside the controls."""
    names = ("precision", "recall", "coverage")
    kept = ", ".join(f"{name} {percent(coverage['kept'][name])}" for name in names)
    others = [
        f"{name.replace('_', '-')} {', '.join(percent(coverage[name][one]) for one in names)}"
        for name in ("random", "length_matched")
        if coverage.get(name)
    ]
    lines = [f"  coverage   {kept} of the target", f"             ({'; '.join(others)})"]
    features = coverage["features"]
    if features != TABLE:
        lines.append(f"             (on {safe(features, 60)})")
    return lines


def select_lines(folder: Path, summary: dict[str, Any]) -> list[str]:
    """What ``cuvee select`` prints: verdict first, at most 24 lines of 80 columns."""
    counts, controls = summary["counts"], summary["controls"]
    lines = textwrap.wrap(safe(summary["verdict"], 160), WIDTH)
    if counts["rejected"]:
        reasons = ", ".join(f"{n:,} {why}" for why, n in summary["rejects"]["by_reason"].items())
        lines += textwrap.wrap(
            f"  rejected   {safe(reasons, 400)} -> {safe(folder / REJECTS, 60)}", WIDTH, subsequent_indent=" " * 13
        )[:3]
    shared = [f"{name.replace('_', '-')} {one['overlap']:.2f}" for name, one in controls.items()]
    lines.append(f"  overlap    {', '.join(shared)} of the kept rows")
    distance = summary.get("distance")
    if distance:
        shown = [(name.replace("_", "-"), distance.get(name)) for name in ("kept", "random", "length_matched")]
        told = ", ".join(f"{name} {value:.3f}" for name, value in shown if value is not None)
        low, high = distance["random_range"]
        lines.append(f"  distance   {told} to the target")
        lines.append(f"             (99 of 100 random draws: {low:.3f} to {high:.3f})")
    if coverage := summary.get("coverage"):
        lines += _coverage_lines(coverage)
    if note := summary.get("coverage_note"):
        head = "             (!) " if coverage else "  coverage   "
        lines += textwrap.wrap(note, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
    if not distance and counts["target_rows"] and summary["spec"]["text"] is not None:
        lines.append("  distance   not estimated: fewer than 30 kept rows are in the pool's sample")
    if summary["method"]["cut"] is not None and "scores" in summary:
        lines.append(f"  cut        {summary['method']['measure']} above {summary['method']['cut']:,.6g}")
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
        lines += warned(warning, WIDTH)
    tail = [f"  digest     {summary['reproduce']['digest']} (any worker count)"]
    tail += [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]
