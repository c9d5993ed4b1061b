"""The sentences about a fit: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..layout import REPORT
from ..quantities import next_lines, shell_path
from ..report.terminal import NONE, number, percent, plural, safe, warned
from ..report.text import fit, width

WIDTH, LINES = 80, 24
FAR_ERROR = 3.0
"""Errors beyond so many times seed noise are more than luck."""


def _weighted(summary: Mapping[str, Any], name: str) -> float:
    return sum(one["weight"] * (one[name] if one[name] is not None else math.nan) for one in summary["outcomes"])


def trusted(summary: Mapping[str, Any]) -> bool:
    """Whether the law predicts runs left out better than every baseline does, over all outcomes by their weight."""
    return bool(_weighted(summary, "error") < min(_guessed(summary).values(), default=math.inf))


def _guessed(summary: Mapping[str, Any]) -> dict[str, float]:
    """The error of each baseline, over all outcomes by their weight."""
    told = summary["outcomes"]
    return {name: sum(one["weight"] * one["baselines"][name] for one in told) for name in told[0]["baselines"]}


def telling(summary: Mapping[str, Any]) -> int:
    """The place of the outcome that the verdict turns on: which falls most behind its best baseline, by its weight."""

    def behind(one: Mapping[str, Any]) -> float:
        least = min(one["baselines"].values(), default=0.0)
        found = one["weight"] * (one["error"] - least) if one["error"] is not None else math.nan
        return float(found) if math.isfinite(found) else math.inf

    return max(range(len(summary["outcomes"])), key=lambda at: behind(summary["outcomes"][at]))


def _lost_to(summary: Mapping[str, Any]) -> str:
    """The plainest guess that a law does not beat."""
    own, guessed = _weighted(summary, "error"), _guessed(summary)
    if own >= guessed.get("mean", math.inf) or not math.isfinite(own):
        return "a guess that knows nothing"
    return "a linear regression" if own >= guessed.get("linear", math.inf) else "the nearest run"


def _figure(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"


def _times(value: float) -> str:
    """How many times seed noise: "2.1", and "9e+13" for what is past all measure."""
    return f"{value:.1f}" if value < 1e4 else f"{value:.2g}"


def _spelled(value: Any) -> str:
    """A parameter's value: numbers in short, those of a mapping or a list one after the other."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_spelled(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_spelled(one) for one in value)
    return number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _signed(value: float) -> str:
    return f"{value:+.3g}"


def verdict(summary: Mapping[str, Any]) -> str:
    """One or two sentences: can the law be believed, and does its proposal promise anything."""
    name, error = summary["law"]["name"], _weighted(summary, "error")
    in_noise = _weighted(summary, "error_in_noise")
    how = f"{error:.3g}" + (f" ({_times(in_noise)} times seed noise)" if math.isfinite(in_noise) else "")
    if not trusted(summary):
        return f"Not to be relied on: {name} misses runs left out by {how}, no better than {_lost_to(summary)}."
    text = f"{name} predicts runs left out to {how}."
    if not summary["proposal"]:
        return text
    gain = summary["gains"]["proportional" if summary["natural_known"] else "best_measured"]
    than = "proportional" if summary["natural_known"] else "the best mixture run"
    span = f"{_signed(gain['gain'])} [{_signed(gain['low'])}, {_signed(gain['high'])}]"
    shown = "" if gain["low"] > 0 else ": not shown"
    return f"{text} Expected gain over {than}: {span}{shown}."


