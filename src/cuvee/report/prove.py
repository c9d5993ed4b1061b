"""The report of ``cuvee prove``: did the choice help, does every seed agree, for whom not, and at what cost.

Here are the page and its tables; ``proof_pictures`` draws, ``proof_summary`` reads the summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import blocks
from .charts import span
from .examples import body, hidden
from .figures import NONE, duration, finite, items, mapping, number, plural, short, size
from .html import MOST_BYTES, Page
from .markup import EMPTY, element, isolated, join, table
from .proof_pictures import pictures
from .proof_summary import (
    MOST_NAME,
    Comparison,
    Form,
    Proof,
    bound_of,
    fixed,
    level,
    multiples_known,
    name_of,
    operations,
    read,
    times,
    unit_of,
)
from .text import Markup, as_text, cut, escape

_SIZES = ((6, 60), (2, 20), (1, 5))
"""Evaluation sets with pictures of their own, and rows of a table; the next pair if the page would be too large."""
_MOST_SIDE = 8
_SIGNS = {"more than": ">\u202f", "at least": "≥\u202f", "less than": "<\u202f", "at most": "≤\u202f"}


def render(summary: Mapping[str, Any], no_text: bool = False) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
        no_text: leave out every text of the training data and of the evaluation sets.
    """
    page = ""
    for panels, listed in _SIZES:
        page = _page(read(summary, panels, listed), no_text)
        if len(page.encode()) < MOST_BYTES:
            break
    return page


def _page(proof: Proof, no_text: bool) -> str:
    summary = proof.summary
    page = Page(
        "prove",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(proof),
        [picture for picture in pictures(proof) if picture],
    )
    page.add("Numbers", "The numbers", _comparisons(proof), *_power(proof))
    page.add("Subgroups", "Every subgroup, the worst first", *_subgroups(proof), _follows(proof))
    page.add("Arms", "What was trained", _arms(proof), _losses(proof), _proxy(proof))
    page.add("Evaluation", "What it was measured on", _evaluations(proof), _holdout(proof))
    page.add("Overlap", "Texts on both sides", *_overlap(proof, no_text))
    told = "Texts are hidden on request: overlaps show which documents meet, not what they share."
    limits = blocks.lines([told] * no_text + items(summary.get("limits")))
    page.add("Limits", "Limits", limits, blocks.rejects(summary.get("rejects"), None, no_text))
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(proof: Proof) -> list[tuple[str, str]]:
    facts = []
    drawn = [c for c in proof.whole if c.mean is not None]
    if drawn:
        first = drawn[0]
        told = f"{cut(proof.unit, 20)}, {cut(first.arm, 16)} against {cut(first.against, 16)}"
        told += f" on {cut(first.evaluation, 16)}" if len({c.evaluation for c in drawn}) > 1 else ""
        facts.append((told, proof.signed(first.mean)))
        known = [v for v in first.differences if v is not None]
        if known:
            facts.append(("paired seeds are better", f"{sum(v < 0 for v in known):,} of {len(known):,}"))
    multiple = next(iter(multiples_known(proof)), None)
    if multiple is not None:
        bound = bound_of(multiple)
        sign = _SIGNS.get(bound, f"{bound} " if bound else "")
        facts.append(("the tokens that random would need", f"{sign}{times(multiple.get('times'))} ×"))
    power = finite(mapping(proof.summary.get("power")).get("detectable"))
    if power is not None:
        facts.append(("smallest effect that these seeds see in 4 of 5 repetitions", number(power)))
    return facts


def _follows(proof: Proof) -> Markup:
    """How every small group that was looked at depends on the largest."""
    found = blocks.records(proof.summary.get("group_curves"))
    rows = [
        [
            isolated(name_of(row.get("minority")), MOST_NAME),
            isolated(name_of(row.get("majority")), MOST_NAME),
            isolated(name_of(row.get("evaluation")), MOST_NAME),
            escape("against" if row.get("against") is True else as_text(row.get("answer")), 20),
            escape(f"{number(row.get('trials'))}, {number(row.get('arms'))}"),
            *(_ends(row, name) for name in ("slope", "end", "bend")),
            *(escape(number(row.get(name))) for name in ("p", "aicc_gain", "spread")),
        ]
        for row in found[: proof.listed]
    ]
    head = ["Group", "Largest group", "Of", "Follows", "Trials, arms", "Slope", "Slope at the best", "Bend"]
    head += ["P of the bend", "AICc gain", "Spread"]
    lead = (
        "On a line, on a curve, or open. Bend: second derivative. AICc gain: of a curve over a line. Spread: of what "
    )
    lead += "neither explains, in the best tenth of trials."
    caption = "Small groups over the largest"
    return (
        join([blocks.lead(lead), table(head, rows, caption, words=4, more=len(found) - proof.listed)])
        if rows
        else EMPTY
    )


