"""The sentences about a search: verdict, warnings, limits, and the screen."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..law import trust
from ..law.caution import LEVEL
from ..law.wording import flattered
from ..layout import REPORT, SEARCH
from ..mix.apportion import apportion
from ..mix.wording import MANY_PASSES, SOURCES, by_weight, other_weights, passes
from ..proof_wording import duration, interval
from ..quantities import next_lines, shell_path, shell_word, weight_name
from ..report.figures import short
from ..report.terminal import number, percent, plural, safe, warning_lines
from ..report.text import fit, width

WIDTH, LINES = 80, 24
FAR_ERROR = 3.0
ROWS, FEWEST_ROWS = 8, 4
"""Sources with a line of their own; fewer where there is much else to say."""
RESERVED = 6
"""Lines that warnings may have of the table's."""
BY_SIZE = "by size"
"""The mixture of all sources by their size, where no weights are held; the trial has it beside the others."""
BEATEN = "Proportional is proposed, for the law shows nothing better; but a run of the swarm is better"
STAYS = "Proportional is proposed: nothing measured is shown to be better than proportional"
UNRELIED = "Proportional is proposed"
LABELS = {"proposal": "proposal", "proportional": "proportional", "uniform": "uniform", "best_measured": "best run"}


def primary(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in summary["comparisons"] if one["primary"]]


def stays(summary: Mapping[str, Any]) -> bool:
    """Whether the proposal is the proportional mixture, since no step away from it is shown to be better."""
    return bool(summary.get("caution")) and summary["caution"]["share"] == 0.0


def plain(summary: Mapping[str, Any]) -> str:
    """That a search of samplers proposes the plain one, and why; empty if it does not."""
    why = (summary.get("sampler") or {}).get("stays")
    if not why:
        return ""
    reason = doubted(summary) or f"Nothing better was found: {why}."
    gain = summary["gains"]["proportional"]["gain"]
    told = ""
    if worse(summary):
        told = f", but it was worse than proportional in the swarm ({_against_proportional(summary)})"
    elif not gain > 0:
        told = ", worse than proportional in the swarm, though not for sure"
        told = told if gain < 0 else ", no better than proportional in the swarm"
    return f"{reason} The plain sampler is proposed{told}"


def worse(summary: Mapping[str, Any]) -> bool:
    """Whether the proposal is predicted to be worse than proportional: the interval of its gain lies below 0."""
    high = summary["gains"].get("proportional", {}).get("high")
    return high is not None and high < 0


def _against_proportional(summary: Mapping[str, Any]) -> str:
    """The predicted difference to proportional with its interval; below 0 is better."""
    gain = summary["gains"]["proportional"]
    return f"{-gain['gain']:+.3g} [{-gain['high']:+.3g}, {-gain['low']:+.3g}] {summary['unit']}"


def doubted(summary: Mapping[str, Any]) -> str:
    """The sentence that the law is not to be relied on, and why; empty if it is."""
    found = trust.doubt(summary["outcomes"])
    return f"Not to be relied on: {found}." if found else ""


def caution(summary: Mapping[str, Any]) -> str:
    """How far the proposal goes toward what the law proposes, and why; empty if it was not asked."""
    told = summary.get("caution")
    if not told:
        return ""
    if stays(summary) and doubted(summary):
        return "proportional stays: the law is not to be relied on"
    if told["bound"] is None:
        return "proportional stays: no bound on the way to the optimum is finite"
    if not told["share"]:
        return f"proportional stays: least bound on the way to the optimum {told['bound']:+.2g}"
    return f"{percent(told['share'])} of the way to the optimum: bound {told['bound']:+.2g}"


def trusted(summary: Mapping[str, Any]) -> bool:
    """Whether the law beats every guess on mixtures left out."""
    sure = summary["confidence"]
    own = sum(one["weight"] * one["error"] for one in summary["outcomes"])
    return bool(own < min(sure["guesses"].values()))


