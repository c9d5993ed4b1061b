"""The sentences about a fit: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..layout import REPORT
from ..mix.wording import MANY_PASSES
from ..quantities import next_lines, shell_path
from ..report.terminal import NONE, number, percent, plural, safe, warned
from ..report.text import fit, width

WIDTH, LINES, PARAMETERS = 80, 24, 12
OTHERS = ("optimal_mixtures", "gaussian_process")
"""Laws to try where one does not hold: for runs that repeat sources, and for what no formula fits."""
LINE = "regmix:model=linear"
_WITH = re.compile(r" --with[ =]\S+")
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
    if own >= guessed.get("linear", math.inf):
        return "a linear regression"
    return (
        "the nearest run"
        if own >= guessed.get("nearest", math.inf)
        else f"a simpler law ({min(guessed, key=guessed.__getitem__)})"
    )


def _figure(value: float | None) -> str:
    return NONE if value is None or not math.isfinite(value) else f"{value:.4g}"


def _span(one: Mapping[str, Any]) -> str:
    return f"[{_figure(one['low'])}, {_figure(one['high'])}]" if one["determined"] else f"[{OPEN}]"


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
    against = rival(summary)
    than, stood, span = RIVALS[against], standing(summary, against), gained(summary, against)
    if stood == OPEN:
        return f"{text} The gain over {than} is not determined: these runs do not tell where the law's best lies."
    if stood == "worse":
        return f"{text} Its proposal is predicted to be worse than {than} (gain {span}): keep {than}."
    if stood == "better":
        return f"{text} Expected gain over {than}: {span}."
    if summary["gains"][against]["gain"] <= 0:
        return f"{text} Its proposal is predicted to be no better than {than} (gain {span}): keep {than}."
    why = ", for the law misses runs by more" if summary["gains"][against]["low"] > 0 else ""
    return f"{text} Expected gain over {than}: {span}: not shown{why}."


RIVALS = {"proportional": "proportional", "uniform": "uniform", "best_measured": "the best mixture run"}
OPEN = "not determined"
HALF = 0.005
"""A share so little outside its interval is not spoken of."""
NAMED = 4
WIDE = 10.0
"""Intervals wider than so many times the spread of what was measured (and its size), or as far from it, say nothing."""


def rival(summary: Mapping[str, Any]) -> str:
    """The mixture that a proposal has to beat: proportional, or the best one run where the sizes are not known."""
    return "proportional" if summary["natural_known"] else "best_measured"


def undetermined(summary: Mapping[str, Any], low: float | None, high: float | None, outcome: int | None = None) -> bool:
    """Whether an interval, of one outcome or of their weighted sum, is so wide, or so far off, that it says nothing."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return True
    told = summary["outcomes"] if outcome is None else [summary["outcomes"][outcome] | {"weight": 1.0}]
    spread = size = 0.0
    for one in told:
        known = [value for value in one["observed"] if value is not None and math.isfinite(value)]
        if known:
            spread += one["weight"] * (max(known) - min(known))
            size += one["weight"] * max(abs(max(known)), abs(min(known)))
    far = WIDE * spread + size
    return high - low > far or low > far + size or high < -far - size


def overstated(summary: Mapping[str, Any], against: str) -> bool:
    """Whether a gain is less than what the law misses runs left out by, and that is not known to be luck of seeds.

    Intervals trust the law's form: where it does not hold, they are narrow about the wrong place.
    """
    error, in_noise = _weighted(summary, "error"), _weighted(summary, "error_in_noise")
    return not in_noise <= FAR_ERROR and bool(summary["gains"][against]["gain"] < error)


def standing(summary: Mapping[str, Any], against: str) -> str:
    """How the proposal is predicted to stand against a rival: better, worse, not shown, or not determined."""
    one = summary["gains"][against]
    if one["high"] is not None and one["high"] < 0:
        return "worse"
    if undetermined(summary, one["low"], one["high"]):
        return OPEN
    shown = one["low"] > 0 and trusted(summary) and not overstated(summary, against)
    return "better" if shown else "not shown"


