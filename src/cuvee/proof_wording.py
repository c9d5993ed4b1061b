"""What a proof says in words: the verdict, warnings, limits, and the lines for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .layout import REPORT
from .proof.multiples import Multiple
from .quantities import next_lines
from .report.terminal import percent, plural, safe, warned
from .report.text import fit

if TYPE_CHECKING:
    from .proof.arms import Plan
    from .proof.candidates import Candidate
    from .proof.draws import Drawn
    from .proof.evaluations import EvaluationSet
    from .proof.findings import Answers
    from .proof.overlap import Overlap
    from .proof.question import Question

UNEQUAL = 0.02
"""Arms of one seed may differ by this share of their tokens: about a document."""
WIDTH = 79
VERDICTS = ("better", "equivalent", "not shown", "worse")


def duration(seconds: float) -> str:
    """ "40 s", "3 min", "2.5 h"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def number(value: float, unit: str = "") -> str:
    """A signed difference with its digits in proportion: +0.0123, -0.31."""
    digits = 4 if abs(value) < 0.1 else 3
    return f"{value:+.{digits}f}{f' {unit}' if unit else ''}"


def interval(one: Mapping[str, Any]) -> str:
    """ "-0.310 bits [-0.352, -0.268]" without the unit."""
    return f"{number(one['mean'])} [{number(one['low'])}, {number(one['high'])}]"


def refused(met: Overlap) -> str:
    """Why nothing is trained: the pool holds evaluation texts."""
    return (
        f"{plural(met.rows, 'document')} of the pool hold text of the evaluation sets ({met.told()}). A model trained "
        "on them is measured on what it has seen. Leave them out of all arms with --overlap clean, or evaluate on "
        "other documents."
    )


def overlaps(met: Overlap, how: str, rows: int | None = None) -> list[str]:
    """Warnings about evaluation texts in the pool, of so many ``rows``, and in the selections."""
    if not met.rows:
        return []
    share = f", {percent(met.rows / rows)}," if rows and met.rows >= rows / 100 else ""
    held = "hold" if met.rows > 1 else "holds"
    found = [f"{plural(met.rows, 'document')} of the pool{share} {held} evaluation text ({met.told()})"]
    found[0] += (
        " and are left out of every arm." if how == "clean" else ", and stayed in: results flatter who has them."
    )
    for name, rows in met.selected.items():
        if rows:
            found[0] += f" '{name}' holds {rows:,} of them."
    return found


def own_target(candidates: Sequence[Candidate], sets: Sequence[EvaluationSet]) -> list[str]:
    """Warnings about evaluation sets that a selection was made to look like, text by text."""
    found = []
    for one in candidates:
        target = np.array([int(text, 16) for text in one.plan.get("target_contents", [])], np.uint64)
        for each in sets:
            same = int(np.isin(each.content, target).sum())
            if same:
                least = "At least " if len(target) >= 1_000 else ""
                found.append(
                    f"{least}{same:,} of the {len(each.content):,} documents of the evaluation set '{each.name}' are "
                    f"in the target that '{one.name}' was chosen to look like: this is no held-out set for it, and its "
                    "result says little. Evaluate on other documents of that kind."
                )
    return found


def unequal(plan: Plan, draws: Mapping[tuple[str, int], Drawn], seeds: Sequence[int]) -> list[str]:
    """Warnings about arms that train on fewer tokens than they should: than the others, or all of them alike."""
    arms = [arm for arm in plan.arms if arm.kind != "full"]
    shares = np.array([[draws[arm.name, seed].tokens / arm.tokens for arm in arms] for seed in seeds])
    alike = bool((np.ptp(shares, axis=1) <= UNEQUAL).all())  # trials are compared within a seed
    found = []
    if alike and shares.min() < 1 - UNEQUAL:
        at = int(shares.min(axis=0).argmin())
        least = min(draws[arms[at].name, seed].tokens for seed in seeds)
        found.append(
            f"Trials are smaller than wanted, all arms alike: {least:,} tokens of {arms[at].tokens:,}, since whole "
            "documents do not fill the rest."
        )
    for arm in arms:
        least = min(draws[arm.name, seed].tokens for seed in seeds)
        if not alike and least < (1 - UNEQUAL) * arm.tokens:
            found.append(
                f"Arms are of unequal size: '{arm.name}' trains on {least:,} tokens where {arm.tokens:,} were wanted "
                "(its documents do not fill its share); fewer tokens make a higher loss."
            )
        repeated = max(draws[arm.name, seed].documents / max(len(draws[arm.name, seed].row), 1) for seed in seeds)
        if repeated > 1.05:
            found.append(
                f"'{arm.name}' repeats its documents {repeated:.1f} times on average, other arms do not: part of the "
                "difference may be repetition."
            )
    return found