def _ends(row: Mapping[Any, Any], name: str) -> Markup:
    """A number with its interval."""
    value, low, high = (finite(row.get(key)) for key in (name, f"{name}_low", f"{name}_high"))
    form = fixed([value], sign=True)
    return escape(form(value) + (f" {span(form, low, high)}" if low is not None and high is not None else ""))


def _comparisons(proof: Proof) -> Markup:
    found, one = proof.whole, proof.one_arm
    rows = [
        [
            isolated(c.told(one), 90),
            isolated(c.evaluation, MOST_NAME),
            _verdict(c),
            *(escape(words) for words in _intervals(c, proof.signed)),
            escape(_agree(c)),
            escape(number(c.detectable)),
        ]
        for c in found[: proof.listed]
    ]
    head = ["Comparison", "On", "Verdict", "Difference", "Interval", "Level", "Student's t", "Bootstrap"]
    head += ["Better", "Detects"]
    if not rows:
        return EMPTY
    lead = "A dot marks what was declared beforehand. Better: seeds below zero. Detects: the smallest effect that this "
    lead += "comparison sees in 4 of 5 repetitions."
    arm = f", {cut(found[0].arm, MOST_NAME)} minus the other" if one else ""
    caption = f"Paired differences in {cut(proof.unit, 60)}{arm}"
    return join([blocks.lead(lead), table(head, rows, caption, words=3, more=len(found) - proof.listed)])


def _verdict(c: Comparison, flag: str = "") -> Markup:
    words = escape(c.verdict or NONE, 20)
    shown = element("b", words, escape(" •")) if c.primary else words
    return join([shown, escape(" "), element("mark", escape(flag), class_="up")]) if flag else shown


def _intervals(c: Comparison, form: Form) -> list[str]:
    """Mean, interval, its level, and the two other intervals."""

    def other(kind: str) -> str:
        return span(form, *(finite(c.row.get(f"{kind}_{end}")) for end in ("low", "high")))

    return [form(c.mean), span(form, c.low, c.high), level(c.level), other("t"), other("bootstrap")]


def _agree(c: Comparison) -> str:
    known = [v for v in c.differences if v is not None]
    return f"{sum(v < 0 for v in known):,} of {len(known):,}" if known else NONE


def _power(proof: Proof) -> list[Markup]:
    found = mapping(proof.summary.get("power"))
    smallest = finite(found.get("detectable"))
    count = len(items(proof.summary.get("seeds")))
    over = f"With {plural(count, 'paired seed')}" if count else "With these seeds"
    lead = f"{over} the smallest effect seen in 4 of 5 repetitions is {number(smallest)}."
    asked = [row for row in blocks.records(found.get("seeds_for")) if finite(row.get("effect")) is not None]
    rows = [
        [
            escape(number(row["effect"])),
            escape(plural(row["seeds"], "seed") if finite(row.get("seeds")) is not None else "out of reach"),
        ]
        for row in asked[:20]
    ]
    return [
        blocks.lead(lead) if smallest is not None else EMPTY,
        table(["To see an effect of", "needs"], rows, "Seeds for an effect", more=len(asked) - 20) if rows else EMPTY,
    ]


