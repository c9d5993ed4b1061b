"""The sentences about a mix: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..layout import MIX, REPORT
from ..quantities import next_lines, shell_path
from ..report.figures import short
from ..report.terminal import number, percent, plural, safe, warning_lines
from ..report.text import fit, width

WIDTH, LINES = 80, 24
SOURCES = 20
"""Sources whose weights stand on the screen."""
RESERVED = 8
"""Lines that warnings may have of the table's."""
MANY_PASSES = 4.0
"""Muennighoff et al., "Scaling Data-Constrained Language Models" (2023): up to about four passes, repeated text is
worth nearly as much as new text; by about sixteen, more passes are worth nothing."""
USELESS_PASSES = 16.0
MOVED = 0.005
"""A change of a weight that shows in whole per cent."""


def passes(value: float) -> str:
    """How often a source is gone through: "0.25", "3.1", "40"."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def call(method: Mapping[str, Any]) -> str:
    """ "unimax (epochs 4)"."""
    given = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in method["parameters"].items()
        if not isinstance(value, list | tuple)
    ]
    if method["passes"] is not None:
        given.append(f"at most {passes(method['passes'])} pass{'' if method['passes'] == 1 else 'es'}")
    return f"{method['name']} ({', '.join(given)})" if given else str(method["name"])


def verdict(summary: Mapping[str, Any]) -> str:
    """One sentence: what the run holds."""
    used = [one for one in summary["sources"] if one["tokens"]]
    most = max(used, key=lambda one: one["passes"])
    text = f"{number(summary['planned'])} tokens of {plural(len(used), 'source')} by {call(summary['method'])}."
    if most["passes"] > 1:
        return f"{text} '{safe(most['name'], 30)}' is gone through {passes(most['passes'])} times."
    return f"{text} No source is repeated."


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What a user should know before training on it, gravest first."""
    found = []
    if summary["shortfall"]:
        found.append(
            f"Only {summary['planned']:,} of {summary['budget']:,} tokens can be given within the bound on passes: "
            f"{summary['shortfall']:,} are missing. Train on fewer tokens, or allow more passes."
        )
    moved = [one for one in summary["sources"] if abs(one["weight"] - one["asked"]) > MOVED]
    if moved and summary["method"]["passes"] is not None:
        bound = sorted(summary["sources"], key=lambda one: one["weight"] - one["asked"])
        bound = [one for one in bound if one["weight"] < one["asked"]]
        named = ", ".join(
            f"{safe(one['name'], 24)} {percent(one['weight'])} instead of {percent(one['asked'])}" for one in bound[:3]
        )
        more = f" and {len(bound) - 3:,} more" if len(bound) > 3 else ""
        found.append(
            f"The weights are not those asked for ({named}{more}): --passes {passes(summary['method']['passes'])} "
            "allows no more. Train on fewer tokens, or allow more passes."
        )
    for least, word in ((USELESS_PASSES, "far beyond where"), (MANY_PASSES, "more than the four up to which")):
        many = [one for one in summary["sources"] if one["passes"] > least]
        if many:
            many.sort(key=lambda one: -one["passes"])
            named = ", ".join(f"{safe(one['name'], 24)} {passes(one['passes'])}" for one in many[:3])
            more = f" and {len(many) - 3:,} more" if len(many) > 3 else ""
            found.append(
                f"{plural(len(many), 'source')} repeated many times ({named}{more}): {word} repeating is worth new "
                f"text. Bound it with --passes {MANY_PASSES:g}."
            )
            break
    unused = [one["name"] for one in summary["sources"] if not one["tokens"]]
    if unused:
        named = ", ".join(safe(name, 24) for name in unused[:3])
        more = f" and {len(unused) - 3:,} more" if len(unused) > 3 else ""
        found.append(f"{plural(len(unused), 'source')} not used at all: {named}{more}.")
    return found


def limits(estimated: bool) -> list[str]:
    """What the mix does not say."""
    found = [
        "A static mix follows sizes alone: it knows nothing of what a model learns from a source.",
        "Weights are shares of training tokens. A trainer that counts documents or sequences needs other numbers: "
        "cuvee mix export converts them.",
    ]
    if estimated:
        found.insert(
            0, "Token counts are estimates: one token for every 4 bytes of text. Give --tokenizer for exact ones."
        )
    return found


def next_command(folder: str) -> str:
    """What to type next."""
    return f"cuvee mix export {shell_path(folder)} --to megatron"


def by_weight(sources: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The sources by falling weight; those whose weights differ by rounding alone by name."""
    return sorted(sources, key=lambda one: (-float(f"{one['weight']:.3g}"), one["name"]))


def other_weights(rows: Sequence[Mapping[str, Any]], most: int, file: str) -> list[str]:
    """The weights of sources that have no line of their own, several to a line; beyond ``most`` their sum, and the
    ``file`` that has them."""
    told = [f"{safe(one['name'], 24)} {percent(one['weight'])}" for one in rows[: max(most, 0)]]
    rest = rows[max(most, 0) :]
    if rest:
        told.append(f"{len(rest):,} more with {percent(sum(one['weight'] for one in rest))} together, see {file}")
    lines: list[str] = []
    for one in told:
        if lines and width(lines[-1]) + width(one) + 2 < WIDTH:
            lines[-1] += f", {one}"
        else:
            lines.append(f"  {one}" if lines else f"  and {one}")
    return [f"{line}," for line in lines[:-1]] + lines[-1:]


def mix_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee mix`` prints: verdict first, at most 24 lines of 80 columns."""
    lines = textwrap.wrap(safe(summary["verdict"], 240), WIDTH)
    lines.append(f"  {'source':<17}{'weight':>8}{'tokens':>8}{'passes':>8}{'proportional':>18}{'uniform':>18}")
    rows = by_weight(summary["sources"])
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    least = len(warning_lines(summary["warnings"], RESERVED))
    room = LINES - len(tail) - len(lines) - least
    table = [_row(one) for one in rows]
    if len(rows) > room:
        full = min(room, 12)
        while full > 4 and full + len(other_weights(rows[full:], SOURCES - full, MIX)) > room:
            full -= 1
        table = [*table[:full], *other_weights(rows[full:], SOURCES - full, MIX)]
    lines += table
    lines += warning_lines(summary["warnings"], LINES - len(tail) - len(lines))
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def _row(one: Mapping[str, Any]) -> str:
    name = fit(safe(one["name"], 16), 16)
    others = "".join(
        f"{percent(one[other]):>9}  x {passes(one[other + '_passes']):<5}" for other in ("proportional", "uniform")
    )
    told = f"{percent(one['weight']):>8}{short(one['tokens']):>8}{passes(one['passes']):>8}"
    return f"  {name}{' ' * (17 - width(name))}{told}{others}".rstrip()