def mark(summary: dict[str, Any]) -> None:
    """Add to gains how the proposal stands, and to predictions whether their intervals determine anything."""
    for name, one in summary.get("gains", {}).items():
        one["verdict"] = standing(summary, name)
    for one in (*summary.get("gains", {}).values(), *summary["expected"].values()):
        one["determined"] = not undetermined(summary, one["low"], one["high"])
    places = {one["name"]: at for at, one in enumerate(summary["outcomes"])}
    for name, one in summary["asked"].items():
        one["determined"] = not undetermined(summary, one["low"], one["high"], places[name])


def gained(summary: Mapping[str, Any], against: str) -> str:
    """A gain with its interval, as "+0.152 [+0.146, +0.159]"."""
    one = summary["gains"][against]
    if undetermined(summary, one["low"], one["high"]):
        return f"{_signed(one['gain'])} [{OPEN}]"
    return f"{_signed(one['gain'])} [{_signed(one['low'])}, {_signed(one['high'])}]"


def _repeated(summary: Mapping[str, Any]) -> str:
    """That the best mixture run would go through a source too often in the run that is planned; empty if not."""
    known = [one for one in summary["proposal"] if one.get("available") and summary.get("tokens")]
    passes = [(one["best_measured"] * summary["tokens"] / one["available"], one) for one in known]
    if not passes:
        return ""
    most, one = max(passes, key=lambda each: each[0])
    if most <= max(MANY_PASSES, one["passes"]):
        return ""
    return f" In the run that is planned, that one would go through '{safe(one['name'], 24)}' {most:.1f} times."


def _against_best_run(summary: Mapping[str, Any]) -> str:
    """What to know about the proposal beside the best mixture already run; empty where it is shown to be better."""
    found = _beside_best_run(summary)
    return found + _repeated(summary) if found else ""


def _beside_best_run(summary: Mapping[str, Any]) -> str:
    stood, one = standing(summary, "best_measured"), summary["gains"]["best_measured"]
    expected = summary["expected"]
    lost = standing(summary, rival(summary)) == "worse" and summary["natural_known"]
    advice = "train that one beside proportional" if lost else "train both"
    if stood == "worse" or (stood != OPEN and one["gain"] < 0):
        sure = "" if stood == "worse" else ", though not for sure"
        return (
            f"The proposal is predicted to be worse than the best mixture already run{sure} (gain "
            f"{gained(summary, 'best_measured')}): {advice if lost else 'train that one, or both'}."
        )
    if expected["proposal"]["loss"] > expected["best_measured"]["observed"]:
        return (
            f"The best mixture already run was measured at {expected['best_measured']['observed']:.4g}, below the "
            f"{expected['proposal']['loss']:.4g} predicted for the proposal: {advice}, with new seeds."
        )
    if stood != "better":
        return f"The proposal is not shown to be better than the best mixture already run: {advice}, with new seeds."
    return ""


def apart(summary: Mapping[str, Any]) -> list[str]:
    """Shares of the proposal that lie outside their intervals, as those of trees may, as a sentence."""
    if "caution" in summary:  # a part of the way to the surfaces' own
        return []
    out = [one for one in summary["proposal"] if not one["low"] - HALF <= one["weight"] <= one["high"] + HALF]
    if not out:
        return []
    told = ", ".join(f"{percent(one['middle'])} of '{safe(one['name'], 24)}'" for one in out[:NAMED])
    more = f" and {len(out) - NAMED} more" if len(out) > NAMED else ""
    return [
        f"The proposal lies outside the intervals, as that of trees may: smooth surfaces through the same runs see the "
        f"best at {told}{more}, on average. Train both."
    ]


