"""The report of ``cuvee mix fit``: how well a law predicts runs left out, what it proposes, and what to expect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..law.wording import natural
from . import blocks
from .charts import Bar, Change, Difference, Mixture, bars, dumbbell, forest, losses
from .figures import NONE, finite, items, mapping, number, percent
from .html import Page, figure, key, sentence
from .markup import EMPTY, isolated, table
from .text import Markup, as_text, cut, escape

_NAMES = {"proposal": "proposal", "uniform": "uniform", "best_measured": "best mixture run"}


def _named(summary: Mapping[str, Any], name: Any) -> str:
    """A mixture's name in words."""
    return natural(summary) if name == "proportional" else _NAMES.get(as_text(name), as_text(name))


def render(summary: Mapping[str, Any]) -> str:
    """The page as one string.

    Args:
        summary: see the keys read below; any may be missing, and any value may be somebody else's text.
    """
    shown = (_change(summary), _expected(summary), _errors(summary), _losses(summary))
    page = Page(
        "mix fit",
        summary.get("title"),
        summary.get("verdict"),
        summary.get("warnings"),
        summary.get("next"),
        _facts(summary),
        [picture for picture in shown if picture],
    )
    page.add("Proposal", "The proposed mixture", _proposal(summary), _predicted(summary))
    page.add("Asked", "What was asked", _asked(summary))
    page.add("Judgement", "On runs left out", _judged(summary), _residuals(summary))
    page.add("Law", "The fitted law", *_parameters(summary))
    blocks.limits(page, summary, no_text=False)
    blocks.reproduce(page, summary.get("reproduce"))
    return page.render()


def _facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    count = mapping(summary.get("counts"))
    labels = {"runs": "finished runs", "settings": "different settings", "sources": "sources", "resamples": "resamples"}
    return [(label, number(count[name])) for name, label in labels.items() if finite(count.get(name))]


def _change(summary: Mapping[str, Any]) -> Markup:
    changes = [
        Change(
            as_text(d.get("name")) or "(unnamed)", finite(d.get("proportional")) or 0.0, finite(d.get("weight")) or 0.0
        )
        for d in blocks.records(summary.get("proposal"))
    ]
    if not changes:
        return EMPTY
    caption = sentence("Each source's share in ", key(f"the mix '{natural(summary)}'", "ring"), " and in ")
    caption = sentence(caption, key("the proposal", "kept"), ". What gains most stands on top.")
    return figure("What does the law propose?", caption, dumbbell(changes, mixtures=(natural(summary), "proposal")))


def _expected(summary: Mapping[str, Any]) -> Markup:
    """Predicted differences to the rivals, as a trial would tell them: below zero the proposal is better."""
    rows: list[Difference | str] = []
    for name, value in mapping(summary.get("gains")).items():
        one = mapping(value)
        gain, low, high = (finite(one.get(key)) for key in ("gain", "low", "high"))
        if gain is None:
            continue
        verdict = as_text(one.get("verdict"))
        if one.get("determined") is False:
            low = high = None
        told = verdict if verdict in ("better", "worse", "not shown") else ""
        name = f"against {_named(summary, name)}"
        rows.append(Difference(name, -gain, None if high is None else -high, None if low is None else -low, told))
    if not rows:
        return EMPTY
    caption = sentence("How the proposal's predicted loss differs from others', with 90 % intervals. Below zero it is ")
    caption = sentence(caption, "better; an interval that holds zero shows nothing, nor does a gain that the law ")
    caption = sentence(caption, "misses runs by, and one that is not drawn is so wide that the runs do not tell.")
    return figure("Is it worth it?", caption, forest(rows, _signed, "predicted loss"))


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{value:+.3g}"


def _losses(summary: Mapping[str, Any]) -> Markup:
    """The mixtures run and their losses."""
    proposal = blocks.records(summary.get("proposal"))
    rows = []
    for one in blocks.records(summary.get("mixtures")):
        shares, loss = [finite(value) or 0.0 for value in items(one.get("shares"))], finite(one.get("loss"))
        if loss is not None and len(shares) == len(proposal):
            rows.append(Mixture(as_text(one.get("name")), shares, loss))
    if not rows:
        return EMPTY
    names = [as_text(one.get("name")) or "(unnamed)" for one in proposal]
    best = [finite(one.get("weight")) or 0.0 for one in proposal]
    surface = []
    for point in items(summary.get("surface")):
        numbers = [value for value in map(finite, items(point)) if value is not None]
        if len(numbers) == len(names) + 1:
            surface.append(numbers)
    said = {
        2: "Measured losses as dots, the fitted law as a line.",
        3: "A dot is a mixture: the nearer to a corner, the more of that source. In colour: the best quarter of those "
        "run. Shaded: the tenth of all mixtures that the law predicts to be best. The circle is the proposal.",
    }
    usual = (
        "A line is a mixture, going through its share of every source to its measured loss. Dashed: the best quarter "
    )
    usual += "of those run. Thick: the proposal."
    chart = losses(names, rows, best, surface, "loss")
    return figure("Which mixtures were good?", sentence(said.get(len(names), usual)), chart)