def _subgroups(proof: Proof) -> list[Markup]:
    found = sorted((c for c in proof.comparisons if c.group is not None), key=lambda c: c.badness)
    if not found:
        return []
    whole = {(c.pair, c.evaluation): c.mean for c in proof.whole}
    losing = {id(c) for c in found if (c.mean or 0) > 0 and (whole.get((c.pair, c.evaluation)) or 0) < 0}
    one, several = proof.one_arm, len({c.pair for c in found}) > 1
    rows = [
        [
            isolated(c.group, MOST_NAME),
            isolated(c.evaluation, MOST_NAME),
            *([isolated(c.told(one), 90)] if several else []),
            _verdict(c, "the average gains" if id(c) in losing else ""),
            *(escape(words) for words in _intervals(c, proof.signed)),
        ]
        for c in found[: proof.listed]
    ]
    head = ["Subgroup", "Of", *(["Comparison"] if several else []), "Verdict", "Difference", "Interval", "Level"]
    head += ["Student's t", "Bootstrap"]
    pair = "" if several else f", {' minus '.join(cut(name, 40) for name in found[0].pair)}"
    caption = f"Differences in {cut(proof.unit, 60)}{pair}"
    return [
        _losers([c for c in found if id(c) in losing]),
        table(head, rows, caption, words=len(head) - 5, more=len(found) - proof.listed),
    ]


def _losers(losing: Sequence[Comparison]) -> Markup:
    """Which subgroups lose where the average gains, and how sure that is."""
    if not losing:
        return EMPTY
    several = len({c.evaluation for c in losing}) > 1
    named = list(dict.fromkeys(_part(c, several) for c in losing))
    sure = sum(c.verdict == "worse" for c in losing)
    shown = "" if len(losing) == 1 and not sure else f", {number(sure)} of them shown to be worse"
    shown = ", and is shown to be worse" if len(losing) == sure == 1 else shown
    lead = f"The average gains, but {plural(len(losing), 'subgroup loses', 'subgroups lose')}{shown}: "
    marked = [part for name in named[:6] for part in (isolated(name), escape(", "))][:-1]
    more = f" and {len(named) - 6:,} more" if len(named) > 6 else ""
    return element("p", escape(lead), *marked, escape(f"{more}."), class_="lead")


def _part(c: Comparison, several: bool) -> str:
    return cut(c.group or "", 30) + (f" ({cut(c.evaluation, 30)})" if several else "")


def _arms(proof: Proof) -> Markup:
    rows = []
    for arm in proof.arms[: proof.listed]:
        seconds = [finite(arm.get(k)) for k in ("select_seconds", "train_seconds")]
        together = sum(v for v in seconds if v is not None) if any(v is not None for v in seconds) else None
        numbers = [short(arm.get(k)) for k in ("tokens", "documents", "selection_tokens")]
        numbers.append(times(arm.get("passes")))
        numbers += [duration(v) for v in (*seconds, together)]
        numbers += [operations(arm.get(k)) for k in ("select_flops", "train_flops")]
        diverged = escape(number(arm.get("diverged")))
        if finite(arm.get("diverged")):
            diverged = element("mark", diverged, class_="up")
        kind = as_text(arm.get("kind")).replace("_", " ")
        rows.append([isolated(name_of(arm.get("name")), MOST_NAME), escape(kind, 30), *map(escape, numbers), diverged])
    head = ["Arm", "Kind", "Tokens seen", "Documents", "Tokens chosen", "Passes", "Selecting", "Training", "In all"]
    head += ["FLOP to select", "FLOP to train", "Diverged"]
    return table(head, rows, "Arms", words=2, more=len(proof.arms) - proof.listed) if rows else EMPTY


def _losses(proof: Proof) -> Markup:
    """Arms in rows, evaluation sets in columns."""
    named = [(name_of(arm.get("name")), mapping(arm.get("losses"))) for arm in proof.arms]
    sets = list(dict.fromkeys(name for _, losses in named for name in losses))
    shown = sets[:_MOST_SIDE]
    if not shown:
        return EMPTY

    def cell(losses: Mapping[Any, Any], name: Any) -> Markup:
        found = mapping(losses.get(name))
        mean, low, high = (finite(found.get(k)) for k in ("mean", "low", "high"))
        return escape(proof.loss(mean) + (f" {span(proof.loss, low, high)}" if low is not None or high else ""))

    rows = [
        [isolated(arm, MOST_NAME), *(cell(losses, name) for name in shown)]
        for arm, losses in named[: proof.listed]
        if losses
    ]
    over = f"; {plural(len(sets) - _MOST_SIDE, 'evaluation set')} more" if len(sets) > _MOST_SIDE else ""
    caption = f"{unit_of(proof)}: mean over seeds, with its interval{over}"
    return table(["Arm", *(cut(name_of(name), MOST_NAME) for name in shown)], rows, caption)