def warnings(summary: Mapping[str, Any], notes: Sequence[str] = ()) -> list[str]:
    """What a user should know before training on the proposal, gravest first; ``notes`` of the table among them."""
    found = []
    if not trusted(summary):
        worst = summary["outcomes"][telling(summary)]
        named = ", ".join(f"{name} {error:.3g}" for name, error in worst["baselines"].items())
        found.append(
            f"The error on '{safe(worst['name'], 24)}' is {worst['error']:.3g}; "
            f"guesses reach: {named}. Run more mixtures, or fit another law."
        )
    if summary["proposal"] and _against_best_run(summary):
        found.append(_against_best_run(summary))
    found += [*apart(summary), *notes]
    for sentence in summary.get("extrapolation", []):
        found.append(f"Extrapolation: {sentence}.")
    for one in summary["outcomes"]:
        where = f"'{safe(one['name'], 24)}': " if len(summary["outcomes"]) > 1 else ""
        found += [where + sentence for sentence in one.get("remarks", ())]
    noise = _weighted(summary, "error_in_noise")
    if any(one["noise"] == 0 for one in summary["outcomes"]):
        found.append(
            "Runs that differ in the seed alone have the same outcome to the last digit, so the error cannot be "
            "compared with luck. Did each of them train?"
        )
    elif not math.isfinite(noise):
        found.append(
            "No setting was run with several seeds, so the error cannot be compared with luck. Repeat some runs."
        )
    elif noise > FAR_ERROR and trusted(summary):
        found.append(
            f"Runs left out are missed by {_times(noise)} times seed noise: the law's form does not fit all of them."
        )
    for one in summary["proposal"]:
        if one["passes"] is not None and one["passes"] > MANY_PASSES:
            found.append(
                f"'{safe(one['name'], 24)}' would be gone through {one['passes']:.1f} times. Short proxy runs "
                "over-rate what they do not repeat: bound it with --passes."
            )
            break
    if summary["proposal"] and not summary["natural_known"]:
        passes = " and how often it goes through each is not known" if summary["tokens"] else ""
        found.append(
            f"The sources' sizes are not known, so the proposal is compared with the mean of the runs{passes}. Give "
            "--sizes."
        )
    return found


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What the fit does not say."""
    found = [
        "Intervals cover 90 % and come from resampling the runs (or draws of a posterior); they trust the law's form.",
        "A lower loss of small models is not yet a better large one: train the proposal against proportional, uniform "
        "and the best mixture run, with three seeds or more.",
    ]
    if summary["law"]["name"].partition(":")[0] == "regmix":
        found.append(
            "A line's intervals mean nothing where losses are curved."
            if summary["law"]["parameters"]["model"] == "linear"
            else "Trees have no intervals of their own: these are of smooth surfaces through the same runs (draws of a "
            "Gaussian process), and the trees' own proposal may lie outside them."
        )
    if summary["proposal"]:
        found += flattered(summary)
    return found


def flattered(summary: Mapping[str, Any]) -> list[str]:
    """What was added to the proposal's predicted loss, as a sentence; none where nothing was."""
    if not summary["optimism"]:
        return []
    return [
        f"The least of a fitted surface flatters itself: {summary['optimism']:.3g} were added to the proposal's "
        "predicted loss for that."
    ]


def next_command(
    summary: Mapping[str, Any], folder: str, command: str = "", sizes: Sequence[str] = (), turned: bool = False
) -> str:
    """What to type next: the export of a proposal that may be worth training, or another law, or what the law says.

    Args:
        command: as it was typed, where it was.
        sizes: those by which the runs differ and at which the law does not look.
        turned: whether an outcome sounds as if more of it were better, so that its worst mixture would be exported.
    """
    name = summary["law"]["name"]
    again = f"{_WITH.sub('', command)} --with " if summary.get("mixtures") and command.startswith("cuvee ") else ""
    if again and {"tokens", "parameters"} <= set(sizes):
        return f"{again}nested_mixing"
    fits = not _weighted(summary, "error_in_noise") > FAR_ERROR
    if summary["proposal"] and trusted(summary) and not turned:
        against = rival(summary)
        stood = standing(summary, against)
        if stood == "better" or (stood == "not shown" and fits and summary["gains"][against]["gain"] > 0):
            return f"cuvee mix export {shell_path(folder)} --to megatron"
    doubtful = not sizes and not turned and not (trusted(summary) and fits)
    following = _other_law(summary) if again and doubtful else ""
    return again + following if following else f"cuvee methods {name}"