def verdict(summary: Mapping[str, Any]) -> str:
    """What the trial of the proposal showed; without one, what the law expects."""
    told = primary(summary)
    doubt = doubted(summary)
    if stays(summary) and not told:
        return f"{doubt} {UNRELIED}." if doubt else f"{STAYS}."
    if plain(summary) and not told:
        return f"{plain(summary)}; it is not tried."
    if not told:
        head, span = f"{doubt} " if doubt else "", _against_proportional(summary)
        if worse(summary):
            return f"{head}Proposed, not tried: the law expects it to be worse than proportional, by {span}."
        return f"{head}Proposed, not tried: the law expects {span} against proportional, below 0 is better."
    by_baseline: dict[str, list[Mapping[str, Any]]] = {}
    for one in told:
        by_baseline.setdefault(one["against"], []).append(one)
    parts: dict[str, list[str]] = {}
    for name, found in by_baseline.items():
        kinds = {one["verdict"] for one in found}
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        size = interval(found[0]) if len(found) == 1 else plural(len(found), "evaluation set")
        parts.setdefault(kind, []).append(f"{name} ({size})")
    words = {
        "better": "Better than {}",
        "worse": "Worse than {}",
        "equivalent": "As good as {}",
        "not shown": "Not shown to differ from {}",
        "mixed": "Not one answer on all evaluation sets against {}",
    }
    sentences = [words[kind].format(_listed(names)) for kind, names in parts.items()]
    lost = summary["trial"]["unanswered"]
    tail = f" {plural(len(lost), 'comparison')} without an answer: trials diverged." if lost else ""
    head = sentences[0] + "".join(f"; {one[0].lower()}{one[1:]}" for one in sentences[1:])
    start = ""
    if stays(summary):
        beaten = any(one["verdict"] == "worse" for one in told)
        start = f"{BEATEN}. " if beaten else f"{doubt} {UNRELIED}. " if doubt else f"{STAYS}. "
    if plain(summary):
        start = f"{plain(summary)}. "
    return f"{start}{head}: {summary['unit']}, {len(summary['trial']['seeds'])} fresh paired seeds.{tail}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def held(told: Mapping[str, Any]) -> str:
    """Which weights are held, in a clause."""
    sources = sorted(told["sources"].items(), key=lambda one: (-one[1], one[0]))
    named = ", ".join(f"{safe(name, 24)} {percent(share)}" for name, share in sources[:3])
    more = f" and {len(sources) - 3:,} more" if len(sources) > 3 else ""
    return f"{plural(len(sources), 'source')} as in {safe(told['from'], 40)} ({named}{more}); {_new(told)}"


def _new(told: Mapping[str, Any]) -> str:
    new = told["new"]
    return f"searched: {', '.join(safe(name, 24) for name in new[:3])}" + (
        f" and {len(new) - 3:,} more" if len(new) > 3 else ""
    )


def warnings(summary: Mapping[str, Any], data: Sequence[str] = ()) -> list[str]:
    """What a user should know before training on the proposal, gravest first.

    ``data``: what was found in the pool and the evaluation sets; it comes after what the trial showed.
    """
    found = []
    told = {one["against"]: one for one in primary(summary)}
    lost = [name for name, one in told.items() if one["verdict"] == "worse"]
    if lost:
        found.append(
            f"The proposal is worse than {_listed(lost)}: train on that instead."
            + ("" if stays(summary) else " What the law took for best was not.")
        )
    same = [name for name, one in told.items() if not any(one["differences"])]
    if same:
        found.append(
            f"The proposal trained on the same documents as {_listed(same)}: runs are so short that shares round to "
            "one and the same. Give more --run-tokens."
        )
    found += data
    rivals = [one for name, one in told.items() if name in ("proportional", "uniform")]
    if rivals and not lost and not all(one["verdict"] == "better" for one in rivals):
        found.append(
            "The proposal is not shown to be better than both proportional and uniform: nothing here says that it is "
            "worth its trouble."
        )
    promised = summary["caution"]["path"][-1][1] if stays(summary) else None
    if promised is not None and promised < 0:
        found.append(
            f"The law's own optimum would be better than proportional by {-promised:.2g} {summary['unit']} if the law "
            "were right, but it was so far wrong about mixtures left out that it may be worse. Give more --runs, or "
            "try that optimum with --bold."
        )
    if not told:
        found += _best_run(summary)
    if not trusted(summary):
        named = ", ".join(f"{name} {error:.3g}" for name, error in summary["confidence"]["guesses"].items())
        found.append(
            f"The law misses mixtures left out by {summary['confidence']['error']:.3g}; guesses reach: {named}. Give "
            "more --runs, or another --law."
        )
    noise = summary["confidence"]["error_in_noise"]
    if noise is not None and noise > FAR_ERROR and trusted(summary):
        found.append(f"Mixtures left out are missed by {noise:.1f} times seed noise: the law's form does not fit all.")
    if summary["counts"]["diverged"]:
        found.append(f"{plural(summary['counts']['diverged'], 'run')} of the swarm diverged and were left out.")
    groups = [one for one in summary["comparisons"] if one["group"] is not None and one["verdict"] == "worse"]
    if groups:
        named = ", ".join(f"{safe(one['group'], 24)} ({interval(one)} against {one['against']})" for one in groups[:2])
        named += f", and {len(groups) - 2:,} more" if len(groups) > 2 else ""
        found.append(f"The proposal is worse on {plural(len(groups), 'comparison')} of subgroups: {named}.")
    for sentence in summary["extrapolation"]:
        found.append(f"Extrapolation: {sentence}.")
    many = [one for one in summary["proposal"] if (one["passes"] or 0) > MANY_PASSES * 1.001]
    if many:
        named = ", ".join(f"{safe(one['name'], 24)} {passes(one['passes'])}" for one in many[:3])
        found.append(f"{plural(len(many), 'source')} gone through more than four times ({named}).")
    return found


