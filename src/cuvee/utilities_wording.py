"""The sentences about utilities at the end of training: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .layout import REPORT
from .mix.apportion import apportion
from .mix.wording import MANY_PASSES, passes
from .proof_wording import duration
from .quantities import next_lines, shell_path, shell_word, weight_name
from .report.figures import short
from .report.terminal import percent, plural, safe, warning_lines
from .report.text import fit, width

WIDTH, LINES, ROWS = 80, 24, 10


def first(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The utilities on the first evaluation set, the most useful source first."""
    return [one for one in summary["utilities"] if one["first"]]


def verdict(summary: Mapping[str, Any]) -> str:
    """Which source is missed most, and how many help and harm."""
    found = first(summary)
    lost = f" {plural(len(summary['unanswered']), 'comparison')} without an answer." if summary["unanswered"] else ""
    if not found:
        return f"No answer: too many ends diverged.{lost}"
    best, counts = found[0], {kind: sum(one["verdict"] == kind for one in found) for kind in ("helps", "harms")}
    span = f"{best['utility']:+.4f} {summary['unit']} [{best['low']:+.4f}, {best['high']:+.4f}]"
    told = f"Of {plural(len(found), 'source')} in the last {percent(summary['last'])}, {counts['helps']} "
    told += f"{'helps' if counts['helps'] == 1 else 'help'} and {counts['harms']} "
    told += f"{'harms' if counts['harms'] == 1 else 'harm'} {best['evaluation']}"
    if best["verdict"] == "helps":
        return f"{told}; most is lost without {best['name']}: {span}.{lost}"
    return f"{told}; the most useful by its mean is {best['name']}: {span}, {best['verdict']}.{lost}"


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What a user should know before changing the final mix."""
    found = []
    if summary["diverged"]:
        found.append(f"{plural(summary['diverged'], 'end')} diverged and were left out.")
    many = [one for one in summary["sources"] if one["passes"] > MANY_PASSES * 1.001]
    if many:
        named = ", ".join(f"{safe(one['name'], 24)} {passes(one['passes'])}" for one in many[:3])
        found.append(
            f"The end goes through {plural(len(many), 'source')} more than four times ({named}): part of "
            "what they are worth is worn off."
        )
    off = [one for one in summary["sources"] if abs(one["seen"] - one["final"]) > 0.02]
    if off:
        found.append(
            f"The end is so short that whole documents miss the final mix: {safe(off[0]['name'], 24)} got "
            f"{percent(off[0]['seen'])} instead of {percent(off[0]['final'])}. Give more --run-tokens."
        )
    return found


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What utilities do not say."""
    return [
        "All ends start from one beginning: intervals count the luck of an end's documents and order and of the "
        "evaluation documents, not that of the beginning. Another --seed makes another one.",
        "A utility holds beside the other sources of this final mix, at this share and while the rate falls: utilities "
        "do not add up, and a source that another can stand in for has little.",
        "Who leaves a source out gives the others more, so that a utility is what the source does better than a "
        "proportional part of the others would.",
        f"A small proxy trained on {summary['run_tokens']:,} tokens stands for a run of {summary['tokens']:,}. Sources "
        "are cut down so that both go through them equally often; what else changes with size is not looked at.",
        "The evaluation sets have been learnt from if the final mix is changed by what is said here: judge the final "
        "model on others.",
    ]


def next_command(summary: Mapping[str, Any], pool: Sequence[str]) -> str:
    """The final mix as it is; without sources that were shown to harm on the first evaluation set."""
    harm = {one["name"] for one in first(summary) if one["verdict"] == "harms"}
    kept = [(one["name"], 0.0 if one["name"] in harm else one["final"]) for one in summary["sources"]]
    if not sum(share for _, share in kept) > 0:
        kept = [(one["name"], one["final"]) for one in summary["sources"]]
    parts = apportion([share for _, share in kept], 10_000).tolist()
    weights = ",".join(
        f"{weight_name(name)}={part / 10_000:.4f}" for (name, _), part in zip(kept, parts, strict=True) if part
    )
    by = shell_word(summary["spec"].get("domain") or "domain")
    amount = max(1, round(summary["last"] * summary["tokens"]))
    return (
        f"cuvee mix pool {' '.join(map(shell_path, pool))} --by {by} --weights {shell_word(weights)} --tokens {amount}"
    )


def lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee mix utilities`` prints: verdict first, at most 24 lines of 80 columns."""
    found = textwrap.wrap(safe(summary["verdict"], 400), WIDTH)[:4]
    found.append(f"  {'without':<18}{'utility':>9}{'95 % together':>20}  {'':<11}{'share':>6}{'passes':>8}")
    sources = {one["name"]: one for one in summary["sources"]}
    rows = first(summary)
    for one in rows[:ROWS]:
        name, about = fit(safe(one["name"], 17), 17), sources[one["name"]]
        span = f"[{one['low']:+.4f}, {one['high']:+.4f}]"
        text = f"  {name}{' ' * (18 - width(name))}{one['utility']:>+9.4f}{span:>20}  {one['verdict']:<11}"
        found.append(f"{text}{percent(about['final']):>6}{passes(about['passes']):>8}")
    if len(rows) > ROWS:
        found.append(f"  and {len(rows) - ROWS:,} more in the report")
    others = len({one["evaluation"] for one in summary["utilities"]}) - 1
    if others > 0:
        found.append(f"  {plural(others, 'more evaluation set')} in the report")
    cost = summary["cost"]
    known = f", {plural(cost['found'], 'trial')} found in the ledger" if cost["found"] else ""
    told = f"{short(cost['tokens'])} tokens, {percent(cost['tokens'] / cost['whole_runs'])} of those of whole runs"
    found.append(f"  cost  {told}; {duration(cost['train_seconds'])} of training ends{known}")
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    found += warning_lines(summary["warnings"], LINES - len(tail) - len(found))
    return [*(fit(line, WIDTH) for line in found[: LINES - len(tail)]), *tail]