def _proxy(proof: Proof) -> Markup:
    proxy = mapping(proof.summary.get("proxy"))
    told = {"Proxy": proxy.get("name"), "What it is": proxy.get("summary")}
    told = {k: as_text(v) for k, v in told.items() if as_text(v)}
    settings = {as_text(k): v for k, v in mapping(proxy.get("settings")).items()}
    return blocks.pairs({**told, **settings}, "The model that was trained")


def _evaluations(proof: Proof) -> Markup:
    found = blocks.records(proof.summary.get("evaluations"))
    rows = []
    for row in found[: proof.listed]:
        groups = [as_text(g) for g in items(row.get("groups"))]
        consulted = finite(row.get("consulted"))
        rows.append(
            [
                isolated(name_of(row.get("name")), MOST_NAME),
                _list([isolated(g, 30) for g in groups[:12]], len(groups) - 12) if groups else escape(NONE),
                escape(number(row.get("documents"))),
                escape(size(row.get("bytes"))),
                escape(NONE if consulted is None else "once" if consulted == 1 else f"{number(consulted)} times"),
                _met(mapping(row.get("overlap"))),
            ]
        )
    head = ["Evaluation set", "Subgroups", "Documents", "Text", "Consulted so far", "Shared with the training data"]
    return table(head, rows, "Evaluation sets", words=2, more=len(found) - proof.listed) if rows else EMPTY


def _list(parts: Sequence[Markup], more: int) -> Markup:
    told = [escape(f"and {more:,} more")] if more > 0 else []
    return join([*parts, *told], ", ")


def _met(overlap: Mapping[Any, Any]) -> Markup:
    """What was found on both sides: "exact 0, near 2"."""
    known = [(as_text(k), v) for k, v in overlap.items() if finite(v) is not None]
    parts = [join([isolated(name, 24), escape(f" {number(v)}")]) for name, v in known[:6]]
    return _list(parts, len(known) - 6) if parts else escape(NONE)


def _holdout(proof: Proof) -> Markup:
    found = {as_text(k).replace("_", " "): v for k, v in mapping(proof.summary.get("holdout")).items()}
    return blocks.pairs(found, "Set aside for measuring")


def _overlap(proof: Proof, no_text: bool) -> list[Markup]:
    found = blocks.records(proof.summary.get("overlap"))
    if not found:
        return []
    rows = [
        [
            isolated(name_of(row.get("evaluation")), MOST_NAME),
            isolated(name_of(row.get("arm")), MOST_NAME),
            escape(number(row.get("documents"))),
            escape(number(row.get("removed"))),
        ]
        for row in found[: proof.listed]
    ]
    examples = [(row, e) for row in found for e in blocks.records(row.get("examples"))]
    cards = [_shared(row, example, no_text) for row, example in examples[:12]]
    more = f"and {len(examples) - 12:,} more" if len(examples) > 12 else ""
    head = ["Evaluation set", "Arm", "Documents that meet", "Removed"]
    return [
        table(head, rows, "Overlap of training data and evaluation sets", words=2, more=len(found) - proof.listed),
        element("div", element("div", *cards), class_="sides one") if cards else EMPTY,
        element("p", escape(more), class_="quiet") if more else EMPTY,
    ]


def _shared(row: Mapping[Any, Any], example: Mapping[Any, Any], no_text: bool) -> Markup:
    """One text that stands on both sides, or only where it stands."""
    tokens = as_text(example.get("tokens"))
    facts = [
        element("b", isolated(name_of(example.get("evaluation_id")), MOST_NAME)),
        element("span", escape("in "), isolated(name_of(row.get("evaluation")), MOST_NAME)),
        element("span", escape("meets "), isolated(name_of(example.get("training_id")), MOST_NAME)),
        element("span", escape("in "), isolated(name_of(row.get("arm")), MOST_NAME)),
        element("span", isolated(tokens, 40), escape(" tokens")) if tokens else EMPTY,
    ]
    return element("article", element("header", *facts), hidden() if no_text else body(example.get("shared")))