def pilot(power: Mapping[str, Any] | None, done: int, seeds: int, left: float, unit: str) -> str:
    """After the pilot: what the planned seeds can see, and how long the rest takes."""
    rest = f"; about {duration(left)} to go" if left else ""
    if power is None:
        return f"{done} of {seeds} seeds done{rest}"
    told = f"{seeds} seeds can show a difference of {power['detectable']:.4f} {unit} (4 times in 5)"
    needed = "; ".join(one["said"].rstrip(".") for one in power["seeds_for"])
    if power.get("assumed"):
        needed = f"for 1 % of the baseline's loss (name another with --effect): {needed[0].lower()}{needed[1:]}"
    return f"pilot of {done} seeds: {told}; {needed}{rest}"


def multiple(found: Multiple, who: str = "Random data") -> dict[str, Any]:
    """How many times the tokens random, or another, would need, as the report takes it."""
    bound = "less than" if found.value == 0 else "more than" if found.value == float("inf") else None
    times = {"less than": found.smallest, "more than": found.largest, None: found.value}[bound]
    return {"times": times, "bound": bound, "low": found.low, "high": found.high, "said": found.sentence(who)}


def group_curves(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Whether small groups follow the largest, each with a sentence."""
    return [{**one, "said": _followed(one)} for one in found]


def _followed(one: Mapping[str, Any]) -> str:
    """Whether a small group follows the largest."""
    small, large = f"'{one['minority']}'", f"'{one['majority']}'"
    over = f"over {plural(one['trials'], 'trial')} of {plural(one['arms'], 'arm')} on {one['evaluation']}"
    if one["against"]:
        span = f"{number(one['end'])} [{number(one['end_low'])}, {number(one['end_high'])}]"
        kind = "on a curve that turns" if one["answer"] == "curve" else "against each other"
        return (
            f"{small} and {large} move {kind} {over}: where {large} is best, what is gained there is lost on {small} "
            f"(slope {span}). Judge by the groups, not by the average."
        )
    span = f"{number(one['slope'])}"
    if one["slope_low"] is not None:
        span += f" [{number(one['slope_low'])}, {number(one['slope_high'])}]"
    if one["answer"] == "curve":
        return f"{small} follows {large} on a curve {over}; losses of {small} range over {one['spread']:.4f} about it."
    if one["answer"] == "line":
        return f"{small} follows {large} on a line {over}: slope {span}."
    why = "fewer than six arms cannot tell" if one["p"] is None else "the arms do not tell"
    return f"Whether {small} follows {large} on a line or a curve is open {over}: {why}. Slope of a line {span}."


def holdout(found: Sequence[Mapping[str, Any]], unit: str) -> dict[str, str]:
    """The answers of the guarded halves, as the report takes them."""
    told = {f"{one['arm']} against {one['against']}, {one['evaluation']}": _guarded(one, unit) for one in found}
    return told | ({"what it cannot show": found[0]["limits"]} if found else {})


def _guarded(one: Mapping[str, Any], unit: str) -> str:
    """One answer: of the reusable holdout, or of a ladder, which says whether it is "ahead"."""
    gain = f"gain of {one['gain']:+.4f} {unit} a document"
    if "ahead" not in one:
        return f"{gain} (or the open half's own number)"
    if one["ahead"]:
        return f"best so far: {gain}, to the nearest step"
    best = f"the best so far, a {gain}" if one["gain"] else f"{one['against']}"
    return f"not shown to be ahead of {best}"


def _primary(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in summary["comparisons"] if one["primary"]]


def verdict(summary: Mapping[str, Any], answers: Answers) -> str:
    """The answer in a sentence: the first candidate against the first baseline, and how far it holds elsewhere."""
    primary = _primary(summary)
    if not primary:
        lost = ", ".join(f"{count} of '{arm}'" for arm, count in answers.diverged.items())
        return f"Not shown: too few trials finished ({lost} diverged)." if lost else "Not shown: too few trials."
    first = primary[0]
    against, unit, seeds = first["against"], summary["unit"], len(first["seeds"])
    numbers = f"{number(first['mean'])} {unit} [{number(first['low'])}, {number(first['high'])}]"
    said = {
        "better": f"Better than {against}: {numbers}",
        "worse": f"Worse than {against}: {numbers}",
        "equivalent": f"Equivalent to {against}: {numbers} lies within the margin of {summary['margin']}",
        "not shown": f"No difference from {against} is shown: {numbers}",
    }[first["verdict"]]
    place = f" on {first['evaluation']}" if len({one["evaluation"] for one in primary}) > 1 else ""
    tail = f"{place}, {plural(seeds, 'paired seed')}"
    if len({one["arm"] for one in primary}) > 1:
        said = f"{first['arm']}: {said[0].lower()}{said[1:]}"
    if len(primary) > 1:
        counts = {word: sum(one["verdict"] == word for one in primary) for word in VERDICTS}
        told = [f"{word} in {count}" for word, count in counts.items() if count]
        tail += f". Of {len(primary)} comparisons: {', '.join(told)}"
    return f"{said}{tail}."


def warnings(summary: Mapping[str, Any], answers: Answers, question: Question) -> list[str]:
    """What a reader must know before believing the verdict."""
    from .proof.groups import warning

    found = []
    for arm, count in answers.diverged.items():
        found.append(
            f"{count} of {len(summary['seeds'])} trials of '{arm}' diverged (a loss was not a finite number). They "
            "count as diverged: comparisons with this arm get no verdict."
        )
    found += dict.fromkeys(note for one in answers.primary for note in one.notes if "diverged" not in note)
    if question.equal == "tokens":
        found += _unequal_training(summary)
    primary = _primary(summary)
    by_pair = {(one["arm"], one["evaluation"]): one for one in primary if one["against"] == "random"}
    for one in primary:
        random = by_pair.get((one["arm"], one["evaluation"]))
        matched = one["against"].startswith("length_matched")
        if matched and random and random["verdict"] == "better" and one["verdict"] != "better":
            found.append(
                f"'{one['arm']}' is better than random on {one['evaluation']}, but not than random documents of the "
                "same lengths: it may have found lengths and nothing else."
            )
    for average in answers.primary:
        told = warning(average, answers.groups, summary["unit"])
        if told is not None and average.against == answers.primary[0].against:
            found.append(told)
    found += [one["said"] for one in summary["group_curves"] if one["against"]]
    for one in summary["evaluations"]:
        if one["consulted"] > 5:
            found.append(
                f"The evaluation set '{one['name']}' has been consulted for {one['consulted']} different comparisons: "
                "the best of many is partly luck. Confirm it on documents that were never looked at, or use --holdout "
                "or --ladder."
            )
    return found


def _counted(summary: Mapping[str, Any]) -> str:
    """What the proxy counts."""
    return "examples" if summary["unit"] == "nats per example" else "of the proxy's own tokens"


def _unequal_training(summary: Mapping[str, Any]) -> list[str]:
    """Sentences about arms that trained on more or less than their baseline in the proxy's own count."""
    by_name = {one["name"]: one for one in summary["arms"]}
    found = []
    for pair in dict.fromkeys((one["arm"], one["against"]) for one in _primary(summary)):
        one, other = (by_name[name] for name in pair)
        share = one["train_tokens"] / max(other["train_tokens"], 1)
        if (abs(share - 1) > UNEQUAL and one["tokens"] == other["tokens"]) or abs(share - 1) > 2 * UNEQUAL:
            found.append(
                f"'{pair[0]}' trained on {one['train_tokens']:,} {_counted(summary)}, '{pair[1]}' on "
                f"{other['train_tokens']:,} ({share - 1:+.0%}): part of the difference may be the amount."
            )
    return found


def limits(summary: Mapping[str, Any], question: Question) -> list[str]:
    """What the proof does not say."""
    name, unit = summary["proxy"]["name"], summary["unit"]
    found = [
        f"The models are small ({name}: {summary['proxy']['summary']}) and see {summary['tokens']:,} tokens a trial. "
        "What helps them may help a large model less, or not at all.",
        f"Results are {unit} on held-out text: not accuracy on tasks.",
        "A selection is one draw of its method: its own luck is counted in the interval by training on random parts "
        "of it. Another pool or target may answer otherwise.",
        f"{plural(len(_primary(summary)), 'primary interval')} hold at once with {1 - question.alpha:.0%} confidence "
        "(Bonferroni); subgroups are a family of their own.",
    ]
    if name == "ngram":
        found[0] = (
            "The models count byte n-grams: they learn which strings are frequent and nothing else. A transformer may "
            "answer otherwise (--proxy transformer)."
        )
    if summary["small_groups"]:
        found.append(
            f"Too few documents to compare: {', '.join(summary['small_groups'][:10])}"
            f"{' and more' if len(summary['small_groups']) > 10 else ''}."
        )
    return found


def proof_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """The answer on at most 24 lines of 80 columns."""
    lines = textwrap.wrap(safe(summary["verdict"], 400), WIDTH, break_on_hyphens=False)
    primary = _primary(summary)
    several = len({one["arm"] for one in primary}) > 1
    names = [_versus(one, several) for one in primary[:6]]
    width = min(max(map(len, names), default=0), 38)
    for one, name in zip(primary, names, strict=False):
        lines.append(f"  {safe(name, width):<{width}}  {interval(one)}  {one['verdict']}")
    if len(primary) > 6:
        lines.append(f"  and {len(primary) - 6} more comparisons in the report")
    for one in summary["multiples"][:1]:
        lines += textwrap.wrap(safe(one["said"], 200), WIDTH, initial_indent="  ", subsequent_indent="  ")
    lines += _slices(summary)
    for name, value in list((summary["holdout"] or {}).items())[:1]:
        told = f"guarded half, {safe(name, 60)}: {value}"
        lines += textwrap.wrap(told, WIDTH, initial_indent="  ", subsequent_indent="    ")
    if summary["power"]:
        lines.append(f"  smallest detectable difference {summary['power']['detectable']:.4f} {summary['unit']}")
    select = max((one["select_seconds"] for one in summary["arms"]), default=0.0)
    lines.append(
        f"  {plural(summary['trials']['count'], 'trial')}, {summary['tokens']:,} tokens an arm: "
        f"{duration(summary['trials']['train_seconds'])} of training; selecting {select:.1f} s a trial"
    )
    for one in summary["warnings"][: max(0, 20 - len(lines))][:3]:
        lines += warned(one, WIDTH, 2)
    rest = len(summary["warnings"]) - 3
    if rest > 0:
        lines.append(f"  and {plural(rest, 'more warning')} in the report")
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    return [*(fit(line, WIDTH) for line in lines[: 24 - len(tail)]), *tail]


def _versus(one: Mapping[str, Any], several: bool) -> str:
    """The baseline and the evaluation set; the arm, too, where there are several. (Policies name their baseline.)"""
    other = one["arm"] if one["against"].endswith(", uniform") else one["against"]
    told = f"{one['arm']} v {one['against']}" if several and other != one["arm"] else other
    return f"{told}, {one['evaluation']}"


def _slices(summary: Mapping[str, Any]) -> list[str]:
    """How the subgroups fared against the first baseline."""
    primary = _primary(summary)
    if not primary:
        return []
    first = primary[0]
    same = ("arm", "against", "evaluation")
    groups = [one for one in summary["comparisons"] if one["group"] and all(one[name] == first[name] for name in same)]
    if not groups:
        return []
    counts = {word: sum(one["verdict"] == word for one in groups) for word in ("better", "worse")}
    least = max(groups, key=lambda one: one["mean"])
    told = f"  slices: better on {counts['better']} of {len(groups)}, worse on {counts['worse']}"
    lines = [told, f"  least gain: {safe(least['group'], 30)} {interval(least)} {least['verdict']}"]
    losses = {one["name"]: one["losses"].get(first["evaluation"], {}) for one in summary["arms"]}
    worst = [
        f"{safe(name, 20)} {losses[name]['worst_group_mean']:.3f} ({safe(losses[name]['worst_group'], 20)})"
        for name in (first["arm"], first["against"])
        if "worst_group" in losses.get(name, {})
    ]
    return [*lines, f"  highest loss of a slice: {', '.join(worst)}"] if worst else lines