def _other_law(summary: Mapping[str, Any]) -> str:
    """The law to try where this one does not hold; empty after the last of them."""
    name, guessed = summary["law"]["name"], _guessed(summary)
    few = summary["counts"]["settings"] <= 2 * summary["counts"]["sources"] + 1  # the first fits as many numbers
    below = min(value for one in summary["outcomes"] for value in one["observed"]) < 0  # which no formula reaches
    others = list(OTHERS[1:] if few or below else OTHERS)
    if min(guessed, key=guessed.__getitem__, default="") == "linear":
        others.append(LINE)
    if summary["law"].get("parameters", {}).get("model") == "linear":
        return ""
    following = others[others.index(name) + 1 :] if name in others else others
    return following[0] if following else ""


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
        lines.append(f"  {safe(name, 24)} {_figure(one['value'])} {_span(one)}")
    if summary["asked"]:
        lines += textwrap.wrap(f"at {where(summary)}", WIDTH - 2, initial_indent="  ", subsequent_indent="  ")[:2]
    if not summary["proposal"]:
        every = list(summary["outcomes"][0]["parameters"].items())
        lines += [f"  {safe(name, 20):<21}{safe(_spelled(value), 50)}" for name, value in every[:PARAMETERS]]
        if len(every) > PARAMETERS:
            lines.append(f"  and {len(every) - PARAMETERS:,} more, in the report")
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    for at, warning in enumerate(summary["warnings"]):
        told_lines, left = warned(warning, WIDTH), len(summary["warnings"]) - at
        if len(lines) + len(told_lines) + (left > 1) + len(tail) > LINES:
            lines = [*lines[: LINES - len(tail) - 1], f"  (!) {plural(left, 'more warning')}, in the report"]
            break
        lines += told_lines
    return [*(fit(line, WIDTH) for line in lines[: LINES - len(tail)]), *tail]


def where(summary: Mapping[str, Any]) -> str:
    """Where the law's other columns stand for what is predicted: "tokens=2e+10, share=0.3"."""
    at = summary.get("at", {}).items()
    return ", ".join(f"{safe(name, 24)}={value:.4g}" for name, value in at if value is not None and value == value)


def natural(summary: Mapping[str, Any]) -> str:
    """What stands under "proportional": that, or the mean of the runs where the sources' sizes are not known."""
    return "proportional" if summary.get("natural_known", True) else "mean of runs"


def _proposed(summary: Mapping[str, Any]) -> list[str]:
    passes = any(one["passes"] is not None for one in summary["proposal"])
    head = f"  {'source':<18}{'weight':>8}{'90 %':>18}{natural(summary):>14}{'best run':>10}"
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
        ("proportional", natural(summary)),
        ("uniform", "uniform"),
        ("best_measured", "best run"),
    )
    told = [f"{label} {_figure(expected[name]['loss'])} {_span(expected[name])}" for name, label in names]
    beside = [told[0]]
    for one in told[1:]:
        if len(beside[-1]) + len(one) + 2 > WIDTH - 14:
            beside[-1] += ","
            beside.append(one)
        else:
            beside[-1] += f", {one}"
    lines += [f"{'  predicted' if at == 0 else '':<13}{line}" for at, line in enumerate(beside)]
    if where(summary):
        lines.append(f"             at {where(summary)}")
    return lines