def _best_run(summary: Mapping[str, Any]) -> list[str]:
    """That a proposal without a trial is predicted to be worse than a mixture that was run."""
    known = [one for one in summary["mixtures"] if one["loss"] is not None]
    best = min(known, key=lambda one: one["loss"]) if known else None
    expected = summary["expected"]["proposal"]["loss"]
    if best is None or expected is None or not best["loss"] < expected:
        return []
    if stays(summary) and best["name"] == "proportional":
        return []  # it is the proposal
    found = (
        f"The proposal is predicted at {expected:.4g} {summary['unit']}, and '{safe(best['name'], 24)}', the best of "
        f"{plural(len(known), 'mixture')} run, was measured at {best['loss']:.4g}: "
    )
    gain = summary["gains"].get(best["name"], {"high": None})
    if not stays(summary) and gain["high"] is not None and gain["high"] < 0:  # proportional or uniform
        low, high = -gain["high"], -gain["low"]
        return [f"{found}the proposal is worse by {low:.3g} to {high:.3g}. Train on that one instead."]
    gain = summary["gains"].get("best_measured", {"high": None})
    if not stays(summary) and not plain(summary) and gain["high"] is not None and gain["high"] < 0:
        low, high = -gain["high"], -gain["low"]
        return [f"{found}the law, too, predicts that one to be better, by {low:.3g} to {high:.3g}. Train that one."]
    return [f"{found}in part luck, but try both (--seeds 8)."]


def limits(summary: Mapping[str, Any]) -> list[str]:
    """What the search does not say."""
    found = [
        f"Runs of {summary['run_tokens']:,} tokens of a small proxy stand for one of {summary['tokens']:,} tokens of "
        "another model. Sources are cut down so that both go through them equally often; what else changes with size "
        "is not looked at.",
        "Losses on the evaluation sets were minimised, so these sets have been learnt from: judge the final model on "
        "others.",
        "Intervals of weights and predictions cover 90 %, come from resampling mixtures (or draws of a posterior), and "
        "trust the law's form. Those of the trial cover 95 % together and trust nothing but its seeds and documents.",
        *flattered(summary),
    ]
    if summary.get("refit"):
        found.append(
            "The columns of runs.csv count by their shares of the evaluation sets here, and alike in a fit that is not "
            f"told. The same objective, in this folder: {summary['refit']}"
        )
    if summary.get("caution"):
        found.append(
            "The proposal goes from proportional toward the mean of what laws of resampled runs propose, as far as the "
            f"{100 * LEVEL:.0f} % bound on its difference falls. That bound weighs the law's errors on mixtures left "
            "out by the square root of their distance, which is an assumption; a better mixture may lie farther away, "
            "or elsewhere. --bold proposes the law's optimum."
        )
    gained = any(one["against"] == "proportional" and one["verdict"] == "better" for one in primary(summary))
    if gained and 2 * summary["run_tokens"] > summary["tokens"] and not summary.get("sampler"):
        found.append(
            "How many times the tokens proportional would need is not told: runs take more than half of the planned "
            "run's tokens, so there is no text for longer ones. Give fewer --run-tokens."
        )
    if (summary.get("trial") or {}).get("multiples"):
        found.append(
            "What proportional would need comes from longer runs of proportional, through as much more text of the "
            "same sources. The planned run may have no more of it, and repeating is worth less than new text."
        )
    if summary.get("held"):
        one = summary["held"]
        found.append(
            f"{plural(len(one['sources']), 'source')} keep the weights relative to one another that {one['from']} gave "
            "them; a better mixture may lie where these differ. Proportional and uniform keep them, too: these sources "
            f"together count as one beside {plural(len(one['new']), 'other')}. The trial's '{BY_SIZE}' holds nothing: "
            "every source by its size."
        )
    if summary.get("sampler"):
        found.append(
            "The sampler's parameters were searched among random ones. Proportional and uniform are not among these, "
            "so the trial alone tells whether they are beaten. What it shows holds for these scores; weights of the "
            "domains are what the sampler makes of them."
        )
    if summary["proxy"]["name"] == "ngram":
        found.append(
            "An n-gram model counts strings and knows nothing else. Seeds differ in the documents drawn; where runs go "
            "through whole sources, hardly in anything."
        )
    return found