def warnings(summary: Mapping[str, Any]) -> list[str]:
    """What a user should know before training on the proposal, gravest first."""
    found = []
    if not trusted(summary):
        worst = summary["outcomes"][telling(summary)]
        named = ", ".join(f"{name} {error:.3g}" for name, error in worst["baselines"].items())
        found.append(
            f"The error on '{safe(worst['name'], 24)}' is {worst['error']:.3g}; "
            f"guesses reach: {named}. Run more mixtures, or fit another law."
        )
    for sentence in summary.get("extrapolation", []):
        found.append(f"Extrapolation: {sentence}.")
    for one in summary["outcomes"]:
        where = f"'{safe(one['name'], 24)}': " if len(summary["outcomes"]) > 1 else ""
        found += [where + sentence for sentence in one.get("remarks", ())]
    noise = _weighted(summary, "error_in_noise")
    if not math.isfinite(noise):
        found.append(
            "No setting was run with several seeds, so the error cannot be compared with luck. Repeat some runs."
        )
    elif noise > FAR_ERROR and trusted(summary):
        found.append(
            f"Runs left out are missed by {_times(noise)} times seed noise: the law's form does not fit all of them."
        )
    for one in summary["proposal"]:
        if one["passes"] is not None and one["passes"] > 4:
            found.append(
                f"'{safe(one['name'], 24)}' would be gone through {one['passes']:.1f} times. Short proxy runs "
                "over-rate what they do not repeat: bound it with --passes."
            )
            break
    if summary["proposal"]:
        best = summary["gains"]["best_measured"]
        if best["low"] <= 0:
            found.append(
                "The proposal is not shown to be better than the best mixture already run: train both, with new seeds."
            )
        if not summary["natural_known"]:
            found.append("The sources' sizes are not known: 'proportional' is the mean of the runs. Give --sizes.")
    return found


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What the fit does not say."""
    found = [
        "Intervals cover 90 % and come from resampling the runs; they trust the law's form.",
        "A lower loss of small models is not yet a better large one: train the proposal against proportional, uniform "
        "and the best mixture run, with three seeds or more.",
    ]
    if summary["proposal"]:
        found.append(
            f"The least of a fitted surface flatters itself: {summary['optimism']:.3g} were added to the proposal's "
            "predicted loss for that, as the bootstrap estimates it."
        )
    return found


def next_command(summary: Mapping[str, Any], folder: str) -> str:
    """What to type next."""
    if summary["proposal"]:
        return f"cuvee mix export {shell_path(folder)} --to megatron"
    return f"cuvee methods {summary['law']['name']}"


def fit_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee mix fit`` prints: verdict first, at most 24 lines of 80 columns."""
    lines = textwrap.wrap(safe(summary["verdict"], 320), WIDTH)
    counts = summary["counts"]
    told = f"{plural(counts['runs'], 'run')}, {plural(counts['settings'], 'different setting')}"
    lines.append(f"  learnt from {told}")
    rank, best = _weighted(summary, "rank"), _weighted(summary, "rank_best")
    if math.isfinite(rank):
        lines.append(f"  rank correlation {rank:.2f}" + (f", best quarter {best:.2f}" if math.isfinite(best) else ""))
    if summary["proposal"]:
        lines += _proposed(summary)
    for name, one in list(summary["asked"].items())[:4]:
        lines.append(f"  {safe(name, 24)} {_figure(one['value'])} [{_figure(one['low'])}, {_figure(one['high'])}]")
    if not summary["proposal"]:
        for name, value in list(summary["outcomes"][0]["parameters"].items())[:8]:
            lines.append(f"  {safe(name, 20):<21}{safe(_spelled(value), 50)}")
    for warning in summary["warnings"][:4]:
        lines += warned(warning, WIDTH)
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def _proposed(summary: Mapping[str, Any]) -> list[str]:
    passes = any(one["passes"] is not None for one in summary["proposal"])
    head = f"  {'source':<18}{'weight':>8}{'90 %':>18}{'proportional':>14}{'best run':>10}"
    lines = [head + (f"{'passes':>8}" if passes else "")]
    rows = sorted(summary["proposal"], key=lambda one: (-one["weight"], one["name"]))
    for one in rows[:7]:
        name = fit(safe(one["name"], 17), 17)
        span = f"[{percent(one['low'])}, {percent(one['high'])}]"
        text = f"  {name}{' ' * (18 - width(name))}{percent(one['weight']):>8}{span:>18}"
        text += f"{percent(one['proportional']):>14}{percent(one['best_measured']):>10}"
        lines.append(text + (f"{one['passes']:>8.2f}" if one["passes"] is not None else ""))
    if len(rows) > 7:
        lines.append(f"  and {len(rows) - 7:,} more with {percent(sum(one['weight'] for one in rows[7:]))} together")
    expected = summary["expected"]
    names = (
        ("proposal", "proposal"),
        ("proportional", "proportional"),
        ("uniform", "uniform"),
        ("best_measured", "best run"),
    )
    told = ", ".join(f"{label} {expected[name]['loss']:.4g}" for name, label in names)
    lines.append(f"  predicted  {told}")
    return lines