def _errors(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("outcomes"))
    if not found:
        return EMPTY
    first = found[_shown(summary, len(found))]
    name = as_text(mapping(summary.get("law")).get("name"))
    rows = [Bar(name, finite(first.get("error")) or 0.0, number(first.get("error")), "kept")]
    for other, error in mapping(first.get("baselines")).items():
        if finite(error) is not None:
            rows.append(Bar(f"guess: {as_text(other)}", finite(error) or 0.0, number(error)))
    if finite(first.get("noise")) is not None:
        rows.append(Bar("seed noise", finite(first.get("noise")) or 0.0, number(first["noise"]), "random"))
    caption = sentence("Mean error on runs left out, for ", isolated(first.get("name"), 60), ".")
    chart = bars(rows, "Error on runs left out", "error", largest_first=False)
    return figure("Can the law be believed?", caption, chart, part=False)


def _shown(summary: Mapping[str, Any], outcomes: int) -> int:
    """The place of the outcome that the verdict turns on; the first in fits that do not say."""
    place = summary.get("shown")
    return place if isinstance(place, int) and 0 <= place < outcomes else 0


def _proposal(summary: Mapping[str, Any]) -> Markup:
    found = sorted(blocks.records(summary.get("proposal")), key=lambda d: -(finite(d.get("weight")) or 0))
    if not found:
        return EMPTY
    rows = [
        [
            isolated(d.get("name"), 80),
            *(
                escape(words)
                for words in (
                    percent(d.get("weight")),
                    percent(d.get("low")),
                    percent(d.get("high")),
                    percent(d.get("proportional")),
                    percent(d.get("best_measured")),
                    _passes(d.get("passes")),
                )
            ),
        ]
        for d in found[:200]
    ]
    head = ["Source", "Weight", "from", "to (90 %)", natural(summary).capitalize(), "Best run", "Passes"]
    return table(head, rows, "The proposed mixture", more=len(found) - 200)


def _passes(value: Any) -> str:
    """With three digits at most after the point: a share that is 0 but for rounding has no 7.4e-15 passes."""
    known = finite(value)
    return NONE if known is None else "<0.001" if 1e-9 < known < 0.001 else number(round(known, 3))


def _predicted(summary: Mapping[str, Any]) -> Markup:
    """What the law predicts for the proposal and its rivals."""
    gains = mapping(summary.get("gains"))
    rows = []
    for name, value in mapping(summary.get("expected")).items():
        one, verdict = mapping(value), mapping(gains.get(name)).get("verdict")
        words = [number(one.get("loss")), *_ends(one), as_text(verdict)]
        rows.append([escape(_named(summary, name)), *map(escape, words)])
    head = ["Mixture", "Predicted loss", "from", "to (90 %)", "The proposal is"]
    caption = f"What the law predicts{_place(summary)}"
    return table(head, rows, caption) if rows else EMPTY


def _ends(one: Mapping[Any, Any]) -> list[str]:
    """An interval in two cells; dashes where it is so wide that nothing is determined."""
    return [number(one.get(key)) if one.get("determined") is not False else NONE for key in ("low", "high")]


def _asked(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [isolated(name, 80), escape(number(mapping(one).get("value"))), *map(escape, _ends(mapping(one)))]
        for name, one in list(mapping(summary.get("asked")).items())[:100]
    ]
    return table(["Outcome", "Value", "from", "to (90 %)"], rows, f"Predicted{_place(summary)}") if rows else EMPTY


def _place(summary: Mapping[str, Any]) -> str:
    """Where the law's other columns stand, as " at tokens=2e+10"; empty for a law of mixtures alone."""
    known = [(as_text(name), finite(value)) for name, value in mapping(summary.get("at")).items()]
    told = ", ".join(f"{cut(name, 40)}={value:.4g}" for name, value in known[:12] if value is not None)
    return f" at {told}" if told else ""


def _judged(summary: Mapping[str, Any]) -> Markup:
    rows = [
        [
            isolated(d.get("name"), 80),
            *(
                escape(number(d.get(name)))
                for name in ("weight", "error", "noise", "error_in_noise", "rank", "rank_best")
            ),
        ]
        for d in blocks.records(summary.get("outcomes"))[:100]
    ]
    head = ["Outcome", "Weight", "Error", "Seed noise", "Error / noise", "Rank", "Rank, best quarter"]
    return table(head, rows, "Errors and rank correlations of runs left out") if rows else EMPTY


def _residuals(summary: Mapping[str, Any]) -> Markup:
    found = blocks.records(summary.get("outcomes"))
    if not found:
        return EMPTY
    first = found[_shown(summary, len(found))]
    pairs = list(zip(items(first.get("observed")), items(first.get("predicted")), strict=False))
    pairs.sort(key=lambda pair: finite(pair[0]) or 0.0)
    rows = [[escape(f"{at + 1}"), escape(number(a)), escape(number(b))] for at, (a, b) in enumerate(pairs[:100])]
    caption = f"Observed and, while left out, predicted: {as_text(first.get('name'))[:60]}"
    return table(["Setting, least first", "Observed", "Predicted"], rows, caption, more=len(pairs) - 100)


def _parameters(summary: Mapping[str, Any]) -> list[Markup]:
    found = blocks.records(summary.get("outcomes"))
    return [blocks.pairs(d.get("parameters"), f"Parameters for {as_text(d.get('name'))[:60]}") for d in found[:12]]