def refit(weights: Mapping[str, float], tokens: int, passes: float) -> str:
    """The fit of a search's runs.csv that minimises what the search did, typed in its folder; empty for one outcome.

    It names no law: any may be asked, and what a search adds to its own is its own affair.

    Args:
        weights: of the outcomes.
    """
    if len(weights) < 2:
        return ""
    parts = apportion(list(weights.values()), 1_000_000).tolist()
    told = ",".join(f"{weight_name(name)}={part / 1e6:.6f}" for name, part in zip(weights, parts, strict=True))
    return f"cuvee mix fit runs.csv --sizes . --tokens {tokens} --passes {passes:g} --objective {shell_word(told)}"


def next_command(summary: Mapping[str, Any], folder: str, pool: Sequence[str], command: str) -> str:
    """What to type next: the export of the proposal, or the mix that turned out to be better."""
    told = primary(summary)
    settled = stays(summary) and _best_is_proportional(summary)
    if not told and command.startswith("cuvee ") and not settled and stays(summary) and doubted(summary):
        return _more_runs(summary, command)
    useless = bool(plain(summary)) and not summary["gains"]["proportional"]["gain"] > 0  # in the swarm
    if not told and command.startswith("cuvee ") and not settled and not useless:
        return f"{re.sub(' --seeds[ =]0', '', command)} --seeds 8"
    lost = [one for one in told if one["verdict"] == "worse"]
    column = summary["spec"].get("domain")
    by = f"{' '.join(map(shell_path, pool))} --by {shell_word(column or 'domain')}"
    best = max(lost, key=lambda one: one["mean"])["against"] if lost else None
    gained = any(one["against"] == "proportional" and one["verdict"] == "better" for one in told)
    vain = bool(told) and not stays(summary)  # tried, and not shown to be worth it
    if best is None and (useless or vain or (not told and worse(summary))) and not gained:
        best = "proportional"
    if summary.get("sampler") or (summary.get("clusters") and best):
        return _next_of_sampler(summary, folder, pool, column, best, command)
    if best is None:
        return f"cuvee mix export {shell_path(folder)} --to megatron"
    start, holds = f"cuvee mix pool {by}", bool(summary.get("held"))
    if best == BY_SIZE or (best in ("proportional", "uniform") and not holds):
        return f"{start} --with {'proportional' if best == BY_SIZE else best} --tokens {summary['tokens']}"
    shares = best if best in ("proportional", "uniform") else "best_measured"
    rows = [(one["name"], one[shares]) for one in summary["proposal"]]
    parts = apportion([share for _, share in rows], 10_000).tolist()
    weights = ",".join(
        f"{weight_name(name)}={part / 10_000:.4f}" for (name, _), part in zip(rows, parts, strict=True) if part
    )
    return f"{start} --weights {shell_word(weights)} --tokens {summary['tokens']}"


def _next_of_sampler(
    summary: Mapping[str, Any], folder: str, pool: Sequence[str], column: str | None, best: str | None, command: str
) -> str:
    """The selection by the sampler that was found, or what is better than it, or than a mixture of new clusters."""
    paths = " ".join(map(shell_path, pool))
    amount = f"--tokens {summary['tokens']}"
    if best == "proportional":
        return f"cuvee select {paths} --with random {amount}"
    if best == "uniform" and summary.get("sampler"):
        return f"cuvee select {paths} --domain {shell_word(column or 'domain')} --with random --quota uniform {amount}"
    if best is not None:  # a run of the swarm: its neighbourhood has been looked at too little
        return _more_runs(summary, command)
    settings = f"quadmix:ratings={summary['sampler']['ratings']},plan={folder},limit={summary['sampler']['passes']}"
    return f"cuvee select {paths} --domain {shell_word(column or 'domain')} --with {shell_word(settings)} {amount}"


