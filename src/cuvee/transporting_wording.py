"""The sentences about a mixture by transport distance: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .layout import REPORT
from .quantities import next_lines, shell_path, shell_word, weight_name
from .report.figures import short
from .report.terminal import percent, safe, warning_lines
from .report.text import fit, width

WIDTH, LINES, ROWS = 80, 24, 12
FEW = 20
FAR = 2.0
"""Beyond so many times the larger size that was run, it is said how far a prediction reaches."""


def verdict(summary: Mapping[str, Any]) -> str:
    """Whether the climb ended where more is predicted than proportional gives, and whether that is to be believed."""
    expected, gain = summary["expected"], summary["gain"]
    name = safe(summary["outcome"], 24)
    told = (
        f"{name} {expected['proposal']['performance']:.4g}, proportional {expected['proportional']['performance']:.4g}"
    )
    if summary["doubt"]:
        return f"Not to be relied on: {summary['doubt']} (predicted: {told})."
    if gain["low"] is None:
        return f"Predicted at {short(summary['samples'])} samples: {told}; too few mixtures for an interval."
    span = f"{gain['gain']:+.3g} [{gain['low']:+.3g}, {gain['high']:+.3g}]"
    if gain["high"] < 0:
        shown = "Predicted to be worse than proportional"
    elif gain["low"] > 0:
        shown = "Predicted to be better than proportional"
    else:
        shown = "Not predicted to differ from proportional"
    return f"{shown} at {short(summary['samples'])} samples: {told}, {span}."


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What a user should know before training on it, gravest first."""
    found = []
    expected = summary["expected"]
    best = max(expected, key=lambda one: expected[one]["performance"])
    if best != "proposal" and expected[best]["performance"] > expected["proposal"]["performance"]:
        found.append(f"The climb ended below what is predicted for {best}: give more --steps, or another --rate.")
    judged = summary["judged"]
    if judged["error"] >= min(judged["baselines"].values(), default=math.inf):
        guesses = ", ".join(f"{name} {error:.3g}" for name, error in judged["baselines"].items())
        found.append(
            f"The error on mixtures left out is {judged['error']:.3g}; guesses reach: {guesses}. Run more "
            "mixtures before you climb."
        )
    if len(summary["sizes"]) == 1:
        found.append(
            f"All runs are of {short(summary['samples'])} samples: what is predicted holds for that size alone, and "
            "another mixture may be best at a larger one. Run the mixtures at a second size."
        )
    few = [name or "the validation data" for name, number in summary["rows"].items() if number < FEW]
    if few:
        found.append(
            f"Fewer than {FEW} rows with a vector stand for {safe(', '.join(few[:3]), 60)}: its distance is luck."
        )
    if summary["beyond"] > FAR:
        found.append(
            f"{short(summary['samples'])} samples are {summary['beyond']:.0f} times the largest run: the line in log "
            "size was measured at two sizes alone."
        )
    return found


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What it does not say."""
    form = f"linear in the distance{' and in log size' if len(summary['sizes']) > 1 else ', at one size'}"
    return [
        f"Predictions are projektor's: {form}. Train the proposal against proportional before you believe it.",
        "The interval is of the predicted gain over resamples of mixtures, at this proposal; it does not count that "
        "the proposal was chosen by the same runs.",
        f"Distances are between samples, by {summary['features']}: what these vectors do not see does not count.",
    ]


def next_command(summary: Mapping[str, Any], pool: Sequence[str], column: str) -> str:
    """The mix of the proposal with its tokens and passes; proportional where the proposal is not to be believed."""
    gain = summary["gain"]
    places = " ".join(shell_path(one) for one in pool)
    if summary["doubt"] or gain["low"] is None or gain["low"] <= 0:
        return f"cuvee mix pool {places} --by {shell_word(column)} --with proportional"
    weights = [round(one["weight"], 4) for one in summary["proposal"]]
    weights[weights.index(max(weights))] += round(1 - sum(weights), 4)
    told = ",".join(
        f"{weight_name(one['name'])}={weight:.4f}" for one, weight in zip(summary["proposal"], weights, strict=True)
    )
    return f"cuvee mix pool {places} --by {shell_word(column)} --weights {shell_word(told)}"


def transport_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee mix transport`` prints: verdict first, at most 24 lines of 80 columns."""
    lines = textwrap.wrap(safe(summary["verdict"], 320), WIDTH)
    lines.append(f"  {'source':<24}{'weight':>8}{'proportional':>14}{'its distance':>14}")
    rows = sorted(summary["proposal"], key=lambda one: -one["weight"])
    for one in rows[:ROWS]:
        name = fit(safe(one["name"], 23), 23)
        told = f"{percent(one['weight']):>8}{percent(one['proportional']):>14}{one['distance']:>14.3g}"
        lines.append(f"  {name}{' ' * (24 - width(name))}{told}")
    if len(rows) > ROWS:
        lines.append(f"  and {len(rows) - ROWS:,} more, see transport.json")
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    lines += warning_lines(summary["warnings"], LINES - len(tail) - len(lines))
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]