def _more_runs(summary: Mapping[str, Any], command: str) -> str:
    """The same search with a swarm twice as large; finished runs are in the ledger."""
    return f"{re.sub(' --runs[ =][0-9]+', '', command)} --runs {2 * summary['counts']['runs']}"


def _best_is_proportional(summary: Mapping[str, Any]) -> bool:
    """Whether no mixture of the swarm was measured below proportional."""
    losses = {one["name"]: one["loss"] for one in summary["mixtures"]}
    return "proportional" in losses and losses["proportional"] <= min(losses.values())


def search_lines(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """What ``cuvee mix search`` prints: verdict first, at most 24 lines of 80 columns.

    What is long gives way to warnings: they have up to a quarter of the screen, and the table is the shorter for it.
    """
    tail = [*next_lines(summary["next"]), f"report: {safe(folder / REPORT, WIDTH - 8)}"]
    room = LINES - len(tail)
    least = len(warning_lines(summary["warnings"], RESERVED))
    for rows in range(ROWS, FEWEST_ROWS - 1, -1):
        lines = _body(summary, rows)
        if len(lines) + least <= room:
            break
    lines = lines[: room - least]
    lines += warning_lines(summary["warnings"], room - len(lines))
    return [*(fit(line, WIDTH) for line in lines), *tail]


def _body(summary: Mapping[str, Any], most: int) -> list[str]:
    """Verdict, weights of at most so many sources in full, what the law expects, and the cost."""
    lines = textwrap.wrap(safe(summary["verdict"], 400), WIDTH)[:4]
    lines.append(f"  {'source':<16}{'weight':>7}{'90 %':>13}{'passes':>7}{'proportional':>17}{'uniform':>15}")
    rows = by_weight(summary["proposal"])
    room = most if len(rows) <= most else most - 1
    for one in rows[:room]:
        name = fit(safe(one["name"], 15), 15)
        span = f"[{percent(one['low'])}, {percent(one['high'])}]".replace(" %", "")
        text = f"  {name}{' ' * (16 - width(name))}{percent(one['weight']):>7}{span:>13}{passes(one['passes']):>7}"
        text += f"{percent(one['proportional']):>10} x {passes(one['proportional_passes']):<4}"
        lines.append(f"{text}{percent(one['uniform']):>8} x {passes(one['uniform_passes'])}")
    lines += other_weights(rows[room:], SOURCES - room, SEARCH)
    if summary.get("held"):
        lines += textwrap.wrap(
            held(summary["held"]), WIDTH, initial_indent="  held       ", subsequent_indent="             "
        )[:2]
    expected = summary["expected"]
    told = [f"{label} {_loss(expected[name])}" for name, label in LABELS.items()]
    lines.append(f"  predicted  {', '.join(told[:2])}")
    lines.append(f"             {', '.join(told[2:])}")
    lines += textwrap.wrap(
        _confidence(summary), WIDTH, initial_indent="  law        ", subsequent_indent="             "
    )
    if caution(summary):
        lines.append(f"  caution    {caution(summary)}")
    lines += textwrap.wrap(_cost(summary), WIDTH, initial_indent="  cost       ", subsequent_indent="             ")
    for one in (summary["trial"] or {}).get("multiples", [])[:1]:
        lines += textwrap.wrap(one["said"], WIDTH, initial_indent="  tokens     ", subsequent_indent="             ")
    return lines


def _cost(summary: Mapping[str, Any]) -> str:
    """What the swarm and the trial were trained on, and the seconds of both."""
    cost, found = summary["cost"], summary["counts"]["found"]
    told = f"{short(cost['swarm']['tokens'])} tokens in {plural(cost['swarm']['runs'], 'run')}"
    if cost["trial"]:
        told += f", {short(cost['trial']['tokens'])} in {cost['trial']['runs']:,} of the trial"
    known = f" this time, {plural(found, 'trial')} found in the ledger" if found else " in all"
    return f"{told}; {duration(sum(cost['seconds'].values()))}{known}"


def _loss(one: Mapping[str, Any]) -> str:
    return f"{one['loss']:.4g} [{one['low']:.4g}, {one['high']:.4g}]"


def _confidence(summary: Mapping[str, Any]) -> str:
    sure = summary["confidence"]
    text = f"error on mixtures left out {number(sure['error'])}"
    if sure["error_in_noise"] is not None:
        text += f" ({sure['error_in_noise']:.1f} x noise)"
    if sure["rank"] is not None:
        text += f"; rank {sure['rank']:.2f}"
    if sure["rank_best"] is not None:
        text += f", at best {sure['rank_best']:.2f}"
    return text
